//! Finds out what this host can do, and says how to mend what it cannot. It works on any host, and changes nothing but the
//! cached verdict of the KVM probe. It must not need a working engine, mirror or environment to give its report.

mod check;
mod folders;
mod guest;
mod images;
mod programs;

pub use check::Check;
pub use check::Status;

use crate::config::Config;
use crate::work::Work;
use pyro_image::ImageStore;
use serde::Serialize;
use std::path::PathBuf;

/// What a host can do.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Operating system and processor, as in `linux-x86_64`.
    pub platform: String,
    /// No check failed.
    pub runtime_ok: bool,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// The KVM device.
    pub kvm: Kvm,
    /// Where environments are kept.
    pub environment_cache: PathBuf,
    /// What works.
    pub capabilities: Capabilities,
    /// What the host offers for networks; pyro's own network needs none of it.
    pub networking: Networking,
    /// One line for each check that did not pass.
    pub issues: Vec<String>,
}

/// The KVM device.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Kvm {
    /// `/dev/kvm` is there.
    pub exists: bool,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// A probe guest really ran on it, at speed.
    pub usable: bool,
}

/// What works on this host.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Capabilities {
    /// A guest can be started.
    pub vm_boot: bool,
    /// Commands can be run in it.
    pub guest_exec: bool,
    /// It can have a network.
    pub guest_network: bool,
}

/// What the host offers for networks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Networking {
    /// `/dev/net/tun` is there.
    pub tun: bool,
    /// The host forwards IPv4 packets.
    pub ip_forward: bool,
}

/// What to look at besides the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Boot a real guest of an installed environment and run a command in it.
    pub boot: bool,
}

/// The platform pyro runs on.
pub const SUPPORTED_PLATFORM: &str = "linux-x86_64";

/// Examines the host.
///
/// Must be called on a thread that outlives the call: probe guests die with the thread that started them.
pub fn doctor(config: &Config, options: Options) -> Work<'_, Report> {
    Box::pin(async move {
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let mut checks = vec![check_platform(&platform)];
        let (kvm_check, kvm) = guest::kvm(config).await;
        let qemu = programs::qemu(config);
        let has_qemu = qemu.status == Status::Pass;
        checks.push(kvm_check);
        checks.push(qemu);
        checks.push(guest::emulation(config).await);
        checks.push(programs::optional(config, "firecracker", "guests run on QEMU in this release"));
        checks.push(programs::optional(config, "jailer", "it is used with Firecracker alone"));
        checks.extend(folders::checks(config));
        let store = ImageStore::new(config.image_config());
        let installed = images::installed(&store);
        checks.extend(programs::builders(config, !installed.is_empty()));
        checks.push(programs::user_namespaces(config, !installed.is_empty()));
        checks.push(images::mirror(&config.image_config(), !installed.is_empty()).await);
        checks.push(images::environments(&store, &installed));
        if options.boot {
            checks.push(guest::boot(config, &store, &installed).await);
        }
        let passed =
            |name: &str| checks.iter().any(|check| check.name == name && check.status != Status::Fail);
        let vm_boot = has_qemu && !options.boot || options.boot && passed("boot");
        let issues = checks.iter().filter_map(Check::issue).collect();
        Report {
            runtime_ok: checks.iter().all(|check| check.status != Status::Fail),
            platform,
            kvm,
            environment_cache: config.cache_dir.join("environments"),
            capabilities: Capabilities { vm_boot, guest_exec: vm_boot, guest_network: false },
            networking: Networking {
                tun: std::path::Path::new("/dev/net/tun").exists(),
                ip_forward: std::fs::read("/proc/sys/net/ipv4/ip_forward")
                    .is_ok_and(|text| text.starts_with(b"1")),
            },
            issues,
            checks,
        }
    })
}

fn check_platform(platform: &str) -> Check {
    if platform == SUPPORTED_PLATFORM {
        Check::pass("platform", platform)
    } else {
        Check::fail(
            "platform",
            format!("{platform} is not supported"),
            format!("use a host of the platform {SUPPORTED_PLATFORM}"),
        )
    }
}
