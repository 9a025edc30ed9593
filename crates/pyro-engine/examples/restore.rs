//! Measures the QEMU engine alone with a real kernel: boot, snapshot, and N restores up to the first answers of a line-reading
//! guest, which stands in for an agent (`READY`, then one line in, its output and `RC=n` out).
//!
//! `restore KERNEL INITRD ROOTFS FOLDER [RUNS] [MEM_MIB]` prints JSON; FOLDER should be on tmpfs.
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
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::net::UnixStream;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initrd, rootfs, folder, rest @ ..] = args.as_slice() else {
        return Err("usage: restore KERNEL INITRD ROOTFS FOLDER [RUNS] [MEM_MIB]".into());
    };
    let runs: usize = rest.first().map_or(Ok(7), |runs| runs.parse())?;
    let mem_mib = rest.get(1).map_or(Ok(384), |mib| mib.parse())?;
    let files =
        SnapshotFiles { state: Path::new(folder).join("state"), memory: Path::new(folder).join("memory") };
    let spec = spec(kernel, initrd, rootfs, folder, mem_mib, files.memory.clone());
    // Of an earlier run, if there was one.
    let _ = std::fs::remove_file(&files.memory);
    let path = std::env::var("PATH")?;
    let engine = QemuEngine::detect(None, &path, Acceleration::Emulated)?;
    let boot_s = template(&engine, spec.clone(), &files).await?;
    let mut columns: [Vec<f64>; 5] = Default::default();
    for _ in 0..runs {
        let figures = one_restore(&engine, spec.clone(), &files).await?;
        for (column, figure) in columns.iter_mut().zip(figures) {
            column.push(figure);
        }
    }
    let [runs_s, restore_s, exec_s, noop_s, pss_mib] = columns.map(median);
    println!(
        "{{\"boot_s\": {boot_s:.3}, \"runs_s\": {runs_s:.4}, \"restore_s\": {restore_s:.4}, \"exec_s\": {exec_s:.4}, \
         \"noop_s\": {noop_s:.4}, \"pss_mib\": {pss_mib:.1}}}"
    );
    Ok(())
}

fn spec(kernel: &str, initrd: &str, rootfs: &str, folder: &str, mem_mib: u32, memory: PathBuf) -> GuestSpec {
    let source = DiskSource::Path(rootfs.into());
    GuestSpec {
        id: "0123456789ab".to_owned(),
        kernel: kernel.into(),
        initrd: initrd.into(),
        cmdline: std::env::var("CMDLINE").map(|line| vec![line]).unwrap_or_default(),
        vcpus: 1,
        mem_mib,
        memory: Memory::SharedFile(memory),
        disks: vec![Disk::raw(source, true, Durability::Throwaway)],
        agent: None,
        runtime_dir: folder.into(),
    }
}

async fn template(engine: &QemuEngine, spec: GuestSpec, files: &SnapshotFiles) -> Result<f64> {
    let start = Instant::now();
    let mut guest = engine.start(spec).await?;
    let mut channel = channel(&mut *guest)?;
    let mut line = String::new();
    channel.read_line(&mut line).await?;
    let boot_s = start.elapsed().as_secs_f64();
    for _ in 0..3 {
        ask(&mut channel, "git --version").await?;
    }
    guest.pause().await?;
    guest.snapshot(files).await?;
    Ok(boot_s)
}

async fn one_restore(engine: &QemuEngine, spec: GuestSpec, files: &SnapshotFiles) -> Result<[f64; 5]> {
    let start = Instant::now();
    let mut guest = engine.restore(spec, files).await?;
    let runs_s = start.elapsed().as_secs_f64();
    let mut channel = channel(&mut *guest)?;
    ask(&mut channel, "git --version").await?;
    let restore_s = start.elapsed().as_secs_f64();
    let pss_mib = guest.usage()?.pss_kib as f64 / 1024.0;
    let exec_s = best_of_five(&mut channel, "git --version").await?;
    let noop_s = best_of_five(&mut channel, "true").await?;
    Ok([runs_s, restore_s, exec_s, noop_s, pss_mib])
}

async fn best_of_five(channel: &mut BufReader<UnixStream>, line: &str) -> Result<f64> {
    ask(channel, line).await?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        ask(channel, line).await?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn channel(guest: &mut dyn Guest) -> Result<BufReader<UnixStream>> {
    Ok(BufReader::new(guest.take_channel().ok_or("the channel was taken")?))
}

async fn ask(channel: &mut BufReader<UnixStream>, line: &str) -> Result<()> {
    channel.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    while !answer.starts_with("RC=") {
        answer.clear();
        if channel.read_line(&mut answer).await? == 0 {
            return Err("the guest closed the channel".into());
        }
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
