//! What is known of a service, in the contract's shape, and how that may change. This file must not cause any change.
//!
//! ```text
//!   starting -- ready --> running -- ended by itself --> exited      (or starting again, if it failed and is to be restarted)
//!      |  |                  |
//!      |  |                  +-- stopped, or its guest was --> stopped
//!      |  +-- stopped, or its guest was --> stopped
//!      +-- ended before, or not ready in time, or its port is taken --> failed
//! ```

use super::spec::Probe;
use super::spec::RestartPolicy;
use super::spec::ServiceSpec;
use crate::code;
use crate::workspace::document::UnixSeconds;
use crate::workspace::id::ServiceName;
use crate::workspace::id::WorkspaceId;
use crate::workspace::port::PublishedPort;
use crate::workspace::view::EXECUTION_MODE;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

/// The contract's words for why a service does not run.
pub(in crate::workspace) mod stop_reason {
    pub(in crate::workspace) const SIGTERM: &str = "sigterm";
    pub(in crate::workspace) const SIGKILL: &str = "sigkill";
    pub(in crate::workspace) const WORKSPACE_STOPPED: &str = "workspace_stopped";
    pub(in crate::workspace) const EXITED_BEFORE_READY: &str = "process_exited_before_ready";
    pub(in crate::workspace) const READINESS_TIMEOUT: &str = "readiness_timeout";
    pub(in crate::workspace) const PORT_FAILED: &str = "published_port_failed";
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It is not ready yet, or not again.
    Starting,
    /// It runs and was ready.
    Running,
    /// It ended by itself.
    Exited,
    /// It was stopped.
    Stopped,
    /// It was never ready.
    Failed,
}

/// What is known of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub service_name: ServiceName,
    /// How it is.
    pub state: ServiceState,
    /// Its command as one line.
    pub command: String,
    /// Where it runs.
    pub cwd: String,
    /// When its process, the latest if it was restarted, was started.
    pub started_at: UnixSeconds,
    /// When it ended.
    pub ended_at: Option<UnixSeconds>,
    /// What its process, the latest, ended with; 128 and the number for a signal.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its process in the guest.
    pub pid: Option<u32>,
    /// `guest_vsock`.
    pub execution_mode: String,
    /// How one knows that it is ready.
    pub readiness: Option<Probe>,
    /// When it was.
    pub ready_at: Option<UnixSeconds>,
    /// Why it does not run.
    pub stop_reason: Option<String>,
    /// What more there is to say about that.
    pub error: Option<String>,
    /// Its ports, while they are published.
    pub published_ports: Vec<PublishedPort>,
    /// Whether the last try after it was ready said that it still is; nothing when none was made.
    pub healthy: Option<bool>,
    /// What becomes of it when it fails.
    pub restart: RestartPolicy,
    /// How often it was started again because it had failed.
    pub restart_count: u64,
    /// Processes that were left when its process, the latest that ended, did so by itself; they were ended, too.
    pub detached_processes: u32,
}

/// Why a service failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFailure {
    /// The stable code.
    pub code: &'static str,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// All that is kept of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::workspace) struct Known {
    pub(in crate::workspace) schema: u32,
    pub(in crate::workspace) record: ServiceRecord,
    pub(in crate::workspace) spec: ServiceSpec,
}

/// How a process ended, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::workspace) struct Exit {
    pub(in crate::workspace) code: Option<i32>,
    pub(in crate::workspace) signal: Option<i32>,
    pub(in crate::workspace) detached: u32,
}

/// What may happen to a service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::workspace) enum Change {
    /// Its process runs.
    Launched { pid: u32 },
    /// It is ready.
    Ready { ports: Vec<PublishedPort>, healthy: Option<bool> },
    /// It goes on after a pause.
    Resumed { ports: Vec<PublishedPort>, error: Option<String> },
    /// It was tried whether it still is.
    Health(bool),
    /// It failed and will be started again.
    Failed { exit: Exit, error: Option<String> },
    /// It is over.
    Over { state: ServiceState, reason: Option<&'static str>, exit: Exit, error: Option<String> },
}

impl ServiceRecord {
    /// Of one that is about to be started.
    pub(in crate::workspace) fn new(workspace: &WorkspaceId, name: &ServiceName, spec: &ServiceSpec) -> Self {
        Self {
            workspace_id: workspace.clone(),
            service_name: name.clone(),
            state: ServiceState::Starting,
            command: spec.command.clone(),
            cwd: String::from_utf8_lossy(spec.cwd.as_bytes()).into_owned(),
            started_at: UnixSeconds::now(),
            ended_at: None,
            exit_code: None,
            signal: None,
            pid: None,
            execution_mode: EXECUTION_MODE.to_owned(),
            readiness: spec.probe.clone(),
            ready_at: None,
            stop_reason: None,
            error: None,
            published_ports: Vec::new(),
            healthy: None,
            restart: spec.restart,
            restart_count: 0,
            detached_processes: 0,
        }
    }

    /// Whether it runs, or is about to.
    pub const fn is_living(&self) -> bool {
        matches!(self.state, ServiceState::Starting | ServiceState::Running)
    }

    /// Whether its first start has come to an end, one way or the other.
    pub(in crate::workspace) const fn is_settled(&self) -> bool {
        !matches!(self.state, ServiceState::Starting) || self.restart_count > 0
    }

    /// Changes it, if that can happen to it as it is.
    pub(in crate::workspace) fn apply(&mut self, change: Change) -> bool {
        use ServiceState::Running;
        use ServiceState::Starting;
        let now = UnixSeconds::now();
        match (self.state, change) {
            (Starting, Change::Launched { pid }) => {
                (self.pid, self.started_at) = (Some(pid), now);
            }
            (Starting, Change::Ready { ports, healthy }) => {
                (self.state, self.ready_at) = (Running, Some(now));
                (self.published_ports, self.healthy) = (ports, healthy);
                // What the one before ended with says nothing of this one.
                (self.exit_code, self.signal, self.error) = (None, None, None);
            }
            (Running, Change::Resumed { ports, error }) => {
                (self.published_ports, self.error) = (ports, error);
            }
            (Running, Change::Health(healthy)) if self.healthy != Some(healthy) => {
                self.healthy = Some(healthy);
            }
            (Starting | Running, Change::Failed { exit, error }) => {
                self.state = Starting;
                (self.pid, self.ready_at, self.error) = (None, None, error);
                self.healthy = self.healthy.map(|_| false);
                self.ended(exit);
                self.restart_count += 1;
            }
            (Starting | Running, Change::Over { state, reason, exit, error }) => {
                (self.state, self.ended_at, self.error) = (state, Some(now), error);
                self.stop_reason = reason.map(str::to_owned);
                self.published_ports.clear();
                self.healthy = None;
                self.ended(exit);
            }
            _ => return false,
        }
        true
    }

    fn ended(&mut self, exit: Exit) {
        (self.exit_code, self.signal) = (exit.code, exit.signal);
        self.detached_processes = exit.detached;
    }

    /// What must be so when there is no guest: it has ended, and nobody saw when.
    pub(in crate::workspace) fn settle_without_guest(&mut self) {
        if self.is_living() {
            self.state = ServiceState::Stopped;
            self.stop_reason = Some(stop_reason::WORKSPACE_STOPPED.to_owned());
            self.published_ports.clear();
            self.healthy = None;
        }
    }

    /// Why it failed, if it did: what the record says of it, with a code and what to do.
    pub fn failure(&self) -> Option<ServiceFailure> {
        if self.state != ServiceState::Failed {
            return None;
        }
        let name = &self.service_name;
        let mut message = format!("the service '{name}' failed");
        message.extend(self.stop_reason.as_ref().map(|reason| format!(": {reason}")));
        message.extend(self.exit_code.map(|code| format!(", exit code {code}")));
        message.extend(self.error.as_ref().map(|error| format!(": {error}")));
        let hint =
            format!("'pyro workspace service logs {} {name}' shows what it printed", self.workspace_id);
        Some(ServiceFailure { code: code::SERVICE_FAILED, message, hint })
    }

    /// The contract's record.
    pub fn describe(&self) -> Value {
        let mut record = json!(self);
        record["published_ports"] = self.published_ports.iter().map(PublishedPort::describe).collect();
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn record(spec: &ServiceSpec) -> ServiceRecord {
        ServiceRecord::new(&"3fa2c19b04de".parse().unwrap(), &"app".parse().unwrap(), spec)
    }

    fn fresh() -> ServiceRecord {
        record(&ServiceSpec::new(&Command::Shell("sh serve.sh".into())))
    }

    const READY: Change = Change::Ready { ports: Vec::new(), healthy: None };

    fn over(state: ServiceState, code: i32) -> Change {
        let exit = Exit { code: Some(code), signal: None, detached: 0 };
        Change::Over { state, reason: Some(stop_reason::SIGTERM), exit, error: None }
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut record = fresh();
        assert!(!record.is_settled() && record.is_living());
        assert!(!record.apply(Change::Health(true)), "it was not ready yet");
        assert!(!record.apply(Change::Resumed { ports: Vec::new(), error: None }));
        assert!(record.apply(Change::Launched { pid: 7 }) && record.apply(READY));
        assert!(record.is_settled() && record.ready_at.is_some());
        assert!(!record.apply(Change::Launched { pid: 8 }));
        assert!(record.apply(Change::Health(false)) && !record.apply(Change::Health(false)));
        let ready_at = record.ready_at;
        assert!(record.apply(Change::Resumed { ports: Vec::new(), error: Some("taken".into()) }));
        assert_eq!((record.ready_at, record.error.as_deref()), (ready_at, Some("taken")));
        assert!(record.apply(over(ServiceState::Stopped, 143)));
        let ended = record.clone();
        assert_eq!((ended.state, ended.exit_code, ended.pid), (ServiceState::Stopped, Some(143), Some(7)));
        for change in
            [READY, Change::Health(true), Change::Launched { pid: 1 }, over(ServiceState::Exited, 0)]
        {
            assert!(!record.apply(change));
        }
        record.settle_without_guest();
        assert_eq!(record, ended);
    }

    #[test]
    fn one_that_is_restarted_is_starting_and_counted() {
        let mut record = fresh();
        record.apply(Change::Launched { pid: 7 });
        record.apply(READY);
        let exit = Exit { code: Some(137), signal: Some(9), detached: 0 };
        assert!(record.apply(Change::Failed { exit, error: None }));
        assert_eq!((record.state, record.restart_count, record.pid), (ServiceState::Starting, 1, None));
        assert_eq!((record.exit_code, record.signal), (Some(137), Some(9)));
        assert!(record.is_settled(), "whoever waits for the first start has its answer");
        assert!(record.apply(Change::Launched { pid: 9 }) && record.apply(READY));
        assert_eq!((record.exit_code, record.restart_count), (None, 1));
    }

    #[test]
    fn without_a_guest_nothing_runs() {
        let mut record = fresh();
        record.settle_without_guest();
        assert_eq!(record.state, ServiceState::Stopped);
        assert_eq!(record.stop_reason.as_deref(), Some("workspace_stopped"));
        assert_eq!(record.ended_at, None);
    }

    /// The contract's fields and words; the document on disk may gain fields, never lose or rename them.
    #[test]
    fn a_record_has_its_shape() {
        let mut spec = ServiceSpec::new(&Command::Shell("sh serve.sh".into()));
        spec.probe = Some(Probe::Http { url: "http://127.0.0.1:8000/".parse().unwrap() });
        let told = record(&spec).describe();
        for field in [
            "workspace_id",
            "service_name",
            "state",
            "command",
            "cwd",
            "started_at",
            "ended_at",
            "exit_code",
            "pid",
            "execution_mode",
            "readiness",
            "ready_at",
            "stop_reason",
            "published_ports",
            "restart_count",
            "healthy",
        ] {
            assert!(told.get(field).is_some(), "{field} is missing");
        }
        assert_eq!(told["state"], "starting");
        assert_eq!(told["readiness"], json!({ "type": "http", "url": "http://127.0.0.1:8000/" }));
        assert_eq!((&told["restart"], &told["healthy"]), (&json!("no"), &Value::Null));
        spec.publish.push("8000".parse().unwrap());
        let known = Known { schema: 1, record: record(&spec), spec };
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Known>(&text).unwrap(), known);
    }
}
