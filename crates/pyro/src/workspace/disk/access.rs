//! Having a workspace's disk stand still for as long as it is read: the lock of one that is stopped, a hold of one that runs.
//! This file must not read the disk.

use super::error::FilesError;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::connection::Receiver;
use crate::workspace::control::connection::Sender;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::Request;
use crate::workspace::document::Document;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::folder::FolderLock;
use crate::workspace::handle::Workspace;
use std::time::Duration;

/// How long to wait for whoever is changing a workspace that neither runs nor is free.
const BUSY_DEADLINE: Duration = Duration::from_secs(10);

/// A disk that stands still until this is dropped.
#[derive(Debug)]
pub(in crate::workspace) struct Access {
    document: Document,
    by: By,
}

#[derive(Debug)]
enum By {
    Lock { _lock: FolderLock },
    Hold { receiver: Receiver, _sender: Sender },
}

impl Access {
    /// The workspace as it is meanwhile.
    pub(in crate::workspace) const fn document(&self) -> &Document {
        &self.document
    }

    /// Lets the disk change again.
    ///
    /// # Errors
    /// [`FilesError::HoldExpired`] when that has happened before: what was read is then of no use.
    pub(in crate::workspace) async fn end(self) -> Result<(), WorkspaceError> {
        let By::Hold { mut receiver, .. } = self.by else { return Ok(()) };
        match tokio::time::timeout(Duration::ZERO, receiver.next()).await {
            Err(_) => Ok(()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(FilesError::HoldExpired.into()),
        }
    }
}

impl Workspace {
    /// Has the disk stand still, whether or not the workspace runs.
    pub(in crate::workspace) async fn access(&self) -> Result<Access, WorkspaceError> {
        match self.hold()? {
            Some(held) => Ok(Access { document: held.document, by: By::Lock { _lock: held.lock } }),
            None => match self.hold_running().await {
                Err(WorkspaceError::NotRunning { .. }) => {
                    // On its way up or down; once that is done it is one of the two.
                    drop(self.lock(BUSY_DEADLINE).await);
                    match self.hold()? {
                        Some(held) => {
                            Ok(Access { document: held.document, by: By::Lock { _lock: held.lock } })
                        }
                        None => self.hold_running().await,
                    }
                }
                held => held,
            },
        }
    }

    /// The disk of a workspace that does not run. Whoever else looks into it, or starts or stops the guest, is waited for.
    ///
    /// # Errors
    /// [`WorkspaceError::Running`], or [`WorkspaceError::Busy`] when that takes too long.
    pub(in crate::workspace) async fn access_stopped(&self) -> Result<Access, WorkspaceError> {
        let workspace = || self.id().to_string();
        let free = async {
            loop {
                if let Some(held) = self.hold()? {
                    return Ok(Access { document: held.document, by: By::Lock { _lock: held.lock } });
                }
                if self.folder.path().join(Folder::socket_name()).exists() {
                    return Err(WorkspaceError::Running { workspace: workspace() });
                }
                self.wait_for_change().await?;
            }
        };
        let busy = |_| WorkspaceError::Busy { workspace: workspace() };
        tokio::time::timeout(BUSY_DEADLINE, free).await.map_err(busy)?
    }

    async fn hold_running(&self) -> Result<Access, WorkspaceError> {
        let (sender, mut receiver) = connection::ask(&self.config, &self.folder, Request::Hold).await?;
        loop {
            match receiver.next().await? {
                Incoming::Event(Event::Held) => break,
                Incoming::Done(_) => return Err(FilesError::HoldExpired.into()),
                Incoming::Event(_) | Incoming::Bytes(..) => {}
            }
        }
        // Whoever gives the guest another layer waits for the hold's end.
        let document = self.folder.load()?;
        Ok(Access { document, by: By::Hold { receiver, _sender: sender } })
    }
}
