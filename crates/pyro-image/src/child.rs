//! Runs one program to its end: its output bounded, its life bound to ours, stopped by a [`Cancel`]. This file must not know
//! which program it is.

use crate::cancel::Cancel;
use crate::deathsig;
use crate::error::ImageError;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::process::PidfdFlags;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

/// The most that is kept of a program's standard output. Package lists are the largest thing asked for.
const STDOUT_BYTES_MAX: usize = 32 << 20;
/// The most that is kept of its standard error: the end of it.
const STDERR_BYTES_MAX: usize = 16 << 10;
/// The most of that which goes into an error's one line.
const TAIL_BYTES_MAX: usize = 400;

/// A program to run.
pub(crate) struct Task<'a> {
    /// What it is to do, for messages.
    pub(crate) operation: &'static str,
    /// The program and its arguments.
    pub(crate) command: Command,
    /// What stops it.
    pub(crate) cancel: &'a Cancel,
    /// Locks that must be held for as long as any process of it lives.
    pub(crate) lent: Vec<BorrowedFd<'a>>,
    /// Where its standard output goes, if not back to the caller.
    pub(crate) stdout: Option<File>,
}

impl<'a> Task<'a> {
    /// Nothing lent, output to the caller.
    pub(crate) fn new(operation: &'static str, command: Command, cancel: &'a Cancel) -> Self {
        Self { operation, command, cancel, lent: Vec::new(), stdout: None }
    }

    /// Lends locks to it.
    pub(crate) fn lend(mut self, lent: &[BorrowedFd<'a>]) -> Self {
        self.lent.extend_from_slice(lent);
        self
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// The end of what it said, on one line.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let text = lines[lines.len().saturating_sub(3)..].join("; ");
        let mut start = text.len().saturating_sub(TAIL_BYTES_MAX);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text[start..].to_owned()
    }
}

impl Task<'_> {
    /// Runs it and fails unless it succeeds.
    pub(crate) fn run(self, on_line: &mut dyn FnMut(&str)) -> Result<Vec<u8>, ImageError> {
        let operation = self.operation;
        let ended = self.end(on_line)?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        Err(ImageError::Step { operation, status: ended.status.to_string(), tail: ended.tail() })
    }

    /// Runs it; `on_line` sees each line of standard error.
    pub(crate) fn end(mut self, on_line: &mut dyn FnMut(&str)) -> Result<Ended, ImageError> {
        if self.cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        let program = self.command.get_program().to_string_lossy().into_owned();
        let spawn_error = |source: io::Error| ImageError::Spawn { program: program.clone(), source };
        deathsig::bind(&mut self.command, &self.lent).map_err(spawn_error)?;
        self.command.stdout(self.stdout.take().map_or_else(Stdio::piped, Stdio::from)).stderr(Stdio::piped());
        let mut child = Running(self.command.spawn().map_err(spawn_error)?);
        let outcome = watch(&mut child.0, self.cancel, on_line).map_err(spawn_error)?;
        let Some((stdout, stderr)) = outcome else {
            return Err(ImageError::Cancelled);
        };
        let status = child.0.wait().map_err(spawn_error)?;
        Ok(Ended { status, stdout, stderr })
    }
}

/// A child that does not outlive its variable, however the function that holds it is left.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads until the child has ended and its pipes are drained; `None` when cancelled.
fn watch(
    child: &mut Child,
    cancel: &Cancel,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<Option<(Vec<u8>, String)>> {
    let pidfd = pidfd(child)?;
    let mut stdout =
        child.stdout.take().map(|pipe| Pipe::new(OwnedFd::from(pipe), Keep::Start(STDOUT_BYTES_MAX)));
    let mut stderr =
        child.stderr.take().map(|pipe| Pipe::new(OwnedFd::from(pipe), Keep::End(STDERR_BYTES_MAX)));
    let mut lines = Lines::default();
    let mut ended = false;
    let mut cancelled = false;
    loop {
        let open = [&stdout, &stderr].iter().any(|pipe| pipe.as_ref().is_some_and(|pipe| !pipe.closed));
        if ended && !open {
            break;
        }
        let ready =
            wait_ready(&pidfd, (!cancelled).then_some(cancel), stdout.as_ref(), stderr.as_ref(), ended)?;
        if ready.cancelled && !cancelled {
            // The pipes close when the last process that was started has died: reading on is waiting for that.
            cancelled = true;
            child.kill()?;
        }
        ended |= ready.ended;
        if let Some(pipe) = stdout.as_mut().filter(|_| ready.stdout) {
            pipe.read()?;
        }
        if let Some(pipe) = stderr.as_mut().filter(|_| ready.stderr) {
            let got = pipe.read()?;
            lines.push(got, on_line);
        }
    }
    if cancelled {
        return Ok(None);
    }
    let stderr = stderr.map(|pipe| String::from_utf8_lossy(&pipe.kept).into_owned()).unwrap_or_default();
    Ok(Some((stdout.map(|pipe| pipe.kept).unwrap_or_default(), stderr)))
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

#[derive(Default)]
struct Ready {
    cancelled: bool,
    ended: bool,
    stdout: bool,
    stderr: bool,
}

fn wait_ready(
    pidfd: &OwnedFd,
    cancel: Option<&Cancel>,
    stdout: Option<&Pipe>,
    stderr: Option<&Pipe>,
    ended: bool,
) -> io::Result<Ready> {
    let mut fds = Vec::new();
    let mut roles: Vec<fn(&mut Ready)> = Vec::new();
    if let Some(cancel) = cancel {
        fds.push(PollFd::from_borrowed_fd(cancel.event(), PollFlags::IN));
        roles.push(|ready| ready.cancelled = true);
    }
    if !ended {
        fds.push(PollFd::new(pidfd, PollFlags::IN));
        roles.push(|ready| ready.ended = true);
    }
    if let Some(pipe) = stdout.filter(|pipe| !pipe.closed) {
        fds.push(PollFd::new(&pipe.fd, PollFlags::IN));
        roles.push(|ready| ready.stdout = true);
    }
    if let Some(pipe) = stderr.filter(|pipe| !pipe.closed) {
        fds.push(PollFd::new(&pipe.fd, PollFlags::IN));
        roles.push(|ready| ready.stderr = true);
    }
    match rustix::event::poll(&mut fds, None) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
        Err(error) => return Err(error.into()),
    }
    let mut ready = Ready::default();
    for (fd, role) in fds.iter().zip(roles) {
        if !fd.revents().is_empty() {
            role(&mut ready);
        }
    }
    Ok(ready)
}

enum Keep {
    Start(usize),
    End(usize),
}

struct Pipe {
    fd: File,
    keep: Keep,
    kept: Vec<u8>,
    last: Vec<u8>,
    closed: bool,
}

impl Pipe {
    fn new(fd: OwnedFd, keep: Keep) -> Self {
        Self { fd: File::from(fd), keep, kept: Vec::new(), last: Vec::new(), closed: false }
    }

    /// Takes what is there, keeps what fits, and returns what was taken.
    fn read(&mut self) -> io::Result<&[u8]> {
        self.last.resize(64 << 10, 0);
        let count = self.fd.read(&mut self.last)?;
        self.last.truncate(count);
        self.closed = count == 0;
        match self.keep {
            Keep::Start(limit) => {
                let room = limit.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&self.last[..count.min(room)]);
            }
            Keep::End(limit) => {
                self.kept.extend_from_slice(&self.last);
                let excess = self.kept.len().saturating_sub(limit);
                self.kept.drain(..excess);
            }
        }
        Ok(&self.last)
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Cuts a byte stream into lines of bounded length.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    const LINE_BYTES_MAX: usize = 4096;

    fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                on_line(&String::from_utf8_lossy(&self.pending));
                self.pending.clear();
            } else if self.pending.len() < Self::LINE_BYTES_MAX {
                self.pending.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh<'a>(script: &str, cancel: &'a Cancel) -> Task<'a> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).stdin(Stdio::null());
        Task::new("trying", command, cancel)
    }

    #[test]
    fn output_and_lines_arrive() {
        let cancel = Cancel::new().unwrap();
        let mut lines = Vec::new();
        let out = sh("echo out; echo one >&2; echo two >&2", &cancel)
            .run(&mut |line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(out, b"out\n");
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_failure_tells_how_it_ended_and_what_was_said_last() {
        let cancel = Cancel::new().unwrap();
        let error = sh("echo no room >&2; exit 3", &cancel).run(&mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "trying failed (exit status: 3): no room");
    }

    #[test]
    fn much_output_is_cut_not_kept() {
        let cancel = Cancel::new().unwrap();
        let ended = sh("head -c 100000 /dev/zero | tr '\\0' x >&2", &cancel).end(&mut |_| {}).unwrap();
        assert_eq!(ended.stderr.len(), STDERR_BYTES_MAX);
        assert_eq!(ended.tail().len(), TAIL_BYTES_MAX);
    }

    #[test]
    fn cancelling_ends_a_child_that_would_never_end() {
        let cancel = Cancel::new().unwrap();
        let stopper = cancel.clone();
        let mut told = false;
        let result = sh("echo started >&2; exec sleep 1000", &cancel).run(&mut |_| {
            told = true;
            stopper.cancel();
        });
        assert!(told);
        assert!(matches!(result, Err(ImageError::Cancelled)));
    }

    #[test]
    fn a_lent_lock_is_held_until_the_child_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let cancel = Cancel::new().unwrap();
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        let mut task = sh("echo up >&2; read _", &cancel);
        let (child_stdin, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        task.command.stdin(Stdio::from(child_stdin));
        task.lent = vec![file.as_fd()];
        let mut ours = Some(ours);
        let mut seen_held = None;
        task.run(&mut |line| {
            if line == "up" {
                let other = File::open(&path).unwrap();
                // Our own copy of the lock shares its fate with the child's: a new opening is refused.
                seen_held = Some(other.try_lock().is_err());
                ours = None;
            }
        })
        .unwrap_err();
        assert_eq!(seen_held, Some(true));
    }
}
