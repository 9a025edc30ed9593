//! Checks that run guests: the KVM probe, and a real boot when it was asked for.

use super::Check;
use super::Kvm;
use crate::code::chain;
use crate::config::Config;
use crate::guest::ExecStreams;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::Plan;
use crate::machine::Size;
use pyro_engine::Acceleration;
use pyro_engine::Memory;
use pyro_engine::probe;
use pyro_engine::probe::KvmDevice;
use pyro_engine::probe::ProbeReport;
use pyro_engine::probe::Verdict;
use pyro_image::ImageStore;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecSpec;
use rustix::fs::Access;
use std::time::Duration;
use std::time::Instant;

/// How long the probe guest may take when it is emulated. A busy host needs a while.
const EMULATION_DEADLINE: Duration = Duration::from_secs(10);

/// Whether a probe guest really runs at speed.
pub(super) async fn kvm(config: &Config) -> (Check, Kvm) {
    let name = "kvm";
    let access = |access| rustix::fs::access("/dev/kvm", access).is_ok();
    let mut kvm = Kvm {
        exists: access(Access::EXISTS),
        readable: access(Access::READ_OK),
        writable: access(Access::WRITE_OK),
        usable: false,
    };
    let Some(qemu) = super::programs::find(&config.search_path, "qemu-system-x86_64") else {
        return (Check::warn(name, "not probed: there is no QEMU to probe with", "install QEMU first"), kvm);
    };
    let report = probe::cached(&config.probe_cache(), &qemu, probe::DEADLINE).await;
    kvm.usable = report.usable();
    (kvm_check(&report), kvm)
}

/// Whether the probe guest runs in software emulation, and how fast.
pub(super) async fn emulation(config: &Config) -> Check {
    let name = "emulation";
    let Some(qemu) = super::programs::find(&config.search_path, "qemu-system-x86_64") else {
        return Check::warn(name, "not probed: there is no QEMU to probe with", "install QEMU first");
    };
    match probe::measure(&qemu, Acceleration::Emulated, EMULATION_DEADLINE).await {
        Ok(turns_per_s) => Check::pass(
            name,
            format!("the probe guest runs, at {} million turns per second", turns_per_s / 1_000_000),
        ),
        Err(error) => Check::fail(name, chain(&error), "install the package qemu-system-x86 again"),
    }
}

fn kvm_check(report: &ProbeReport) -> Check {
    let name = "kvm";
    let speed = match (report.guest_iterations_per_s, report.native_iterations_per_s) {
        (Some(guest), Some(native)) if native > 0 => {
            format!(
                "; its probe guest ran at {:.4} of the processor's own speed",
                guest as f64 / native as f64
            )
        }
        _ => String::new(),
    };
    let reason = match &report.verdict {
        Verdict::Usable => return Check::pass(name, format!("KVM works{speed}")),
        Verdict::Unusable { reason } => reason,
    };
    let detail = format!(
        "guests are emulated in software, which is slower and no isolation boundary: {reason}{speed}"
    );
    let remedy = match report.kvm_device {
        KvmDevice::Missing => {
            "use a host with hardware virtualisation, or switch it on in the firmware and load the kvm module"
        }
        KvmDevice::Refused { .. } => "join the group that owns /dev/kvm, usually kvm, and log in again",
        KvmDevice::Opens { .. } => {
            "use a host whose /dev/kvm is backed by the processor; nested or software KVM is too slow"
        }
    };
    Check::warn(name, detail, remedy)
}

/// Boots a guest of an installed environment and runs a command in it.
pub(super) async fn boot(
    config: &Config,
    store: &Result<ImageStore, pyro_image::ImageError>,
    installed: &[String],
) -> Check {
    let name = "boot";
    let (Ok(store), Some(environment)) = (store, installed.first()) else {
        return Check::fail(
            name,
            "no environment is installed to boot",
            "run 'pyro env pull debian:12' first",
        );
    };
    let began = Instant::now();
    match boot_and_run(config, store, environment).await {
        Ok(()) => Check::pass(
            name,
            format!("a guest of {environment} answered after {} ms", began.elapsed().as_millis()),
        ),
        Err(reason) => {
            Check::fail(name, reason, format!("run 'pyro run {environment} -- true' for the whole story"))
        }
    }
}

async fn boot_and_run(config: &Config, store: &ImageStore, environment: &str) -> Result<(), String> {
    let chosen = pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path)
        .await
        .map_err(|error| error.to_string())?;
    let installed = store.open(environment).map_err(|error| error.to_string())?;
    let id = GuestId::random().map_err(|error| error.to_string())?;
    let scratch = crate::state::scratch_dir(config).map_err(|error| error.to_string())?;
    let plan = Plan { engine: chosen.engine, installed, size: Size::default(), scratch };
    let machine = Machine::boot(config, store, &plan, id, Memory::Anonymous)
        .await
        .map_err(|error| error.to_string())?;
    let spec =
        ExecSpec { argv: vec!["/bin/sh".into(), "-c".into(), "exit 42".into()], ..ExecSpec::default() };
    let exit = match machine.client.exec(spec, ExecStreams::default()) {
        Ok(mut exec) => exec.exited().await,
        Err(error) => Err(error),
    };
    machine.end().await;
    match exit.map_err(|error| error.to_string())?.ending {
        Ending::Code(42) => Ok(()),
        ending => Err(format!("a command that ends with 42 ended with {ending:?}")),
    }
}
