//! Which engine to use, from what was asked for and what works here. This file must not print: what the user should know
//! about a fallback is returned.

use crate::engine::Engine;
use crate::engine::EngineError;
use crate::probe;
use crate::probe::ProbeReport;
use crate::probe::Verdict;
use crate::qemu::QemuEngine;
use crate::qemu::find_executable;
use crate::spec::Acceleration;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    /// The best that works.
    #[default]
    Auto,
    /// QEMU, with KVM if it works.
    Qemu,
    /// Firecracker.
    Firecracker,
}

impl EngineChoice {
    /// Every name that can be parsed.
    pub const NAMES: [&'static str; 3] = ["auto", "qemu", "firecracker"];
}

/// A name that is no engine's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an engine; there are auto, qemu and firecracker")]
pub struct UnknownEngine(String);

impl FromStr for EngineChoice {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        match name {
            "auto" => Ok(Self::Auto),
            "qemu" => Ok(Self::Qemu),
            "firecracker" => Ok(Self::Firecracker),
            _ => Err(UnknownEngine(name.to_owned())),
        }
    }
}

/// An engine to use.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// What the user should be told, on one line, if anything: only by who finds it out first after the host has booted.
    pub notice: Option<String>,
}

/// Why there is no engine to use.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A program is not installed.
    #[error("{program} is not installed")]
    ProgramMissing {
        /// The program.
        program: String,
        /// The Debian package that has it, if one does.
        debian_package: Option<&'static str>,
    },
    /// Firecracker needs KVM and has none.
    #[error("firecracker needs KVM, which is not usable here: {reason}")]
    NeedsKvm {
        /// Why.
        reason: String,
    },
    /// It could run here, but not in this release.
    #[error("this release does not drive firecracker yet; qemu works with KVM here")]
    NotImplemented,
    /// Anything else the engine said.
    #[error("looking for an engine")]
    Engine(#[source] EngineError),
}

/// Chooses an engine. `probe_cache` is where the probe's result is kept, `search_path` a list of folders as in `PATH`.
///
/// # Errors
/// [`ChooseError`]. An explicit choice that does not work is an error, never another engine.
pub async fn choose(
    choice: EngineChoice,
    probe_cache: &Path,
    search_path: &str,
) -> Result<Chosen, ChooseError> {
    if choice == EngineChoice::Firecracker && find_executable("firecracker", search_path).is_none() {
        return Err(ChooseError::ProgramMissing { program: "firecracker".to_owned(), debian_package: None });
    }
    let emulated = QemuEngine::detect(None, search_path, Acceleration::Emulated).map_err(missing)?;
    let found = probe::find(probe_cache, emulated.program(), probe::DEADLINE).await;
    match choice {
        EngineChoice::Firecracker => Err(no_firecracker(found.report)),
        EngineChoice::Auto | EngineChoice::Qemu => with_qemu(emulated, found.report, found.fresh),
    }
}

fn with_qemu(emulated: QemuEngine, report: ProbeReport, fresh: bool) -> Result<Chosen, ChooseError> {
    match report.verdict {
        Verdict::Usable => {
            let program = Some(emulated.program().to_owned());
            let engine = QemuEngine::detect(program, "", Acceleration::Kvm).map_err(missing)?;
            Ok(Chosen { engine: Arc::new(engine), notice: None })
        }
        Verdict::Unusable { reason } => {
            let notice = fresh.then(|| emulation_notice(&reason));
            Ok(Chosen { engine: Arc::new(emulated), notice })
        }
    }
}

fn emulation_notice(reason: &str) -> String {
    format!(
        "KVM is not usable here ({reason}); guests run in QEMU's software emulation, which is slower and no isolation boundary"
    )
}

fn no_firecracker(report: ProbeReport) -> ChooseError {
    match report.verdict {
        Verdict::Usable => ChooseError::NotImplemented,
        Verdict::Unusable { reason } => ChooseError::NeedsKvm { reason },
    }
}

fn missing(error: EngineError) -> ChooseError {
    match error {
        EngineError::ProgramMissing { program } => {
            ChooseError::ProgramMissing { program, debian_package: Some("qemu-system-x86") }
        }
        other => ChooseError::Engine(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::KvmDevice;

    fn report(verdict: Verdict) -> ProbeReport {
        let (guest_iterations_per_s, native_iterations_per_s) = (None, None);
        ProbeReport {
            verdict,
            kvm_device: KvmDevice::Missing,
            guest_iterations_per_s,
            native_iterations_per_s,
        }
    }

    fn some_qemu() -> QemuEngine {
        QemuEngine::detect(Some("/bin/true".into()), "", Acceleration::Emulated).unwrap()
    }

    #[test]
    fn kvm_is_taken_where_it_works_and_a_fallback_is_said() {
        let best = with_qemu(some_qemu(), report(Verdict::Usable), true).unwrap();
        assert_eq!((best.engine.acceleration(), best.notice), (Acceleration::Kvm, None));
        let unusable = report(Verdict::Unusable { reason: "too slow".to_owned() });
        let again = with_qemu(some_qemu(), unusable.clone(), false).unwrap();
        assert_eq!((again.engine.acceleration(), again.notice), (Acceleration::Emulated, None));
        let fallback = with_qemu(some_qemu(), unusable, true).unwrap();
        assert_eq!(fallback.engine.acceleration(), Acceleration::Emulated);
        let notice = fallback.notice.unwrap();
        assert!(notice.contains("too slow") && !notice.contains('\n'));
    }

    #[test]
    fn firecracker_is_never_replaced_by_something_else() {
        assert!(matches!(no_firecracker(report(Verdict::Usable)), ChooseError::NotImplemented));
        let unusable = report(Verdict::Unusable { reason: "r".to_owned() });
        assert!(matches!(no_firecracker(unusable), ChooseError::NeedsKvm { .. }));
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("probe.json");
        let error = choose(EngineChoice::Auto, &cache, "/nonexistent").await.unwrap_err();
        let ChooseError::ProgramMissing { program, debian_package } = error else { panic!("{error}") };
        assert_eq!((program.as_str(), debian_package), ("qemu-system-x86_64", Some("qemu-system-x86")));
        let error = choose(EngineChoice::Firecracker, &cache, "/nonexistent").await.unwrap_err();
        assert_eq!(error.to_string(), "firecracker is not installed");
    }

    #[test]
    fn names_are_parsed() {
        for name in EngineChoice::NAMES {
            assert!(name.parse::<EngineChoice>().is_ok());
        }
        assert!("kvm".parse::<EngineChoice>().is_err());
    }
}
