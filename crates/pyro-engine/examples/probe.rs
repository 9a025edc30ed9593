//! Prints what the probe finds on this host, and how fast its guest runs under emulation: `probe QEMU`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use pyro_engine::Acceleration;
use pyro_engine::probe;
use std::path::PathBuf;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let qemu =
        std::env::args().nth(1).map_or_else(|| PathBuf::from("/usr/bin/qemu-system-x86_64"), PathBuf::from);
    let start = Instant::now();
    let report = probe::probe(&qemu, probe::DEADLINE).await;
    println!("{report:#?} in {:?}", start.elapsed());
    let emulated = probe::measure(&qemu, Acceleration::Emulated, probe::DEADLINE).await;
    println!("emulated: {emulated:?} turns per second");
}
