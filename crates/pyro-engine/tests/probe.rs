//! The probe with a real QEMU: its guest is good, and a device that opens is not taken for one that works.

use pyro_engine::Acceleration;
use pyro_engine::probe;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

fn qemu() -> PathBuf {
    PathBuf::from("/usr/bin/qemu-system-x86_64")
}

#[tokio::test]
async fn the_probe_guest_counts_under_emulation() {
    let speed = probe::measure(&qemu(), Acceleration::Emulated, Duration::from_secs(20)).await.unwrap();
    assert!(speed > 1_000_000, "{speed} turns per second");
}

#[tokio::test]
async fn a_verdict_rests_on_a_guest_that_ran() {
    let report = probe::probe(&qemu(), probe::DEADLINE).await;
    assert_eq!(
        report.usable(),
        report
            .guest_iterations_per_s
            .is_some_and(|speed| { speed * 10 >= report.native_iterations_per_s.unwrap() }),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_program_that_is_no_qemu_is_unusable_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("probe.json");
    let report = probe::cached(&cache, Path::new("/bin/false"), probe::DEADLINE).await;
    assert!(!report.usable());
    if matches!(report.kvm_device, probe::KvmDevice::Opens { .. }) {
        // The kept result is what is returned, not a new one.
        let text = std::fs::read_to_string(&cache).unwrap().replace("exit code 1", "exit code 77");
        std::fs::write(&cache, text).unwrap();
        let again = probe::cached(&cache, Path::new("/bin/false"), probe::DEADLINE).await;
        assert!(format!("{again:?}").contains("exit code 77"), "{again:?}");
    }
}
