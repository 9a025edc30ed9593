//! What a run tells its caller, while it goes on and when it has ended.

use crate::guest::GuestStatus;
use crate::identity::GuestId;
use crate::workspace::Excerpt;
use pyro_engine::Acceleration;
use pyro_engine::EngineKind;
use pyro_image::NoProgress;
use pyro_image::Progress;
use pyro_proto::exec::Ending;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Where a run has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The environment is being made ready.
    Create,
    /// A template for guests like this one is being made; later starts are quick.
    Template,
    /// The guest is being started.
    Start {
        /// Its id.
        vm_id: GuestId,
    },
    /// The command is being run.
    Execute {
        /// The guest's id.
        vm_id: GuestId,
    },
}

/// Told of a run's progress. Calls must return quickly.
pub trait RunObserver: Send {
    /// A phase begins.
    fn phase(&mut self, phase: &Phase);
    /// Something the user should know once, as one line.
    fn notice(&mut self, text: &str);
    /// So many bytes of files have gone into the guest.
    fn transferred(&mut self, _bytes: u64) {}
    /// Who is told of the environment's installation, should it be needed.
    fn pull_progress(&self) -> Arc<dyn Progress + Send + Sync>;
}

/// An observer that tells nobody anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl RunObserver for Silent {
    fn phase(&mut self, _phase: &Phase) {}
    fn notice(&mut self, _text: &str) {}
    fn pull_progress(&self) -> Arc<dyn Progress + Send + Sync> {
        Arc::new(NoProgress)
    }
}

/// How a guest came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedBy {
    /// Its kernel was booted.
    Boot,
    /// A paused guest was brought back.
    Restore,
    /// There is no guest: a process on the host.
    Spawn,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// The guest's id.
    pub vm_id: GuestId,
    /// The environment's version.
    pub environment_version: String,
    /// How the command ended.
    pub ending: Ending,
    /// The time-out, or the guest's time to live, ended it.
    pub timed_out: bool,
    /// How its guest came up.
    pub started_by: StartedBy,
    /// Which engine ran it.
    pub engine: EngineKind,
    /// What executed it.
    pub acceleration: Acceleration,
    /// How the guest was doing when the command had ended; nothing when it was not asked, or did not answer.
    pub guest: Option<GuestStatus>,
    /// How long each part took.
    pub timings: Timings,
}

/// How long each part of a run took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Checking the environment, choosing the engine, making the guest's disk.
    pub prepare_ms: f64,
    /// From the engine's start until the agent is there.
    pub boot_ms: f64,
    /// From there to the guest being allowed to run commands: its identity applied.
    pub agent_ready_ms: f64,
    /// From asking for the command to its end.
    pub exec_ms: f64,
    /// All of it, the guest's removal included.
    pub total_ms: f64,
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl RunReport {
    /// The contract's document of a run of `command`, with what its caller kept of its output.
    pub fn describe(&self, environment: &str, command: &str, stdout: &Excerpt, stderr: &Excerpt) -> Value {
        let vm_id = self.vm_id.as_str();
        let mut document = json!({
            "vm_id": vm_id,
            "environment": environment,
            "environment_version": self.environment_version,
            "command": command,
            "exit_code": self.exit_code(),
            "timed_out": self.timed_out,
            "signal": match self.ending { Ending::Signal(signal) => Some(signal), Ending::Code(_) => None },
            "duration_ms": self.timings.exec_ms.round() as u64,
            "execution_mode": self.execution_mode(),
            "started_by": self.started_by,
            "engine": self.engine,
            "acceleration": self.acceleration,
            "isolation": self.isolation(),
            "timings": self.timings,
            "guest": self.guest.map(|guest| json!({
                "disk_total_bytes": guest.disk_total_bytes,
                "disk_free_bytes": guest.disk_free_bytes,
                "disk_full": guest.disk_full(),
                "mem_total_kib": guest.mem_total_kib,
                "mem_available_kib": guest.mem_available_kib,
            })),
            "cleanup": {"vm_id": vm_id, "deleted": true, "reason": "post_exec_cleanup"},
        });
        stdout.add_counted(&mut document, "stdout");
        stderr.add_counted(&mut document, "stderr");
        document
    }

    /// The exit code a process should end with: the command's own, 128 and the signal's number when a signal killed it,
    /// 124 when its time was up.
    pub const fn exit_code(&self) -> i32 {
        match self.ending {
            _ if self.timed_out => 124,
            Ending::Code(code) => code,
            Ending::Signal(signal) => 128 + signal,
        }
    }

    /// The contract's name for where the command ran.
    pub const fn execution_mode(&self) -> &'static str {
        match self.engine {
            EngineKind::Host => "host_compat",
            EngineKind::Qemu | EngineKind::Firecracker => "guest_vsock",
        }
    }

    /// How well the guest is kept from the host.
    pub const fn isolation(&self) -> &'static str {
        match self.acceleration {
            Acceleration::Kvm => "hardware",
            Acceleration::Emulated => "emulated",
            Acceleration::None => "none",
        }
    }
}
