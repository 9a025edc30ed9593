//! One running engine process and the last it said. Dropping it kills and reaps; nothing here may wait by polling.

use super::launch::Launch;
use super::tail::Tail;
use super::usage;
use super::watch::watch_end;
use crate::engine::EngineError;
use crate::engine::EngineExit;
use crate::engine::Usage;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

/// An engine process. Its standard error, and whatever else [`Self::keep_tail_of`] is given, is kept as a bounded tail.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    words: Tail,
    drains: Vec<JoinHandle<()>>,
    exit: Option<EngineExit>,
}

impl EngineProcess {
    /// Starts `launch`. Must be called on a tokio runtime, from a thread that lives as long as the process shall.
    pub(crate) fn spawn(launch: Launch, program: &str) -> Result<Self, EngineError> {
        let failed = |source: io::Error| EngineError::Spawn { program: program.to_owned(), source };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?;
        let mut child = launch.spawn(&writer.into()).map_err(failed)?;
        let pidfd = match watch_end(&child) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                end(&mut child);
                return Err(failed(error));
            }
        };
        let words = Tail::default();
        let drains = vec![tokio::spawn(words.clone().fill_from(reader))];
        Ok(Self { child, pidfd, words, drains, exit: None })
    }

    /// Keeps reading `source`, a guest's console, into `tail` for as long as the process lives.
    pub(crate) fn keep_tail_of(&mut self, source: tokio::net::UnixStream, tail: Tail) {
        self.drains.push(tokio::spawn(tail.fill_from(source)));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its outputs.
    pub(crate) const fn words(&self) -> &Tail {
        &self.words
    }

    pub(crate) fn kill(&mut self) {
        // An error means that it has been reaped already.
        let _ = self.child.kill();
    }

    /// Ends it after it closed its control socket. One that is ending by itself must not lose its exit code over this, and
    /// one that is not ending was taken over by its guest: a little patience tells them apart.
    pub(crate) async fn end_soon(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        if tokio::time::timeout(PATIENCE, self.pidfd.readable()).await.is_err() {
            self.kill();
        }
    }

    /// Waits until it is gone, reaped, and all it said has been read.
    pub(crate) async fn wait(&mut self) -> EngineExit {
        if let Some(exit) = self.exit {
            return exit;
        }
        // A pidfd is readable once its process has ended; `wait` below then returns at once, and is right if this fails.
        let _ = self.pidfd.readable().await;
        let exit = self.child.wait().map_or(EngineExit { code: None, signal: None }, exit_of);
        self.exit = Some(exit);
        for drain in self.drains.drain(..) {
            let _ = drain.await;
        }
        exit
    }

    /// What to say about a process that ended while `operation` was under way.
    pub(crate) async fn gone(&mut self, operation: &'static str) -> EngineError {
        let exit = self.wait().await;
        EngineError::Gone { operation, exit: describe(exit), tail: self.words.quote() }
    }

    pub(crate) fn usage(&self) -> Result<Usage, EngineError> {
        const OPERATION: &str = "reading what it uses";
        let gone = |exit| EngineError::Gone { operation: OPERATION, exit, tail: self.words.quote() };
        match self.exit {
            // The number of a process that has been reaped may be another's by now.
            Some(exit) => Err(gone(describe(exit))),
            None => usage::read(self.pid()).map_err(|_| gone("just now".to_owned())),
        }
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        end(&mut self.child);
        for drain in &self.drains {
            drain.abort();
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only when the process has been reaped already, which is what was wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn exit_of(status: ExitStatus) -> EngineExit {
    EngineExit { code: status.code(), signal: status.signal() }
}

fn describe(exit: EngineExit) -> String {
    match exit {
        EngineExit { code: Some(code), .. } => format!("exit code {code}"),
        EngineExit { signal: Some(signal), .. } => format!("signal {signal}"),
        EngineExit { .. } => "in an unknown way".to_owned(),
    }
}
