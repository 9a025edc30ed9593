//! Measures forks under the QEMU engine with a real kernel and the guest of the `restore` example: a running guest that has
//! touched memory is snapshotted, and N guests are restored from it at once.
//!
//! `fork KERNEL INITRD ROOTFS FOLDER [CHILDREN] [MEM_MIB] [TOUCHED_MIB]` prints JSON.
#![expect(clippy::print_stdout, reason = "printing is what a program that measures is for")]

use pyro_engine::Acceleration;
use pyro_engine::Disk;
use pyro_engine::DiskSource;
use pyro_engine::Durability;
use pyro_engine::Engine as _;
use pyro_engine::Guest;
use pyro_engine::GuestSpec;
use pyro_engine::Memory;
use pyro_engine::QemuEngine;
use pyro_engine::SnapshotFiles;
use std::error::Error;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::net::UnixStream;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Kept {
    guest: Box<dyn Guest>,
    channel: BufReader<UnixStream>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initrd, rootfs, folder, rest @ ..] = args.as_slice() else {
        return Err("usage: fork KERNEL INITRD ROOTFS FOLDER [CHILDREN] [MEM_MIB] [TOUCHED_MIB]".into());
    };
    let number = |at: usize, default: u32| rest.get(at).map_or(Ok(default), |word| word.parse());
    let (children, mem_mib, touched_mib) = (number(0, 10)?, number(1, 1024)?, number(2, 300)?);
    let template = files(folder, "template");
    let fork = files(folder, "fork");
    let spec = spec([kernel, initrd, rootfs, folder], mem_mib, Memory::SharedFile(template.memory.clone()));
    let engine = QemuEngine::detect(None, &std::env::var("PATH")?, Acceleration::Emulated)?;

    let mut original = kept(engine.start(spec.clone()).await?)?;
    original.channel.read_line(&mut String::new()).await?;
    for _ in 0..3 {
        original.ask("git --version").await?;
    }
    original.guest.pause().await?;
    original.guest.snapshot(&template).await?;
    drop(original);
    let punched_mib = pyro_engine::memory::punch_zero_pages(&template.memory)? >> 20;

    let mut parent = kept(engine.restore(spec.clone(), &template).await?)?;
    parent.ask(&touch(touched_mib)).await?;
    let start = Instant::now();
    parent.guest.prepare_snapshot(&fork).await?;
    let prepare_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    parent.guest.pause().await?;
    parent.guest.snapshot(&fork).await?;
    parent.guest.resume().await?;
    let pause_s = start.elapsed().as_secs_f64();
    parent.ask("true").await?;

    let start = Instant::now();
    let mut forks = Vec::new();
    let mut first_s = 0.0;
    for index in 0..children {
        let mut child = kept(engine.restore(spec.clone(), &fork).await?)?;
        child.ask("git --version").await?;
        if index == 0 {
            first_s = start.elapsed().as_secs_f64();
        }
        forks.push(child);
    }
    let forks_s = start.elapsed().as_secs_f64();
    let pss = |kept: &Kept| kept.guest.usage().map(|usage| usage.pss_kib as f64 / 1024.0);
    let child_pss_mib =
        forks.iter().map(pss).sum::<std::result::Result<f64, _>>()? / f64::from(children.max(1));
    let cpu_before: u64 =
        forks.iter().filter_map(|kept| kept.guest.usage().ok()).map(|usage| usage.cpu_ms).sum();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cpu_after: u64 =
        forks.iter().filter_map(|kept| kept.guest.usage().ok()).map(|usage| usage.cpu_ms).sum();
    let idle_percent = (cpu_after - cpu_before) as f64 / 50.0 / f64::from(children.max(1));
    let file_mib = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.blocks() >> 11);
    println!(
        "{{\"punched_mib\": {punched_mib}, \"template_mib\": {}, \"fork_mib\": {}, \"prepare_s\": {prepare_s:.3}, \"pause_s\": {pause_s:.3}, \"first_child_s\": {first_s:.3}, \"all_children_s\": {forks_s:.3}, \"parent_pss_mib\": {:.1}, \"child_pss_mib\": {child_pss_mib:.1}, \"idle_percent\": {idle_percent:.2}}}",
        file_mib(&template.memory)?,
        file_mib(&fork.memory)?,
        pss(&parent)?,
    );
    if std::env::var_os("HOLD").is_some() {
        println!("pids: {:?}", forks.iter().map(|kept| kept.guest.pid()).collect::<Vec<_>>());
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

/// Has a process of the guest fill memory and keep it.
fn touch(mib: u32) -> String {
    let perl = format!(
        "$x = \"a\" x 1048576; $y[$_] = $x . $_ for 1..{mib}; open F, \">/dev/done\"; close F; sleep 1000"
    );
    format!("perl -e '{perl}' > /dev/null 2>&1 & until [ -e /dev/done ]; do sleep 0.1; done; rm /dev/done")
}

fn files(folder: &str, name: &str) -> SnapshotFiles {
    let path = |kind| Path::new(folder).join(format!("{name}.{kind}"));
    // Of an earlier run, if there was one.
    let _ = std::fs::remove_file(path("memory"));
    SnapshotFiles { state: path("state"), memory: path("memory") }
}

fn kept(mut guest: Box<dyn Guest>) -> Result<Kept> {
    let channel = BufReader::new(guest.take_channel().ok_or("the channel was taken")?);
    Ok(Kept { guest, channel })
}

impl Kept {
    async fn ask(&mut self, line: &str) -> Result<()> {
        self.channel.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        while !answer.starts_with("RC=") {
            answer.clear();
            if self.channel.read_line(&mut answer).await? == 0 {
                return Err("the guest closed the channel".into());
            }
        }
        Ok(())
    }
}

fn spec([kernel, initrd, rootfs, folder]: [&String; 4], mem_mib: u32, memory: Memory) -> GuestSpec {
    let source = DiskSource::Path(rootfs.into());
    GuestSpec {
        id: "0123456789ab".to_owned(),
        kernel: kernel.into(),
        initrd: initrd.into(),
        cmdline: Vec::new(),
        vcpus: 1,
        mem_mib,
        memory,
        disks: vec![Disk::raw(source, true, Durability::Throwaway)],
        agent: None,
        runtime_dir: folder.into(),
    }
}
