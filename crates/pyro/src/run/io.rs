//! Where a run's bytes come from and go to, and how its caller stops it.

use crate::terminal::TerminalSize;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

/// Where a run's bytes come from and go to, and how its caller stops it.
pub struct RunIo {
    /// Standard input, read when [`super::RunSpec::stdin`] is set.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard output.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Standard error.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Signal numbers the caller received. The first is passed to the command, which then has a moment to end; a second
    /// ends the guest at once.
    pub interrupts: mpsc::Receiver<i32>,
    /// The size of the caller's terminal, whenever that has changed and [`super::RunSpec::terminal`] is set.
    pub sizes: mpsc::Receiver<TerminalSize>,
}

impl RunIo {
    /// Output goes to these; there is no input, no signal and no terminal.
    pub fn to(
        stdout: impl AsyncWrite + Send + Unpin + 'static,
        stderr: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            stdin: Box::new(tokio::io::empty()),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            interrupts: mpsc::channel(1).1,
            sizes: mpsc::channel(1).1,
        }
    }
}

impl std::fmt::Debug for RunIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunIo").finish_non_exhaustive()
    }
}
