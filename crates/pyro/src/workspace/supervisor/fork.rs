//! Branching a running workspace: its memory and disk are saved once, and each child gets a folder that begins there. The
//! children are started by others. This file must not start any.

use super::Supervisor;
use crate::state;
use crate::workspace::control::message::Child;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::fork;
use crate::workspace::fork::Parent;
use serde_json::Value;

impl Supervisor {
    /// Saves the guest, which goes on, and makes the folders of its children.
    pub(super) async fn fork(&self, children: Vec<Child>) -> Result<Value, WorkspaceError> {
        self.check_room()?;
        self.check_memory_may_be_kept()?;
        let mut machine = self.machine.lock().await;
        let scratch = state::scratch(&self.config, "fork").map_err(StoreError::State)?;
        let (below, overlay) = self.lay_on_top()?;
        let saved = machine.save_with_memory(scratch.path(), overlay).await;
        let snapshot = saved.map_err(|error| self.not_pushed(&below, error))?;
        drop(machine);
        let document = self.document();
        let parent = Parent {
            folder: &self.folder,
            document: &document,
            frozen: &below,
            suspended: Some((&snapshot, scratch.path())),
        };
        fork::make_children(&self.config, &self.registry, &parent, &children)?;
        Ok(Value::Null)
    }
}
