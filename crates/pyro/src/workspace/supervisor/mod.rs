//! The one process that runs a workspace's guest: it owns the engine, the channel to the agent, the commands under way and
//! the idle timer, and listens on the workspace's socket. Everybody else is its client. This file must not know what a
//! request means.
//!
//! ```text
//!   started (lock and document inherited) -- guest up --> serving --+-- asked to stop ------------> ended
//!        |                                                 ^  |     +-- idle for as long as its ttl --^
//!        +-- failed: told, ended                           |  |     +-- a signal ---------------------^
//!                                                          +--+     +-- the guest or its engine gone -^
//!                                                     a reset: another guest, same workspace
//! ```
//!
//! **Invariant:** whoever holds the workspace's lock is the only one that writes its document, its layers and its snapshots.
//! The lock dies with this process, and the engine with it: so there are never two guests on one disk.

mod ask;
mod bring_up;
mod end;
mod exec;
mod feed;
mod fork;
mod freeze;
mod job;
mod keep;
mod order;
mod output;
mod ports;
mod recover;
mod redacted;
mod room;
mod serve;
mod service;
mod sessions;
mod shell;
mod splice;
#[cfg(test)]
mod tests;
mod tool;
mod vault;

use crate::work::Work;
pub(in crate::workspace) use keep::reset_of;
pub(in crate::workspace) use order::Line;
pub use order::Order;
use order::Report;
pub(in crate::workspace) use sessions::kept_jobs;

use super::document::Document;
use super::document::Stage;
use super::document::StopReason;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::event;
use super::folder::Folder;
use super::folder::FolderLock;
use super::history::History;
use super::keyring::Keyring;
use super::registry::Registry;
use crate::config::Config;
use crate::guest::GuestClient;
use crate::machine::Machine;
use crate::machine::Plan;
use crate::run::StartedBy;
use job::Jobs;
use ports::PublishedPorts;
use pyro_engine::Stall;
use pyro_image::ImageStore;
use service::Services;
use shell::Shells;
use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vault::Vault;

/// How long a guest has to end by itself when nobody says otherwise.
pub(in crate::workspace) const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long clients may take to hear how it ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long commands that are beginning may hold up whoever replaces or ends the guest.
const GATE_DEADLINE: Duration = Duration::from_secs(2);

/// A running workspace, as the tasks of its supervisor share it.
#[derive(Debug)]
pub(in crate::workspace) struct Supervisor {
    config: Config,
    store: ImageStore,
    plan: Plan,
    folder: Folder,
    registry: Registry,
    history: History,
    jobs: Jobs,
    /// Those that the document names.
    ports: Mutex<PublishedPorts>,
    /// Room for clients of published ports, whoever owns those.
    port_clients: Arc<Semaphore>,
    vault: Vault,
    shells: Shells,
    services: Services,
    document: Mutex<Document>,
    /// The engine, for one change at a time.
    machine: tokio::sync::Mutex<Machine>,
    /// Taken for writing by whoever holds the guest's disk, and for reading by what begins to write to it.
    held: tokio::sync::RwLock<()>,
    /// The channel to the guest there is now. Never held across an await.
    client: Mutex<Arc<GuestClient>>,
    /// Whether the guest there is now is held for want of room.
    stall: watch::Sender<Stall>,
    /// Since when it stands still.
    blocked: watch::Sender<Option<UnixSeconds>>,
    started_by: StartedBy,
    started_at: UnixSeconds,
    activity: Activity,
    /// Open while commands may be started; shut by whoever is about to replace or end the guest.
    gate: tokio::sync::RwLock<()>,
    /// How many are about to stop it.
    stopping: watch::Sender<usize>,
    /// The guest is being saved to go on from there.
    suspending: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

/// When the workspace was last used.
#[derive(Debug)]
struct Activity {
    state: Mutex<(Instant, usize)>,
    changed: Notify,
}

impl Activity {
    fn new() -> Self {
        Self { state: Mutex::new((Instant::now(), 0)), changed: Notify::new() }
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.1);
        state.0 = Instant::now();
        drop(state);
        self.changed.notify_one();
    }

    /// Since when nothing has happened; nothing while something does.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.1 == 0).then_some(state.0)
    }
}

/// While this value lives the workspace is in use.
struct InUse(Arc<Supervisor>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.activity.change(|uses| *uses = uses.saturating_sub(1));
        self.0.touch();
    }
}

/// Runs a workspace's guest until it ends. Must be called on the process's first thread: the engine dies with the thread
/// that started it.
///
/// `lock` is the workspace's lock, inherited; `report` is where whoever started this process waits for word.
pub fn supervise(order: Order, lock: File, report: File) -> Work<'static, ExitCode> {
    Box::pin(async move {
        let mut report = Report::new(report);
        // Held until the process ends, whatever happens to it.
        let lock = FolderLock::inherited(lock);
        let (signals, supervisor) = match start(order, &mut report).await {
            Ok(started) => started,
            Err(error) => {
                report.failed(&error);
                return ExitCode::FAILURE;
            }
        };
        let listener = match supervisor.listen() {
            Ok(listener) => listener,
            Err(error) => {
                supervisor.machine.lock().await.kill().await;
                report.failed(&error.into());
                return ExitCode::FAILURE;
            }
        };
        supervisor.open_ports(&mut report);
        report.ready();
        supervisor.serve(listener, signals, report.gone()).await;
        if supervisor.document().stage == Stage::Creating {
            // Whoever was making it is gone, or has given up.
            Keyring::of(&supervisor.config, supervisor.folder.id()).clear(&supervisor.document());
            let _ = supervisor.folder.clone().remove(&lock);
        }
        ExitCode::SUCCESS
    })
}

async fn start(
    order: Order,
    report: &mut Report,
) -> Result<(mpsc::Receiver<i32>, Arc<Supervisor>), WorkspaceError> {
    let signals = end::signals();
    let config = order.config;
    let registry = Registry::open(&config)?;
    let folder = registry.folder(order.workspace);
    let mut document = folder.load()?;
    folder.tidy(document.suspended.is_some());
    let _ = super::snapshots::retain_layers(&folder, &document.chain);
    // Without them its commands would not find what they were promised; then nothing is started.
    let secrets = super::secrets::values(&config, &folder, &document)?;
    let up = bring_up::bring_up(&config, &folder, &mut document, report).await?;
    document.stopped = None;
    folder.save(&document)?;
    let history = History::of(&folder);
    let next_job = bring_up::next_job(&history, &document);
    event::note(&config, &document.workspace_id, "workspace_started", None);
    let supervisor = Supervisor {
        store: up.store,
        plan: up.plan,
        registry,
        history,
        jobs: Jobs::new(next_job),
        ports: Mutex::new(PublishedPorts::default()),
        port_clients: Arc::new(Semaphore::new(ports::CLIENTS_MAX)),
        vault: Vault::new(secrets),
        shells: Shells::default(),
        services: Services::of(&folder, &up.sessions.services),
        document: Mutex::new(document),
        client: Mutex::new(Arc::clone(&up.machine.client)),
        stall: watch::channel(up.machine.guest.stall()).0,
        blocked: watch::channel(None).0,
        machine: tokio::sync::Mutex::new(up.machine),
        held: tokio::sync::RwLock::new(()),
        started_by: up.started_by,
        started_at: UnixSeconds::now(),
        activity: Activity::new(),
        gate: tokio::sync::RwLock::new(()),
        stopping: watch::channel(0).0,
        suspending: watch::channel(false).0,
        ended: watch::channel(false).0,
        config,
        folder,
    };
    let supervisor = Arc::new(supervisor);
    supervisor.take_over(up.sessions).await;
    Ok((signals, supervisor))
}

impl Supervisor {
    fn document(&self) -> Document {
        self.document_mut().clone()
    }

    fn document_mut(&self) -> MutexGuard<'_, Document> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the document and writes it, durably.
    fn change<T>(&self, change: impl FnOnce(&mut Document) -> T) -> Result<T, StoreError> {
        let mut document = self.document_mut();
        let mut changed = document.clone();
        let result = change(&mut changed);
        self.folder.save(&changed)?;
        *document = changed;
        Ok(result)
    }

    /// Notes that the workspace was used just now. Of no consequence when it is lost.
    fn touch(&self) {
        let mut document = self.document_mut();
        document.last_activity_at = UnixSeconds::now();
        let _ = self.folder.save_soon(&document);
    }

    fn in_use(self: &Arc<Self>) -> InUse {
        self.activity.change(|uses| *uses += 1);
        self.touch();
        InUse(Arc::clone(self))
    }

    /// Lets no command begin while this is held. A guest that does not answer to those which are beginning is not waited for.
    async fn shut_gate(&self) -> Option<tokio::sync::RwLockWriteGuard<'_, ()>> {
        tokio::time::timeout(GATE_DEADLINE, self.gate.write()).await.ok()
    }

    fn client(&self) -> Arc<GuestClient> {
        Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn id(&self) -> String {
        self.folder.id().to_string()
    }

    fn listen(&self) -> Result<UnixListener, StoreError> {
        super::control::socket::listen(&self.folder)
    }

    async fn serve(
        self: &Arc<Self>,
        listener: UnixListener,
        mut signals: mpsc::Receiver<i32>,
        mut starter_gone: oneshot::Receiver<()>,
    ) {
        let mut ended = self.ended.subscribe();
        let mut started_alone = false;
        let mut connections = JoinSet::new();
        // Ending takes a while, in which whoever connects is still told how things are.
        let mut endings = JoinSet::new();
        let room = self.watch_room();
        tokio::pin!(room);
        loop {
            let client = self.client();
            let this = Arc::clone(self);
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(serve::connection(this, stream));
                    }
                }
                () = client.closed(), if endings.is_empty() => {
                    if Arc::ptr_eq(&client, &self.client()) {
                        endings.spawn(async move { this.guest_lost().await });
                    }
                }
                _ = &mut starter_gone, if !started_alone => {
                    started_alone = true;
                    if self.document_mut().stage == Stage::Creating {
                        endings.spawn(async move { this.end_by_itself(StopReason::Requested).await });
                    }
                }
                () = self.idle(), if endings.is_empty() => {
                    endings.spawn(async move { this.end_by_itself(StopReason::Idle).await });
                }
                Some(_) = signals.recv() => {
                    endings.spawn(async move { this.end_by_itself(StopReason::Signal).await });
                }
                () = &mut room => {}
                Some(_) = connections.join_next() => {}
                Some(_) = endings.join_next() => {}
                _ = ended.wait_for(|ended| *ended) => break,
            }
        }
        endings.join_all().await;
        // What was said to clients last is still on its way to them.
        let told = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, told).await;
    }
}
