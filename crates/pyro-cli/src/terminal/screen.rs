//! What is printed to the terminal, straight from the event loop: a thread in between costs the echo of a keystroke as much as
//! the way into the guest. The terminal is opened anew, because an inherited descriptor that no longer blocks would no longer
//! block for anybody who has it. This file must not look at the bytes.

use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;
use tokio::io::AsyncWrite;
use tokio::net::unix::pipe::Sender;

/// Standard output, without a thread where it is a terminal that can be opened. Must be called within the runtime.
pub(super) fn open() -> Box<dyn AsyncWrite + Send + Unpin> {
    match straight() {
        Ok(screen) => Box::new(screen),
        // Of another user's, as after `su`, or no terminal at all.
        Err(_) => Box::new(tokio::io::stdout()),
    }
}

fn straight() -> io::Result<Sender> {
    if !io::stdout().is_terminal() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let terminal = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/1")?;
    // Like a pipe it becomes writable, and that is all that is needed of it.
    Sender::from_owned_fd_unchecked(terminal.into())
}
