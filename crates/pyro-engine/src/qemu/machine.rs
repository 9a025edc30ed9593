//! The QEMU command line of a guest. A snapshot can only be restored into the same machine, so everything that decides the
//! machine's shape is here and nowhere else; this file must not open files or start anything.

use super::layers::PassedDisk;
use crate::spec::Acceleration;
use serde_json::json;
use std::os::fd::RawFd;
use std::path::Path;

/// Translated guest code QEMU keeps, in MiB. Its own default is a gigabyte for each guest; with half of this a kernel's boot
/// does not fit, and takes a twentieth longer.
const TRANSLATION_CACHE_MIB: u32 = 128;

/// What an emulated guest finds. Without these two its kernel and its programs copy and clear memory eight bytes at a time, and
/// not by the instruction that is fast on hardware and emulated byte by byte: half the cost of all that goes through a pipe.
const EMULATED_PROCESSOR: &str = "max,-erms,-fsrm";

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
        block_devices(&mut args, self.disks);
        self.origin(&mut args);
        args.0
    }

    fn processor(&self, args: &mut Args) {
        let (pic, accelerator, model) = match self.acceleration {
            Acceleration::Kvm => (",pic=off", "kvm".to_owned(), "host"),
            Acceleration::Emulated | Acceleration::None => {
                ("", format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}"), EMULATED_PROCESSOR)
            }
        };
        // The PIT: a guest is told its clock's frequency, or reads KVM's clock. Nobody would ever stop the PIT, which wakes
        // QEMU 36 times a second.
        let machine = format!("microvm,x-option-roms=off,pit=off{pic},rtc=on,pcie=off");
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

/// The device is the same whatever its disk consists of, so a snapshot fits any of them.
fn block_devices(args: &mut Args, disks: &[PassedDisk]) {
    let mut fdset = 0;
    for (index, disk) in disks.iter().enumerate() {
        let mut below = None;
        for (number, layer) in disk.layers.iter().enumerate() {
            let node = disk.node(index, number, layer.format);
            args.pair("-add-fd", &format!("fd={},set={fdset}", layer.fd));
            args.pair("-blockdev", &node.file(fdset).to_string());
            args.pair("-blockdev", &node.content(below.as_deref()).to_string());
            below = Some(node.name());
            fdset += 1;
        }
        args.pair("-device", &format!("virtio-blk-device,drive={}", below.unwrap_or_default()));
    }
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
    use crate::qemu::layers::PassedLayer;
    use crate::spec::DiskFormat;
    use crate::spec::Durability;
    use serde_json::Value;
    use std::collections::HashMap;

    const PRIVATE: Backing = Backing { fd: 8, shared: false };

    fn machine(acceleration: Acceleration, backing: Backing, origin: Origin<'static>) -> Vec<String> {
        let layers = |fds: &[(i32, DiskFormat)]| {
            fds.iter().map(|&(fd, format)| PassedLayer { fd, format }).collect::<Vec<_>>()
        };
        let disk = |layers, read_only, durability| PassedDisk { layers, bytes: 0, read_only, durability };
        let disks = [
            disk(layers(&[(6, DiskFormat::Raw)]), true, Durability::Throwaway),
            disk(
                layers(&[(7, DiskFormat::Raw), (10, DiskFormat::Qcow2), (11, DiskFormat::Qcow2)]),
                false,
                Durability::Flushed,
            ),
        ];
        let (vcpus, mem_mib, qmp_fd, console_fd, channel_fd) = (2, 256, 3, 4, 5);
        Machine {
            acceleration,
            vcpus,
            mem_mib,
            backing,
            origin,
            disks: &disks,
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

    fn nodes(args: &[String]) -> HashMap<String, Value> {
        let values = args.iter().filter_map(|arg| serde_json::from_str::<Value>(arg).ok());
        values.filter_map(|node| Some((node.get("node-name")?.as_str()?.to_owned(), node))).collect()
    }

    #[test]
    fn a_flush_means_what_the_disk_says() {
        let nodes = nodes(&machine(Acceleration::Emulated, PRIVATE, Origin::Incoming(9)));
        let no_flush = |name: &str| nodes[name]["cache"]["no-flush"].clone();
        assert_eq!([no_flush("disk0.0"), no_flush("disk1.2")], [true, false]);
        assert_eq!([no_flush("file0.0"), no_flush("file1.2")], [true, false]);
    }

    #[test]
    fn each_layer_is_over_the_one_below_and_only_the_last_is_written_to() {
        let args = machine(Acceleration::Emulated, PRIVATE, Origin::Incoming(9));
        let nodes = nodes(&args);
        assert_eq!(nodes.len(), 8);
        let of = |name: &str| {
            let node = &nodes[name];
            (node["driver"].clone(), node.get("backing").cloned(), node["read-only"].clone())
        };
        assert_eq!(of("disk1.0"), (json!("raw"), None, json!(true)));
        assert_eq!(of("disk1.1"), (json!("qcow2"), Some(json!("disk1.0")), json!(true)));
        assert_eq!(of("disk1.2"), (json!("qcow2"), Some(json!("disk1.1")), json!(false)));
        assert_eq!([of("file1.1").2, of("file1.2").2, of("file0.0").2], [true, false, true]);
        let devices: Vec<_> = args.iter().filter(|arg| arg.starts_with("virtio-blk")).collect();
        assert_eq!(devices, ["virtio-blk-device,drive=disk0.0", "virtio-blk-device,drive=disk1.2"]);
        let sets: Vec<_> = args.iter().filter(|arg| arg.starts_with("fd=")).collect();
        assert_eq!(sets, ["fd=6,set=0", "fd=7,set=1", "fd=10,set=2", "fd=11,set=3"]);
        assert_eq!(nodes["file1.2"]["filename"], "/dev/fdset/3");
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
    fn no_guest_has_a_timer_that_it_does_not_use() {
        for acceleration in [Acceleration::Kvm, Acceleration::Emulated] {
            let args = machine(acceleration, PRIVATE, Origin::Incoming(9));
            let given = args.iter().find(|arg| arg.starts_with("microvm,")).unwrap();
            assert!(given.split(',').any(|option| option == "pit=off"), "{given}");
        }
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
