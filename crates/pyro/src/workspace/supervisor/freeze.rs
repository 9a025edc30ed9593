//! A moment of a running workspace for a client that opens the files it is kept in: disk, and memory if asked. This file must
//! not leave anything that has a name, whoever is killed meanwhile.

use super::Supervisor;
use super::serve::Client;
use crate::identity::GuestId;
use crate::workspace::control::message::Event;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::id::SnapshotName;
use crate::workspace::snapshots::NewSnapshot;
use serde_json::Value;
use std::time::Duration;

/// Longest that a client may take to open the files; nothing of the workspace's disk can be changed meanwhile.
const FREEZE_MAX: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Keeps everything as it is while the client opens the files of it; nothing of that has a name in the end.
    pub(super) async fn freeze(&self, memory: bool, client: &mut Client) -> Result<Value, WorkspaceError> {
        let mut machine = self.machine.lock().await;
        let id = GuestId::random().map_err(StoreError::Random)?;
        let name: SnapshotName = format!("pack-{id}").parse().map_err(StoreError::Name)?;
        let new = NewSnapshot::begin(&self.folder, &name)?;
        let snapshot = Box::new(self.take(&mut machine, &new, name, memory).await?);
        client.event(&Event::Frozen { snapshot }).await?;
        let _ = tokio::time::timeout(FREEZE_MAX, client.gone()).await;
        Ok(Value::Null)
    }
}
