//! The QEMU command line of a guest. A snapshot can only be restored into the same machine, so everything that decides the
//! machine's shape is here and nowhere else; this file must not open files or start anything.

use crate::spec::Acceleration;
use crate::spec::Durability;
use serde_json::json;
use std::os::fd::RawFd;
use std::path::Path;

/// Translated guest code QEMU keeps, in MiB. Its own default is a gigabyte for each guest; with half of this a kernel's boot
/// does not fit, and takes a twentieth longer.
const TRANSLATION_CACHE_MIB: u32 = 128;

/// The file a guest's memory is mapped from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backing {
    pub(super) fd: RawFd,
    /// Writes of the guest reach the file, or else stay its own.
    pub(super) shared: bool,
}

/// What a guest starts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    Boot {
        kernel: &'a Path,
        initrd: Option<&'a Path>,
        cmdline: &'a str,
    },
    /// The device state that can be read from this descriptor. The kernel is in the guest's memory already and is not even
    /// read again.
    Incoming(RawFd),
}

/// A disk whose file QEMU inherited.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassedDisk {
    pub(super) fd: RawFd,
    pub(super) read_only: bool,
    pub(super) durability: Durability,
}

/// Everything a command line is made of.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) acceleration: Acceleration,
    pub(super) vcpus: u8,
    pub(super) mem_mib: u32,
    pub(super) backing: Backing,
    pub(super) origin: Origin<'a>,
    pub(super) disks: &'a [PassedDisk],
    pub(super) qmp_fd: RawFd,
    pub(super) console_fd: RawFd,
    pub(super) channel_fd: RawFd,
}

impl Machine<'_> {
    pub(super) fn args(&self) -> Vec<String> {
        let mut args = Args(Vec::new());
        self.processor(&mut args);
        self.memory(&mut args);
        args.words(["-nodefaults", "-no-user-config", "-no-reboot"]);
        args.pair("-display", "none");
        args.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        migration(&mut args);
        self.sockets(&mut args);
        for (index, disk) in self.disks.iter().enumerate() {
            block_device(&mut args, index, *disk);
        }
        self.origin(&mut args);
        args.0
    }

    fn processor(&self, args: &mut Args) {
        let (machine, accelerator, model) = match self.acceleration {
            Acceleration::Kvm => {
                ("microvm,x-option-roms=off,pit=off,pic=off,rtc=on,pcie=off", "kvm".to_owned(), "host")
            }
            Acceleration::Emulated | Acceleration::None => (
                "microvm,x-option-roms=off,rtc=on,pcie=off",
                format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}"),
                "max",
            ),
        };
        args.pair("-M", &format!("{machine},dump-guest-core=off,suppress-vmdesc=on,memory-backend=memory"));
        args.pair("-accel", &accelerator);
        args.pair("-cpu", model);
        args.pair("-smp", &self.vcpus.to_string());
    }

    /// The memory has the same name whatever backs it, because a snapshot refers to it by that name.
    fn memory(&self, args: &mut Args) {
        let size = u64::from(self.mem_mib) * 1024 * 1024;
        let Backing { fd, shared } = self.backing;
        let object = json!({
            "qom-type": "memory-backend-file", "id": "memory", "size": size, "mem-path": format!("/proc/self/fd/{fd}"), "share": shared,
        });
        args.pair("-m", &format!("{}M", self.mem_mib));
        args.pair("-object", &object.to_string());
    }

    fn sockets(&self, args: &mut Args) {
        for (id, fd) in [("qmp", self.qmp_fd), ("console", self.console_fd), ("channel", self.channel_fd)] {
            args.pair("-chardev", &format!("socket,id={id},fd={fd}"));
        }
        args.pair("-mon", "chardev=qmp,mode=control");
        args.pair("-serial", "chardev:console");
        args.pair("-device", "virtio-serial-device");
        args.pair("-device", "virtserialport,chardev=channel,name=pyro.agent");
    }

    fn origin(&self, args: &mut Args) {
        match self.origin {
            Origin::Boot { kernel, initrd, cmdline } => {
                args.pair("-kernel", &kernel.to_string_lossy());
                if let Some(initrd) = initrd {
                    args.pair("-initrd", &initrd.to_string_lossy());
                }
                args.pair("-append", cmdline);
            }
            Origin::Incoming(fd) => args.pair("-incoming", &format!("fd:{fd}")),
        }
    }
}

/// What a device state holds beside the devices: nothing. Without the stored run state a paused guest runs as soon as it is
/// restored; the configuration is not in what `xen-save-devices-state` writes, and must not be expected.
fn migration(args: &mut Args) {
    args.pair("-global", "migration.store-global-state=off");
    args.pair("-global", "migration.send-configuration=off");
}

fn block_device(args: &mut Args, index: usize, disk: PassedDisk) {
    let read_only = disk.read_only;
    let no_flush = disk.durability == Durability::Throwaway;
    args.pair("-add-fd", &format!("fd={},set={index}", disk.fd));
    let file = json!({
        "driver": "file", "node-name": format!("file{index}"), "filename": format!("/dev/fdset/{index}"), "locking": "off",
        "read-only": read_only, "auto-read-only": false, "cache": { "direct": false, "no-flush": no_flush },
    });
    let raw = json!({
        "driver": "raw", "node-name": format!("disk{index}"), "file": format!("file{index}"), "read-only": read_only,
        "auto-read-only": false, "cache": { "direct": false, "no-flush": no_flush }, "discard": "unmap",
    });
    args.pair("-blockdev", &file.to_string());
    args.pair("-blockdev", &raw.to_string());
    args.pair("-device", &format!("virtio-blk-device,drive=disk{index}"));
}

#[derive(Debug)]
struct Args(Vec<String>);

impl Args {
    fn pair(&mut self, flag: &str, value: &str) {
        self.words([flag, value]);
    }

    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(str::to_owned));
    }
}

/// What every guest kernel is told. The self-tests of its ciphers take a sixth of an emulated boot.
const CMDLINE: &str = "console=ttyS0 panic=-1 reboot=t quiet cryptomgr.notests";

/// The kernel's command line: what this machine needs, then the caller's words.
pub(super) fn kernel_cmdline(acceleration: Acceleration, tsc_khz: u64, words: &[String]) -> String {
    let mut line = CMDLINE.to_owned();
    if acceleration != Acceleration::Kvm {
        // Translated code does not speculate as the guest's code would, so a guest's defences against that only cost time.
        line.push_str(&format!(" tsc_early_khz={tsc_khz} tsc=reliable mitigations=off"));
    }
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const PRIVATE: Backing = Backing { fd: 8, shared: false };

    fn machine(acceleration: Acceleration, backing: Backing, origin: Origin<'static>) -> Vec<String> {
        const DISKS: &[PassedDisk] = &[
            PassedDisk { fd: 6, read_only: true, durability: Durability::Throwaway },
            PassedDisk { fd: 7, read_only: false, durability: Durability::Flushed },
        ];
        let (vcpus, mem_mib, qmp_fd, console_fd, channel_fd) = (2, 256, 3, 4, 5);
        Machine {
            acceleration,
            vcpus,
            mem_mib,
            backing,
            origin,
            disks: DISKS,
            qmp_fd,
            console_fd,
            channel_fd,
        }
        .args()
    }

    #[test]
    fn a_guest_has_no_network_card_and_a_sandboxed_process() {
        let args = machine(Acceleration::Emulated, PRIVATE, Origin::Incoming(9));
        assert!(args.contains(&"-nodefaults".to_owned()));
        assert!(args.iter().any(|arg| arg.contains("spawn=deny")));
        assert!(!args.iter().any(|arg| arg.contains("net")));
    }

    #[test]
    fn a_flush_means_what_the_disk_says() {
        let args = machine(Acceleration::Emulated, PRIVATE, Origin::Incoming(9));
        let nodes: Vec<Value> = args.iter().filter_map(|arg| serde_json::from_str(arg).ok()).collect();
        let no_flush = |name: &str| {
            nodes.iter().find(|node| node["node-name"] == name).unwrap()["cache"]["no-flush"].clone()
        };
        assert_eq!([no_flush("disk0"), no_flush("disk1")], [true, false]);
        assert_eq!([no_flush("file0"), no_flush("file1")], [true, false]);
    }

    #[test]
    fn only_copy_on_write_memory_is_private() {
        let shared = |backing| {
            let args = machine(Acceleration::Kvm, backing, Origin::Incoming(9));
            let object = args.iter().find(|arg| arg.contains("qom-type")).unwrap();
            serde_json::from_str::<Value>(object).unwrap()["share"].clone()
        };
        assert_eq!(shared(Backing { fd: 8, shared: true }), true);
        assert_eq!(shared(PRIVATE), false);
    }

    #[test]
    fn an_emulated_guest_is_told_its_clock_frequency() {
        assert!(
            kernel_cmdline(Acceleration::Emulated, 2_500_000, &["a=b".to_owned()])
                .ends_with("tsc_early_khz=2500000 tsc=reliable mitigations=off a=b")
        );
        assert!(!kernel_cmdline(Acceleration::Kvm, 2_500_000, &[]).contains("tsc"));
    }
}
