//! Whether KVM really works here: a probe guest must run at speed under a deadline. That `/dev/kvm` exists and opens proves
//! nothing: there are hosts where it interprets a guest at a thousandth of the processor's speed, or dies of common
//! instructions. Nothing here may choose an engine; see `choose`.

mod cache;
pub mod image;
mod kvm;
mod native;
mod run;

pub use cache::cached;
pub(crate) use cache::find;
pub use kvm::KvmDevice;
pub use run::ProbeError;
pub use run::measure;

use crate::engine::EngineError;
use crate::spec::Acceleration;
use serde::Deserialize;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// How long the probe guest may take unless the caller says otherwise. A host with KVM needs a fifth of it.
pub const DEADLINE: Duration = Duration::from_millis(1500);

/// A guest must run at least at this fraction of the processor's own speed.
const SLOWEST_FRACTION: u64 = 10;

/// Longest reason that is told, in characters.
const REASON_CHARS_MAX: usize = 100;

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
        Err(error) => ProbeReport::unusable(kvm_device, in_short(&error)),
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

/// Why the probe guest did not run, in one short clause. QEMU's own words come with source lines and failed assertions, of
/// which the first line says most.
fn in_short(error: &ProbeError) -> String {
    let reason = match error {
        ProbeError::Engine(EngineError::Gone { exit, tail, .. }) => match first_words(tail) {
            Some(words) => format!("the probe guest ended: {words}"),
            None => format!("the probe guest ended with {exit}"),
        },
        ProbeError::Prepare(source) => format!("{error}: {source}"),
        ProbeError::Engine(source) => format!("{error}: {source}"),
        ProbeError::TooSlow { .. } => error.to_string(),
    };
    reason.chars().take(REASON_CHARS_MAX).collect()
}

/// What a program said first, without its own name before it.
fn first_words(tail: &str) -> Option<&str> {
    let first = tail.split("; ").next()?;
    let words = first.split_once(": ").map_or(first, |(_program, words)| words);
    let words = words.strip_prefix("error: ").unwrap_or(words).trim();
    (!words.is_empty() && !words.contains("../")).then_some(words)
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

    #[test]
    fn a_reason_is_one_short_clause() {
        let reason = |tail: &str| {
            let (operation, exit, tail) = ("running it", "signal 6".to_owned(), tail.to_owned());
            in_short(&ProbeError::Engine(EngineError::Gone { operation, exit, tail }))
        };
        let tail = "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69; qemu-system-x86_64: ../../target/i386/kvm/kvm.c:3183: it";
        assert_eq!(reason(tail), "the probe guest ended: failed to set MSR 0x10a to 0x69");
        assert_eq!(reason(""), "the probe guest ended with signal 6");
        assert_eq!(reason("qemu: ../../a.c:1: f: Assertion failed"), "the probe guest ended with signal 6");
        assert_eq!(reason(&"x".repeat(1000)).chars().count(), REASON_CHARS_MAX);
    }
}
