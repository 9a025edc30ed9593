//! The pipes or the terminal between the agent and a command. This file must not move data.

use pyro_proto::exec::PtySize;
use pyro_proto::exec::Stdio;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Uid;
use rustix::io;
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

/// Room in each output pipe, in bytes, so that a command seldom waits for the agent's turn.
const PIPE_BYTES: usize = 256 * 1024;

/// The command's ends.
#[derive(Debug)]
pub(crate) struct CommandEnds {
    pub(crate) stdin: OwnedFd,
    /// Standard output; standard input too on a terminal.
    pub(crate) stdout: OwnedFd,
    /// Standard error where it is not the same as standard output.
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) terminal: bool,
}

/// The agent's ends, all non-blocking.
#[derive(Debug)]
pub(crate) struct AgentEnds {
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: OwnedFd,
    pub(crate) error: Option<OwnedFd>,
    /// A descriptor of the terminal's master for resizing and signals.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Makes both sets of ends.
pub(crate) fn open(stdio: &Stdio) -> io::Result<(CommandEnds, AgentEnds)> {
    match stdio.pty {
        Some(size) => open_terminal(stdio, size),
        None => open_pipes(stdio),
    }
}

/// A terminal's size as the kernel wants it.
pub(crate) const fn window(size: PtySize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

impl CommandEnds {
    /// Makes another user the owner, so that the command can open `/dev/stdout` and its terminal by name.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) {
        for fd in [Some(&self.stdout), self.stderr.as_ref()].into_iter().flatten() {
            // A command that never opens its streams by name does not miss this.
            let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        }
    }
}

fn open_pipes(stdio: &Stdio) -> io::Result<(CommandEnds, AgentEnds)> {
    let (output, stdout) = pipe_out()?;
    let (error, stderr) = match stdio.stderr_stream {
        Some(_) => pipe_out().map(|(read, write)| (Some(read), Some(write)))?,
        None => (None, None),
    };
    let (stdin, input) = if stdio.stdin {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        set_nonblocking(&write)?;
        (read, Some(write))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    Ok((
        CommandEnds { stdin, stdout, stderr, terminal: false },
        AgentEnds { input, output, error, terminal: None },
    ))
}

fn pipe_out() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    set_nonblocking(&read)?;
    // The default size works too; an ordinary user may be over its quota of pipe pages.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
    Ok((read, write))
}

fn open_terminal(stdio: &Stdio, size: PtySize) -> io::Result<(CommandEnds, AgentEnds)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    rustix::termios::tcsetwinsize(&master, window(size))?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    set_nonblocking(&master)?;
    let input = if stdio.stdin { Some(duplicate(&master)?) } else { None };
    let terminal = Some(duplicate(&master)?);
    Ok((
        CommandEnds { stdin: duplicate(&slave)?, stdout: slave, stderr: None, terminal: true },
        AgentEnds { input, output: master, error: None, terminal },
    ))
}

fn duplicate(fd: &OwnedFd) -> io::Result<OwnedFd> {
    io::fcntl_dupfd_cloexec(fd, 3)
}

/// Makes reads and writes through this open file return instead of wait.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
}
