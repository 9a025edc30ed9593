//! The services of a running workspace: a table by name, and what clients ask of it. Those that have ended stay in it, with what
//! they printed. This file must not run a service; `life` does.
//!
//! **Invariant:** a service is on disk before its process is started, and its published ports are closed before anybody hears of
//! its end.

mod life;
mod probe;

use super::Supervisor;
use super::ports::PublishedPorts;
use super::serve::Client;
use crate::code::chain;
use crate::guest::Exec;
use crate::guest::GuestError;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::message::Event;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::history::Stream;
use crate::workspace::id::ServiceName;
use crate::workspace::port::PortError;
use crate::workspace::port::PublishedPort;
use crate::workspace::service::Change;
use crate::workspace::service::Exit;
use crate::workspace::service::Known;
use crate::workspace::service::Probe;
use crate::workspace::service::ServiceError;
use crate::workspace::service::ServiceLogs;
use crate::workspace::service::ServiceRecord;
use crate::workspace::service::ServiceSpec;
use crate::workspace::service::ServiceState;
use crate::workspace::service::log::Log;
use crate::workspace::service::stop_reason;
use crate::workspace::service::store;
use crate::workspace::service::store::SERVICES_MAX;
use pyro_proto::message::RequestId;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time between TERM and KILL.
const GRACE_MAX: Duration = Duration::from_secs(3600);

/// One service, from its start to its end and beyond.
#[derive(Debug)]
struct Service {
    spec: ServiceSpec,
    folder: PathBuf,
    record: watch::Sender<ServiceRecord>,
    logs: [Log; 2],
    stop: watch::Sender<Option<Stop>>,
    ports: Mutex<Ports>,
    /// The guest's name for its process, while there is one.
    process: Mutex<Option<RequestId>>,
    /// Its workspace was paused: it goes on with the memory that was kept.
    parted: AtomicBool,
}

/// A service while its workspace is paused. What is known of it is where it always is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptService {
    pub(super) name: ServiceName,
    /// The guest's name for its process, if it had one.
    pub(super) job: Option<RequestId>,
    /// It was about to be ended.
    stopping: bool,
}

/// That a service shall end.
#[derive(Clone, Copy, Debug)]
struct Stop {
    grace: Duration,
    /// Because the workspace does.
    with_workspace: bool,
}

#[derive(Debug, Default)]
struct Ports {
    /// Open for as long as this is held.
    _open: PublishedPorts,
    all: Vec<PublishedPort>,
}

impl Service {
    fn new(known: Known, folder: PathBuf) -> Self {
        Self {
            logs: store::logs(&folder),
            folder,
            spec: known.spec,
            record: watch::channel(known.record).0,
            stop: watch::channel(None).0,
            ports: Mutex::default(),
            process: Mutex::default(),
            parted: AtomicBool::new(false),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<RequestId>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing of it is left here, and it goes on where its memory does: so nothing is written down of this.
    fn part(&self) {
        *self.ports() = Ports::default();
        self.logs.iter().for_each(Log::end);
        self.parted.store(true, Ordering::Release);
        let reason = Some(stop_reason::WORKSPACE_STOPPED);
        let (state, exit) = (ServiceState::Stopped, Exit::default());
        self.record
            .send_if_modified(|record| record.apply(Change::Over { state, reason, exit, error: None }));
    }

    fn record(&self) -> ServiceRecord {
        self.record.borrow().clone()
    }

    fn is_living(&self) -> bool {
        self.record.borrow().is_living()
    }

    /// Changes what is known, and writes it down; a host's disk that is full loses what was written, not what is known.
    fn apply(&self, change: Change) {
        if self.record.send_if_modified(|record| record.apply(change)) {
            let known = Known { schema: store::SCHEMA, record: self.record(), spec: self.spec.clone() };
            let _ = store::save(&self.folder, &known);
        }
    }

    /// Waits until its record is like this. Its sender is its own.
    async fn until(&self, is_so: impl FnMut(&ServiceRecord) -> bool) {
        let _ = self.record.subscribe().wait_for(is_so).await;
    }

    /// Waits until it shall end.
    async fn stop_asked(&self) {
        let _ = self.stop.subscribe().wait_for(Option::is_some).await;
    }

    fn ask_to_stop(&self, grace: Duration, with_workspace: bool) {
        self.stop.send_replace(Some(Stop { grace: grace.min(GRACE_MAX), with_workspace }));
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens on its ports, unless that was done before; all or none.
    fn publish(&self, supervisor: &Arc<Supervisor>) -> Result<Vec<PublishedPort>, PortError> {
        let mut ports = self.ports();
        if ports.all.is_empty() {
            let mut open = PublishedPorts::default();
            let all = self.spec.publish.iter().map(|spec| open.open(supervisor, spec));
            let all = all.collect::<Result<Vec<_>, _>>()?;
            *ports = Ports { _open: open, all };
        }
        Ok(ports.all.clone())
    }

    /// Listens on the ports that it had before a pause. One that is taken meanwhile is left out, and said.
    fn publish_again(&self, supervisor: &Arc<Supervisor>) -> (Vec<PublishedPort>, Option<String>) {
        let mut ports = self.ports();
        let mut error = None;
        let mut open = PublishedPorts::default();
        let mut all = Vec::new();
        for port in self.record().published_ports {
            match open.open_again(supervisor, &port) {
                Ok(port) => all.push(port),
                Err(failed) => error = Some(format!("{port} is not published: {}", chain(&failed))),
            }
        }
        *ports = Ports { _open: open, all: all.clone() };
        (all, error)
    }

    /// Nothing of it is left but what is known and what it printed.
    fn over(&self, change: Change) {
        *self.ports() = Ports::default();
        self.logs.iter().for_each(Log::end);
        self.apply(change);
    }
}

/// All services of one supervisor.
#[derive(Debug)]
pub(super) struct Services {
    all: Mutex<BTreeMap<ServiceName, Arc<Service>>>,
}

impl Services {
    /// Those that are known from before. None of them runs but those that were kept: their guest is gone.
    pub(super) fn of(workspace: &Folder, kept: &[KeptService]) -> Self {
        let all = store::all(workspace, true).into_iter().map(|mut known| {
            let name = known.record.service_name.clone();
            let folder = store::folder(workspace, &name);
            if kept.iter().any(|kept| kept.name == name) {
                return (name, Arc::new(Service::new(known, folder)));
            }
            known.record.settle_without_guest();
            let _ = store::save(&folder, &known);
            let service = Service::new(known, folder);
            service.logs.iter().for_each(Log::end);
            (name, Arc::new(service))
        });
        Self { all: Mutex::new(all.collect()) }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Arc<Service>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, supervisor: &Supervisor, name: &ServiceName) -> Result<Arc<Service>, ServiceError> {
        let found = self.all().get(name).cloned();
        found.ok_or_else(|| ServiceError::Unknown { workspace: supervisor.id(), name: name.to_string() })
    }

    /// Adds one that is about to be started, in place of one of the same name that has ended. What that printed is forgotten if
    /// this begins `anew`.
    fn insert(
        &self,
        workspace: &Folder,
        name: &ServiceName,
        spec: ServiceSpec,
        anew: bool,
    ) -> Result<Arc<Service>, WorkspaceError> {
        let mut all = self.all();
        if all.get(name).is_some_and(|service| service.is_living()) {
            let (workspace, name) = (workspace.id().to_string(), name.to_string());
            return Err(ServiceError::Running { workspace, name }.into());
        }
        if all.len() >= SERVICES_MAX && !all.contains_key(name) {
            let ended = all.iter().filter(|(_, service)| !service.is_living());
            let started_at = |service: &Service| service.record.borrow().started_at;
            let oldest = ended.min_by(|a, b| started_at(a.1).0.total_cmp(&started_at(b.1).0));
            let oldest = oldest.map(|(name, _)| name.clone());
            let oldest = oldest.ok_or(ServiceError::TooMany { most: SERVICES_MAX })?;
            all.remove(&oldest);
            store::remove(&store::folder(workspace, &oldest));
        }
        let folder = store::folder(workspace, name);
        if anew {
            store::remove(&folder);
        }
        let record = ServiceRecord::new(workspace.id(), name, &spec);
        let known = Known { schema: store::SCHEMA, record, spec };
        store::save(&folder, &known)?;
        let service = Arc::new(Service::new(known, folder));
        all.insert(name.clone(), Arc::clone(&service));
        Ok(service)
    }

    /// Those that go on with the memory that was kept, once nothing of them comes any more.
    pub(super) async fn part(&self) -> Vec<KeptService> {
        let all = self.all().clone();
        for service in all.values() {
            service.until(|record| !record.is_living()).await;
        }
        let parted = all.iter().filter(|(_, service)| service.parted.load(Ordering::Acquire));
        let kept = parted.map(|(name, service)| KeptService {
            name: name.clone(),
            job: *service.process(),
            stopping: service.stop.borrow().is_some(),
        });
        kept.collect()
    }

    /// Ends all of them because the workspace does, at once: TERM, and KILL after `grace`. Their records then say so.
    pub(super) async fn end_all(&self, grace: Duration) {
        let living: Vec<_> = self.all().values().filter(|service| service.is_living()).cloned().collect();
        living.iter().for_each(|service| service.ask_to_stop(grace, true));
        let all_over = async {
            for service in &living {
                service.until(|record| !record.is_living()).await;
            }
        };
        let _ = tokio::time::timeout(grace + life::KILL_DEADLINE + life::PUMP_DEADLINE, all_over).await;
    }
}

impl Supervisor {
    /// Starts a service; its record, once it is ready or has failed if `wait`. A client that goes away leaves it running.
    pub(super) async fn start_service(
        self: &Arc<Self>,
        name: ServiceName,
        spec: ServiceSpec,
        wait: bool,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let service = self.begin_service(&name, spec, true).await?;
        Ok(first_record(&service, wait, client).await)
    }

    async fn begin_service(
        self: &Arc<Self>,
        name: &ServiceName,
        spec: ServiceSpec,
        anew: bool,
    ) -> Result<Arc<Service>, WorkspaceError> {
        let connects = matches!(spec.probe, Some(Probe::Tcp { .. } | Probe::Http { .. }));
        if connects || !spec.publish.is_empty() {
            self.can_connect().await?;
        }
        // One that cannot have what it needs is not begun.
        self.secret_env(&spec.secret_env)?;
        let _open = self.gate.read().await;
        if *self.ended.borrow() {
            return Err(WorkspaceError::not_running(&self.folder));
        }
        let service = self.services.insert(&self.folder, name, spec, anew)?;
        tokio::spawn(life::live(Arc::clone(self), Arc::clone(&service), self.in_use(), None));
        Ok(service)
    }

    /// Goes on with one that was there before the workspace was paused: with its process, or, for one that had none, with a new
    /// one.
    pub(super) fn take_over_service(
        self: &Arc<Self>,
        kept: &KeptService,
        exec: Option<Result<Exec, GuestError>>,
    ) {
        let Ok(service) = self.services.get(self, &kept.name) else { return };
        if kept.stopping {
            service.ask_to_stop(life::FAILED_GRACE, false);
        }
        tokio::spawn(life::live(Arc::clone(self), service, self.in_use(), exec));
    }

    /// Every service.
    pub(super) fn describe_services(&self) -> Value {
        self.services.all().values().map(|service| json!(service.record())).collect()
    }

    /// Ends a service; its record then.
    pub(super) async fn stop_service(
        self: &Arc<Self>,
        name: &ServiceName,
        grace: Duration,
    ) -> Result<Value, WorkspaceError> {
        let _in_use = self.in_use();
        let service = self.services.get(self, name)?;
        service.ask_to_stop(grace, false);
        service.until(|record| !record.is_living()).await;
        Ok(json!(service.record()))
    }

    /// Ends a service if it runs, and starts it as it was.
    pub(super) async fn restart_service(
        self: &Arc<Self>,
        name: &ServiceName,
        grace: Duration,
        wait: bool,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        self.stop_service(name, grace).await?;
        let spec = self.services.get(self, name)?.spec.clone();
        let service = self.begin_service(name, spec, false).await?;
        Ok(first_record(&service, wait, client).await)
    }

    /// Tells a client what a service has printed, and, if it wants to follow, what it prints until it ends. The service does not
    /// notice.
    pub(super) async fn service_logs(
        &self,
        name: &ServiceName,
        lines: Option<u64>,
        follow: bool,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let service = self.services.get(self, name)?;
        let [stdout, stderr] = &service.logs;
        let read = |source| self.disk("reading what a service printed", source);
        let mut places =
            [(stdout, stdout.tail(lines).map_err(read)?), (stderr, stderr.tail(lines).map_err(read)?)];
        let mut truncated = places.iter().any(|(_, offset)| *offset > 0);
        let (mut news, mut errors) = (stdout.watch(), stderr.watch());
        loop {
            let ended = news.borrow_and_update().ended && errors.borrow_and_update().ended;
            errors.mark_unchanged();
            for (log, offset) in &mut places {
                truncated |= catch_up(log, offset, client).await?;
            }
            if ended || !follow {
                break;
            }
            tokio::select! {
                _ = news.changed() => {}
                _ = errors.changed() => {}
                frame = client.read() => if frame.is_none() { return Ok(Value::Null) },
            }
        }
        if follow {
            // The last that it printed was told before its end is.
            service.until(|record| !record.is_living()).await;
        }
        truncated |= service.logs.iter().any(|log| log.news().lost > 0);
        Ok(json!(ServiceLogs { record: service.record(), truncated }))
    }
}

/// Sends what there is beyond a place; whether something before it is not kept any more.
async fn catch_up(log: &Log, offset: &mut u64, client: &mut Client) -> Result<bool, WorkspaceError> {
    let failed = |operation| move |source| WorkspaceError::Caller { operation, source };
    let tag = match log.stream {
        Stream::Stdout => Tag::Stdout,
        Stream::Stderr => Tag::Stderr,
    };
    let mut skipped = false;
    loop {
        let (at, bytes) = log.read(*offset).map_err(failed("reading what was kept"))?;
        if at > *offset {
            skipped = true;
            client.event(&Event::Skipped { stream: log.stream, bytes: at - *offset }).await?;
        }
        *offset = at + bytes.len() as u64;
        if bytes.is_empty() {
            return Ok(skipped);
        }
        client.send(tag, &bytes).await.map_err(failed("answering the client"))?;
    }
}

/// The record of one that was just started.
async fn first_record(service: &Service, wait: bool, client: &mut Client) -> Value {
    if wait {
        tokio::select! {
            () = service.until(ServiceRecord::is_settled) => {}
            () = client.gone() => {}
        }
    }
    json!(service.record())
}
