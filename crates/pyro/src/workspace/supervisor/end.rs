//! How a running workspace ends: asked, idle, by a signal, or because its guest is gone. Each way writes the document before
//! the lock goes. This file must not start anything.

use super::STOP_DEADLINE;
use super::Supervisor;
use super::job::Cut;
use crate::code;
use crate::code::chain;
use crate::machine::Machine;
use crate::machine::Snapshot;
use crate::workspace::document::Document;
use crate::workspace::document::StopReason;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::folder::Folder;
use crate::workspace::folder::private_folder;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// What a stop does to the commands under way.
const STOPPED: Cut = (code::WORKSPACE_NOT_RUNNING, "the workspace was stopped");

/// What a pause does to those who wait for them.
const PAUSED: Cut = (
    code::WORKSPACE_NOT_RUNNING,
    "the workspace was paused while the command ran; when it is resumed the command goes on, as a job",
);

/// The signals that ask a supervisor to end: a host that shuts down sends them.
pub(super) fn signals() -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel(4);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Without a handler the signal ends this process, and the engine with it; the disk stays sound.
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(kind.as_raw_value()).await.is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

impl Supervisor {
    /// Whether a command runs, or anybody does anything.
    fn is_in_use(&self) -> bool {
        self.jobs.running() > 0 || self.activity.idle_since().is_none()
    }

    /// Returns when the workspace has not been used for as long as its time to live.
    pub(super) async fn idle(&self) {
        loop {
            let ttl = self.document_mut().ttl_seconds;
            let changed = self.activity.changed.notified();
            let living = self.jobs.running() > 0;
            match self.activity.idle_since().filter(|_| ttl > 0 && !living) {
                None => changed.await,
                Some(since) => {
                    let deadline = since + Duration::from_secs(ttl.into());
                    tokio::select! {
                        () = tokio::time::sleep_until(deadline) => return,
                        () = changed => {}
                    }
                }
            }
        }
    }

    /// Ends the guest, keeping its memory if asked; the document then says so, and the supervisor is about to end.
    pub(super) async fn stop(
        self: &Arc<Self>,
        keep_memory: bool,
        deadline: Duration,
        reason: StopReason,
    ) -> Result<Option<String>, WorkspaceError> {
        self.stopping.send_modify(|stopping| *stopping += 1);
        let stopped = self.stop_now(keep_memory, deadline, reason).await;
        self.stopping.send_modify(|stopping| *stopping -= 1);
        stopped
    }

    /// Waits until nobody is about to stop the guest.
    ///
    /// # Errors
    /// It has ended.
    pub(super) async fn settled(&self) -> Result<(), WorkspaceError> {
        // The sender is this supervisor's own.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping == 0).await;
        let engine_pid = self.machine.lock().await.guest.pid();
        if !*self.ended.borrow() && !lives(engine_pid) {
            // Who saw the engine end may ask before this supervisor has heard of it.
            let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
        }
        if *self.ended.borrow() {
            return Err(WorkspaceError::not_running(&self.folder));
        }
        Ok(())
    }

    async fn stop_now(
        self: &Arc<Self>,
        keep_memory: bool,
        deadline: Duration,
        reason: StopReason,
    ) -> Result<Option<String>, WorkspaceError> {
        let mut machine = self.machine.lock().await;
        if *self.ended.borrow() {
            return Ok(None);
        }
        let _shut = self.shut_gate().await;
        if matches!(reason, StopReason::Idle) && self.is_in_use() {
            // It was used again before the gate was shut.
            return Ok(None);
        }
        event::note(&self.config, self.folder.id(), "workspace_stopping", word(&reason));
        let warning;
        let suspended = if keep_memory {
            let (suspended, not_kept) = self.suspend(&mut machine).await?;
            warning = not_kept;
            // What is written down of them stays as it is.
            self.jobs.cut_short(PAUSED);
            let _ = self.jobs.all_ended(PAUSED).await;
            Some(suspended)
        } else {
            // Services of a guest that stands still hear of nothing.
            let blocked = self.check_room().err();
            self.services.end_all(if blocked.is_some() { Duration::ZERO } else { deadline / 2 }).await;
            self.close_ports();
            // However a command takes its end, it was cut short; what it says to that is kept.
            self.jobs.cut_short(STOPPED);
            // Interactive shells take no notice of TERM.
            self.hang_up_shells();
            // It is ended either way, and killing it is not the caller's failure.
            let ended = machine.shut_down(deadline).await.err().map(|error| chain(&error));
            warning = ended.map(|forced| match blocked {
                Some(why) => format!("{forced}: {}", chain(&why)),
                None => forced,
            });
            None
        };
        if suspended.is_none() {
            self.end_jobs(STOPPED).await;
        }
        self.end_shells(if suspended.is_some() {
            "the workspace was paused"
        } else {
            "the workspace was stopped"
        });
        self.change(|document| {
            document.suspended = suspended;
            document.stopped = Some((reason.clone(), UnixSeconds::now()));
        })?;
        self.note_end(&reason);
        self.leave();
        Ok(warning)
    }

    /// Saves the guest's memory, and what runs in it, and ends the guest. What of the latter could not be kept is for people.
    async fn suspend(&self, machine: &mut Machine) -> Result<(Snapshot, Option<String>), WorkspaceError> {
        self.check_room()?;
        self.check_memory_may_be_kept()?;
        let kept = fresh_folder(&self.folder)?;
        self.suspending.send_replace(true);
        // What was handed over to the channel by now arrives in the guest before it is saved; the rest is kept here.
        self.hold_shells(true);
        match machine.suspend(&kept).await {
            Ok(suspended) => {
                let warning = self.keep_sessions(&suspended).await;
                Ok((suspended, warning))
            }
            Err(error) => {
                self.suspending.send_replace(false);
                self.hold_shells(false);
                Err(error.into())
            }
        }
    }

    /// A stop that nobody waits for.
    pub(super) async fn end_by_itself(self: &Arc<Self>, reason: StopReason) {
        if self.stop(false, STOP_DEADLINE, reason).await.is_err() {
            // The document could not be written; the engine is gone, and what is derived from the lock is right.
            self.leave();
        }
    }

    /// The guest, or its engine, is gone.
    pub(super) async fn guest_lost(self: &Arc<Self>) {
        let mut machine = self.machine.lock().await;
        if *self.ended.borrow() || !Arc::ptr_eq(&machine.client, &self.client()) {
            return;
        }
        machine.kill().await;
        self.services.end_all(Duration::ZERO).await;
        self.end_jobs((code::GUEST_LOST, "the guest ended while the command ran")).await;
        self.end_shells("the guest ended");
        let reason = StopReason::GuestLost;
        let _ = self.change(|document| document.stopped = Some((reason.clone(), UnixSeconds::now())));
        self.note_end(&reason);
        self.leave();
    }

    async fn end_jobs(&self, cut: Cut) {
        self.jobs.cut_short(cut);
        self.jobs.drained().await;
        for ended in self.jobs.all_ended(cut).await {
            // One that is not written down counts as lost all the same.
            let _ = self.history.end(ended);
        }
    }

    fn note_end(&self, reason: &StopReason) {
        let document: Document = self.document();
        event::note(&self.config, &document.workspace_id, "workspace_stopped", word(reason));
    }

    /// Nobody is let in any more, and the main loop ends.
    fn leave(&self) {
        self.close_ports();
        let _ = std::fs::remove_file(self.folder.path().join(Folder::socket_name()));
        self.ended.send_replace(true);
    }
}

/// Whether a child of this process has not ended yet, be it collected or not.
fn lives(pid: u32) -> bool {
    // After the name, which may hold any byte, comes the state.
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.iter().rposition(|byte| *byte == b')');
    after_name.is_some_and(|at| !matches!(stat.get(at + 2), Some(b'Z' | b'X') | None))
}

/// A reason as JSON has it.
fn word(reason: &StopReason) -> Option<String> {
    serde_json::to_value(reason).ok().and_then(|text| text.as_str().map(str::to_owned))
}

/// An empty folder for memory and device state.
fn fresh_folder(folder: &Folder) -> Result<std::path::PathBuf, WorkspaceError> {
    let kept = folder.suspended();
    let _ = std::fs::remove_dir_all(&kept);
    private_folder(&kept).map_err(|source| WorkspaceError::Disk {
        operation: "keeping the memory",
        workspace: folder.id().to_string(),
        source,
    })?;
    Ok(kept)
}
