//! What happened to workspaces, for whoever watches: one line for each event, in one file of the state folder. An event that
//! cannot be written harms nothing. This file must not decide what is an event.

use super::document::UnixSeconds;
use super::id::WorkspaceId;
use super::journal;
use crate::config::Config;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::WatchFlags;
use serde::Deserialize;
use serde::Serialize;
use std::io;
use std::path::PathBuf;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifecycleEvent {
    /// When.
    pub time: UnixSeconds,
    /// What: `workspace_created`, `workspace_started`, `workspace_stopping`, `workspace_stopped`, `workspace_deleted`, `workspace_reset`,
    /// `workspace_forked`, `workspace_unpacked`, `workspace_blocked`, `workspace_unblocked`, `snapshot_created`, `snapshot_deleted`, `command_started`, `command_ended`,
    /// `push_not_taken_back`, `port_published`, `port_removed`, `shell_opened`, `shell_ended`, `service_started`, `service_ready`,
    /// `service_restarting`, `service_ended`.
    pub event: String,
    /// Of which workspace.
    pub workspace_id: WorkspaceId,
    /// The particulars: a reason, a snapshot's name, a command's number, a shell's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Where events are.
pub fn path(config: &Config) -> PathBuf {
    config.state_dir.join("events.jsonl")
}

/// Notes an event.
pub(super) fn note(config: &Config, workspace: &WorkspaceId, event: &str, detail: Option<String>) {
    let event = LifecycleEvent {
        time: UnixSeconds::now(),
        event: event.to_owned(),
        workspace_id: workspace.clone(),
        detail,
    };
    let _ = journal::append(&path(config), &event);
}

/// Events from `offset` on, and the offset to go on from.
///
/// # Errors
/// The file cannot be read.
pub fn read(config: &Config, offset: u64) -> io::Result<(Vec<LifecycleEvent>, u64)> {
    journal::read(&path(config), offset)
}

/// Events as they come. The kernel says when there may be more; nothing is polled.
#[derive(Debug)]
pub struct Follower {
    config: Config,
    offset: u64,
    changes: tokio::net::unix::pipe::Receiver,
}

impl Follower {
    /// Follows from `offset` on. Must be called within a runtime.
    ///
    /// # Errors
    /// The state folder cannot be watched.
    pub fn new(config: &Config, offset: u64) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, &config.state_dir, flags)?;
        // Like a pipe it becomes readable, and what is read says no more than that.
        let changes = tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(watch)?;
        Ok(Self { config: config.clone(), offset, changes })
    }

    /// The next events, at least one. May be given up.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn next(&mut self) -> io::Result<Vec<LifecycleEvent>> {
        loop {
            let (events, offset) = read(&self.config, self.offset)?;
            self.offset = offset;
            if !events.is_empty() {
                return Ok(events);
            }
            self.changes.readable().await?;
            let mut news = [0; 4096];
            while self.changes.try_read(&mut news).is_ok_and(|count| count > 0) {}
        }
    }
}
