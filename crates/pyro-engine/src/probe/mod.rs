//! Whether KVM really works here: a probe guest must run at speed under a deadline. That `/dev/kvm` exists and opens proves
//! nothing: there are hosts where it interprets a guest at a thousandth of the processor's speed, or dies of common
//! instructions. Nothing here may choose an engine; see `choose`.

mod cache;
pub mod image;
mod kvm;
mod native;
mod run;

pub use cache::cached;
pub use kvm::KvmDevice;
pub use run::ProbeError;
pub use run::measure;

use crate::spec::Acceleration;
use serde::Deserialize;
use serde::Serialize;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// How long the probe guest may take unless the caller says otherwise. A host with KVM needs a fifth of it.
pub const DEADLINE: Duration = Duration::from_millis(1500);

/// A guest must run at least at this fraction of the processor's own speed.
const SLOWEST_FRACTION: u64 = 10;

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Whether guests can use KVM here.
    pub verdict: Verdict,
    /// The device, before anything was run.
    pub kvm_device: KvmDevice,
    /// Turns of the counting loop per second in the probe guest, if it got that far.
    pub guest_iterations_per_s: Option<u64>,
    /// Turns of the same loop per second on the host itself, if the guest was run.
    pub native_iterations_per_s: Option<u64>,
}

/// Whether guests can use KVM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verdict {
    /// A guest ran at speed.
    Usable,
    /// None did.
    Unusable {
        /// Why, in one clause for people.
        reason: String,
    },
}

impl ProbeReport {
    /// Whether guests can use KVM here.
    pub fn usable(&self) -> bool {
        self.verdict == Verdict::Usable
    }

    const fn unusable(kvm_device: KvmDevice, reason: String) -> Self {
        let verdict = Verdict::Unusable { reason };
        Self { verdict, kvm_device, guest_iterations_per_s: None, native_iterations_per_s: None }
    }
}

/// Runs the probe guest with KVM under the QEMU program `qemu`. Where the device cannot be opened, nothing is run.
pub async fn probe(qemu: &Path, deadline: Duration) -> ProbeReport {
    let kvm_device = KvmDevice::examine();
    if let Some(reason) = kvm_device.unusable_reason() {
        return ProbeReport::unusable(kvm_device, reason);
    }
    match measure(qemu, Acceleration::Kvm, deadline).await {
        Ok(guest) => judge(kvm_device, guest, native::iterations_per_s()),
        Err(error) => ProbeReport::unusable(kvm_device, in_full(&error)),
    }
}

fn judge(kvm_device: KvmDevice, guest: u64, native: u64) -> ProbeReport {
    let verdict = if guest >= native / SLOWEST_FRACTION {
        Verdict::Usable
    } else {
        let slowdown = native / guest.max(1);
        Verdict::Unusable {
            reason: format!("a guest with KVM runs {slowdown} times slower than the processor"),
        }
    };
    let (guest_iterations_per_s, native_iterations_per_s) = (Some(guest), Some(native));
    ProbeReport { verdict, kvm_device, guest_iterations_per_s, native_iterations_per_s }
}

fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_decides() {
        let judged = |guest, native| judge(KvmDevice::Opens { major: 10, minor: 232 }, guest, native);
        assert!(judged(900, 1000).usable());
        assert!(judged(100, 1000).usable());
        let slow = judged(1, 1000);
        let Verdict::Unusable { reason } = slow.verdict else {
            panic!("a thousandth of the speed is not usable")
        };
        assert!(reason.contains("1000 times"), "{reason}");
        assert!(!judged(0, 1000).usable());
    }
}
