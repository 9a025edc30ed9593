//! Services of a workspace: the client's side. What there is to know of them is known while the workspace is stopped, too. This
//! file must not decide how a service is.

use super::ServiceError;
use super::ServiceRecord;
use super::ServiceSpec;
use super::store;
use crate::run::RunIo;
use crate::work::Work;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::message::Request;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::history::Stream;
use crate::workspace::id::ServiceName;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// What was told of a service's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceLogs {
    /// The service, at the end.
    pub record: ServiceRecord,
    /// There was more: it was not asked for, is not kept any more, or the host's disk was full.
    pub truncated: bool,
}

impl Workspace {
    /// Starts a service. Its record once it is ready or has failed, or, unless `wait`, at once. A call that is dropped harms
    /// it in no way.
    ///
    /// # Errors
    /// [`ServiceError`]. That the service failed is none: its record says so.
    pub async fn start_service(
        &self,
        name: &ServiceName,
        spec: ServiceSpec,
        wait: bool,
    ) -> Result<ServiceRecord, WorkspaceError> {
        let request = Request::ServiceStart { name: name.clone(), spec: Box::new(spec), wait };
        connection::call(&self.config, &self.folder, request).await
    }

    /// Every service, by name.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn services(&self) -> Work<'_, Result<Vec<ServiceRecord>, WorkspaceError>> {
        Box::pin(async move {
            match connection::call(&self.config, &self.folder, Request::Services).await {
                Err(WorkspaceError::NotRunning { .. }) => {}
                other => return other,
            }
            self.folder.load()?;
            Ok(store::all(&self.folder, false).into_iter().map(|known| known.record).collect())
        })
    }

    /// The names of all services that are known on the disk, without asking anybody.
    pub fn service_names(&self) -> Vec<String> {
        store::all(&self.folder, true)
            .into_iter()
            .map(|known| known.record.service_name.to_string())
            .collect()
    }

    /// One service.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`].
    pub async fn service(&self, name: &ServiceName) -> Result<ServiceRecord, WorkspaceError> {
        let found = self.services().await?.into_iter().find(|record| record.service_name == *name);
        found.ok_or_else(|| self.no_service(name))
    }

    /// Ends a service: TERM to all its processes, and KILL to those that are left after `grace`. One that has ended stays as it
    /// is.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`].
    pub async fn stop_service(
        &self,
        name: &ServiceName,
        grace: Duration,
    ) -> Result<ServiceRecord, WorkspaceError> {
        let request = Request::ServiceStop { name: name.clone(), grace_ms: millis(grace) };
        connection::call(&self.config, &self.folder, request).await
    }

    /// Ends a service if it runs, and starts it again as it was.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`].
    pub async fn restart_service(
        &self,
        name: &ServiceName,
        grace: Duration,
        wait: bool,
    ) -> Result<ServiceRecord, WorkspaceError> {
        let request = Request::ServiceRestart { name: name.clone(), grace_ms: millis(grace), wait };
        connection::call(&self.config, &self.folder, request).await
    }

    /// Passes on the last `lines` lines of either output of a service, all that are kept without a number, and then, if
    /// `follow`, what it prints until it ends.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`], [`WorkspaceError::Interrupted`].
    pub async fn service_logs(
        &self,
        name: &ServiceName,
        lines: Option<u64>,
        follow: bool,
        io: &mut RunIo,
    ) -> Result<ServiceLogs, WorkspaceError> {
        let request = Request::ServiceLogs { name: name.clone(), lines, follow };
        let (_open, mut receiver) = match connection::ask(&self.config, &self.folder, request).await {
            Err(WorkspaceError::NotRunning { .. }) => return self.kept_service_logs(name, lines, io).await,
            other => other?,
        };
        loop {
            tokio::select! {
                incoming = receiver.next() => match incoming? {
                    Incoming::Bytes(stream, bytes) => write(io, stream, &bytes).await?,
                    Incoming::Event(_) => {}
                    Incoming::Done(value) => return serde_json::from_value(value).map_err(|error| {
                        let did = format!("gave an answer that is none: {error}");
                        WorkspaceError::Supervisor { workspace: self.id().to_string(), did }
                    }),
                },
                Some(signal) = io.interrupts.recv() => return Err(WorkspaceError::Interrupted { signal }),
            }
        }
    }

    async fn kept_service_logs(
        &self,
        name: &ServiceName,
        lines: Option<u64>,
        io: &mut RunIo,
    ) -> Result<ServiceLogs, WorkspaceError> {
        self.folder.load()?;
        let folder = store::folder(&self.folder, name);
        let known = store::load(&folder)?.ok_or_else(|| self.no_service(name))?;
        let mut record = known.record;
        record.settle_without_guest();
        let mut truncated = false;
        for log in store::logs(&folder) {
            let failed = || self.disk_error("reading what a service printed");
            let mut offset = log.tail(lines).map_err(failed())?;
            truncated |= offset > 0;
            loop {
                let (at, bytes) = log.read(offset).map_err(failed())?;
                if bytes.is_empty() {
                    break;
                }
                offset = at + bytes.len() as u64;
                write(io, log.stream, &bytes).await?;
            }
        }
        Ok(ServiceLogs { record, truncated })
    }

    fn no_service(&self, name: &ServiceName) -> WorkspaceError {
        ServiceError::Unknown { workspace: self.id().to_string(), name: name.to_string() }.into()
    }
}

async fn write(io: &mut RunIo, stream: Stream, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let to = match stream {
        Stream::Stdout => &mut io.stdout,
        Stream::Stderr => &mut io.stderr,
    };
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    written.await.map_err(|source| WorkspaceError::Caller { operation: "writing the output", source })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
