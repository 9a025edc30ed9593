//! `pyro doctor`.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use pyro::doctor::Options;
use pyro::doctor::Report;
use pyro::doctor::SUPPORTED_PLATFORM;
use pyro::doctor::Status;

/// Check what this host can do, and say how to mend what it cannot. The exit code is 1 when a check failed.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Platform to check for.
    #[arg(long, default_value = SUPPORTED_PLATFORM, value_parser = [SUPPORTED_PLATFORM])]
    platform: String,

    /// Also boot a real guest of an installed environment and run a command in it.
    #[arg(long)]
    boot: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let config = settings::config(engine, exit::FAILED)?;
        let runtime = EventLoop::new().map_err(Failure::event_loop(exit::FAILED))?;
        let report = runtime.block_on(pyro::doctor::doctor(&config, Options { boot: self.boot }));
        if self.json {
            output::json(&report);
        } else {
            print(&report);
        }
        Ok(if report.runtime_ok { exit::OK } else { exit::FAILED })
    }
}

fn print(report: &Report) {
    let yes = |value: bool| if value { "yes" } else { "no" };
    let (kvm, can, net) = (&report.kvm, &report.capabilities, &report.networking);
    output::line(&format!("Platform: {}", report.platform));
    output::line(&format!("Runtime: {}", if report.runtime_ok { "PASS" } else { "FAIL" }));
    output::line(&format!(
        "KVM: exists={} readable={} writable={} usable={}",
        yes(kvm.exists),
        yes(kvm.readable),
        yes(kvm.writable),
        yes(kvm.usable)
    ));
    output::line(&format!("Environment cache: {}", report.environment_cache.display()));
    output::line(&format!(
        "Capabilities: vm_boot={} guest_exec={} guest_network={}",
        yes(can.vm_boot),
        yes(can.guest_exec),
        yes(can.guest_network)
    ));
    output::line(&format!("Networking: tun={} ip_forward={}", yes(net.tun), yes(net.ip_forward)));
    output::line("Checks:");
    for check in &report.checks {
        let status = match check.status {
            Status::Pass => "PASS",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        };
        output::line(&format!("- {status} {}: {}", check.name, check.detail));
        if let Some(remedy) = &check.remedy {
            output::line(&format!("  remedy: {remedy}"));
        }
    }
    if !report.issues.is_empty() {
        output::line("Issues:");
        for issue in &report.issues {
            output::line(&format!("- {issue}"));
        }
    }
}
