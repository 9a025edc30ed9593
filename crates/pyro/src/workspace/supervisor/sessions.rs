//! What runs in a workspace while it is paused. Its processes are in the memory that is kept; what this side knows of them is
//! written down beside that, and gone on with when it comes back: ids, cursors, logs, ports. This file must not know how a
//! shell, a job or a service works.
//!
//! ```text
//!   pause:   typed input held -- quiesce: both directions of the channel empty -- memory saved, engine ended
//!            -- outputs read to their ends -- sessions.json
//!   resume:  attach that keeps jobs -- each is asked for -- the others let go -- followed as before
//! ```
//!
//! **Invariant:** a session belongs to one memory: it is forgotten with that, and neither a fork nor a snapshot has it.

use super::Supervisor;
use super::exec::KeptJob;
use super::service::KeptService;
use super::shell::LoadedShell;
use super::shell::SavedShell;
use crate::code::chain;
use crate::guest::Exec;
use crate::guest::ExecStreams;
use crate::guest::GuestError;
use crate::machine::Snapshot;
use crate::workspace::folder::Folder;
use crate::workspace::folder::read_json;
use crate::workspace::folder::write_json;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use serde::Deserialize;
use serde::Serialize;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The version of the document's shape.
const SCHEMA: u32 = 1;

/// How long what has come from the guest already may take to be kept.
const PART_DEADLINE: Duration = Duration::from_secs(20);

/// How long the guest may take to say what is still there.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(30);

/// What runs in a workspace that is paused.
#[derive(Debug, Serialize, Deserialize)]
struct Sessions {
    schema: u32,
    /// The memory that has it.
    memory: Snapshot,
    shells: Vec<SavedShell>,
    jobs: Vec<KeptJob>,
    services: Vec<KeptService>,
}

/// The same, read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    shells: Vec<LoadedShell>,
    jobs: Vec<KeptJob>,
    pub(super) services: Vec<KeptService>,
}

fn path(suspended: &Path) -> PathBuf {
    suspended.join("sessions.json")
}

fn read(suspended: &Path, memory: &Snapshot) -> Option<Sessions> {
    let sessions = read_json::<Sessions>(&path(suspended)).ok().flatten()?;
    (sessions.schema == SCHEMA && sessions.memory == *memory).then_some(sessions)
}

/// The numbers of the jobs that go on when this memory does.
pub(in crate::workspace) fn kept_jobs(folder: &Folder, memory: &Snapshot) -> HashSet<u64> {
    let jobs = read(&folder.suspended(), memory).map(|sessions| sessions.jobs).unwrap_or_default();
    jobs.iter().map(|kept| kept.started.sequence).collect()
}

/// Reads what belongs to a memory, files and all, so that its folder is not needed any more.
pub(super) fn load(folder: &Folder, memory: &Snapshot) -> Loaded {
    let suspended = folder.suspended();
    let Some(sessions) = read(&suspended, memory) else { return Loaded::default() };
    let shells = sessions.shells.into_iter().map(|saved| saved.load(&suspended, folder.path())).collect();
    Loaded { shells, jobs: sessions.jobs, services: sessions.services }
}

impl Supervisor {
    /// Whether the guest is about to be saved and ended, and what is lost of it here is not lost.
    pub(super) fn is_suspending(&self) -> bool {
        *self.suspending.borrow()
    }

    /// Waits until the guest was saved and has ended.
    pub(super) async fn parted(&self) {
        // The sender is this supervisor's own.
        let _ = self.suspending.subscribe().wait_for(|suspending| *suspending).await;
        self.client().closed().await;
    }

    /// Writes down what runs in a guest that was saved and has ended. What went wrong is for people: without this the processes
    /// go on all the same.
    pub(super) async fn keep_sessions(&self, memory: &Snapshot) -> Option<String> {
        let suspended = self.folder.suspended();
        let kept = tokio::time::timeout(PART_DEADLINE, async {
            let services = self.services.part().await;
            (self.save_shells(&suspended).await, self.part_jobs().await, services)
        });
        let Ok((shells, jobs, services)) = kept.await else {
            return Some(format!("{NOT_KEPT}: what they printed last was not kept in time"));
        };
        let shells = match shells.into_iter().collect() {
            Ok(shells) => shells,
            Err(error) => return Some(format!("{NOT_KEPT}: {error}")),
        };
        let sessions = Sessions { schema: SCHEMA, memory: memory.clone(), shells, jobs, services };
        let written = write_json(&path(&suspended), &sessions, true);
        written.err().map(|error| format!("{NOT_KEPT}: {}", chain(&error)))
    }

    /// Goes on with what was written down, in a guest that attached for that.
    pub(super) async fn take_over(self: &Arc<Self>, loaded: Loaded) {
        let guest = self.client();
        let ask = |job: Option<RequestId>, streams: ExecStreams| {
            job.map_or(Err(GuestError::Closed), |job| guest.take_over(job, streams))
        };
        let of_shell = ExecStreams { stdin: true, ..ExecStreams::default() };
        let of_job = ExecStreams { stderr: true, ..ExecStreams::default() };
        // All are asked for at once: what nobody has asked for by then is let go.
        let shells = loaded.shells.into_iter().map(|shell| (ask(shell.saved.job, of_shell), shell));
        let shells: Vec<_> = shells.collect();
        let jobs: Vec<_> = loaded.jobs.into_iter().map(|job| (ask(Some(job.job), of_job), job)).collect();
        let services = loaded.services.into_iter();
        let services: Vec<_> =
            services.map(|service| (service.job.map(|job| ask(Some(job), of_job)), service)).collect();
        let let_go = guest.call(RequestBody::LetGo);
        for (exec, shell) in shells {
            self.take_over_shell(shell, started(exec).await).await;
        }
        for (exec, job) in jobs {
            self.take_over_job(job, started(exec).await).await;
        }
        for (exec, service) in services {
            let exec = match exec {
                Some(exec) => Some(started(exec).await),
                None => None,
            };
            self.take_over_service(&service, exec);
        }
        // An agent that does not know this has let go already.
        let _ = tokio::time::timeout(TAKE_OVER_DEADLINE, let_go).await;
    }
}

const NOT_KEPT: &str = "shells, jobs and services go on after a resume, and cannot be reached by their ids";

/// A job that is there.
async fn started(exec: Result<Exec, GuestError>) -> Result<Exec, GuestError> {
    let mut exec = exec?;
    match tokio::time::timeout(TAKE_OVER_DEADLINE, exec.started()).await {
        Ok(started) => started.map(|_| exec),
        Err(_) => Err(GuestError::Closed),
    }
}
