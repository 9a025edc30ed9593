//! How many workspaces there may be under one set of rules, and what marks them as such. Those that are being made count,
//! too. This file must not make any.

use super::action::Context;
use super::error::OperationError;
use pyro::Coded as _;
use pyro::code;
use pyro::workspace::Stage;
use pyro::workspace::Update;
use pyro::workspace::Workspace;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Room for workspaces that are being made, and for VMs of one command; they are listed by the time this is dropped, or never will
/// be.
#[derive(Debug)]
pub(super) struct Room<'a> {
    making: &'a AtomicU64,
    count: u64,
}

impl<'a> Context<'a> {
    /// Room for so many more workspaces.
    pub(super) fn room_for(&self, count: u64) -> Result<Room<'a>, OperationError> {
        let making = self.operations.making.as_ref();
        let room = Room { making, count };
        let all = making.fetch_add(count, Ordering::SeqCst) + count;
        let rules = self.operations.rules();
        let Some(most) = rules.workspaces_max else { return Ok(room) };
        let listed = self.workspaces()?.list()?;
        // Those that are not finished are among those that are being made.
        let is_finished = |document: &pyro::workspace::Document| document.stage == Stage::Ready;
        let finished = listed
            .iter()
            .filter(|one| one.has_labels(&rules.labels) && one.document.as_ref().is_ok_and(is_finished));
        if finished.count() as u64 + all > most {
            let text = format!("this server may have {most} workspaces and VMs at once, and would have more");
            return Err(OperationError::new(code::WORKSPACE_LIMIT_REACHED, text)
                .hint("workspace_delete those that are not needed, or wait until a vm_run has ended"));
        }
        Ok(room)
    }

    /// Gives a workspace that was made otherwise the labels that the rules ask for.
    pub(super) async fn label(&self, workspace: &Workspace) -> Result<(), OperationError> {
        let labels = self.operations.rules().labels.iter().cloned().collect();
        let update = Update { labels, ..Update::default() };
        match workspace.update(&update).await {
            Err(error) if error.code() == code::NOTHING_TO_CHANGE => Ok(()),
            other => Ok(other?),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.making.fetch_sub(self.count, Ordering::SeqCst);
    }
}
