//! What a supervisor is told when it is started, and what it tells whoever started it: JSON lines on a pipe that ends when
//! all is said. This file must not start anything.

use crate::config::Config;
use crate::workspace::control::message::Failure;
use crate::workspace::error::WorkspaceError;
use crate::workspace::id::WorkspaceId;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use tokio::sync::oneshot;

/// What a supervisor is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Where things are kept, and what may be used.
    pub config: Config,
    /// Which workspace.
    pub workspace: WorkspaceId,
}

/// One line of what a supervisor tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(in crate::workspace) enum Line {
    /// Something to tell people.
    Notice {
        /// The text.
        text: String,
    },
    /// The guest is up and the socket is there. The last line.
    Ready,
    /// It is not. The last line.
    Failed(Failure),
}

/// The pipe to whoever started the supervisor, who may be gone.
#[derive(Debug)]
pub(in crate::workspace) struct Report(File);

impl Report {
    pub(super) const fn new(pipe: File) -> Self {
        Self(pipe)
    }

    pub(super) fn notice(&mut self, text: String) {
        self.say(&Line::Notice { text });
    }

    pub(super) fn ready(&mut self) {
        self.say(&Line::Ready);
    }

    pub(super) fn failed(&mut self, error: &WorkspaceError) {
        self.say(&Line::Failed(error.failure()));
    }

    /// Tells when whoever started this process has gone, or has stopped listening.
    pub(super) fn gone(self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        // A thread, because the loop's own would keep the process from ending; this one ends with it.
        std::thread::spawn(move || {
            // Of a pipe's writing end, that its reader is gone is an event that nobody need ask for.
            let mut pipe = [PollFd::new(&self.0, PollFlags::empty())];
            while rustix::event::poll(&mut pipe, None).is_err() {}
            let _ = sender.send(());
        });
        receiver
    }

    fn say(&mut self, line: &Line) {
        if let Ok(mut bytes) = serde_json::to_vec(line) {
            bytes.push(b'\n');
            // Nobody may be listening any more; the workspace runs all the same.
            let _ = self.0.write_all(&bytes);
        }
    }
}
