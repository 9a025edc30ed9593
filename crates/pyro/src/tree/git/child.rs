//! One run of git: in a process group of its own, which ends with it, in bounded time and with bounded output. This file
//! must not know what git is asked.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// Most bytes that are kept of either output: the names of some hundred thousand branches.
const KEPT_BYTES_MAX: u64 = 32 << 20;
/// Most characters of what git says in a message.
const SAID_CHARS_MAX: usize = 400;

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) succeeded: bool,
    /// Standard output, trimmed.
    pub(super) out: String,
    /// Standard error, on one line.
    pub(super) said: String,
}

/// Runs it to its end; `None` if it takes longer than `patience`. Nothing that it started is left either way, and it dies
/// with the thread that calls this.
pub(super) fn run(mut command: Command, patience: Duration) -> io::Result<Option<Ended>> {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    pyro_image::die_with_thread(&mut command)?;
    let mut group = Group(command.spawn()?);
    let (stdout, stderr) = (reader(group.0.stdout.take()), reader(group.0.stderr.take()));
    let in_time = wait(&group.0, patience)?;
    // What it left behind would keep the pipes open.
    group.kill();
    let status = group.0.wait()?;
    let (out, said) = (kept(stdout)?, kept(stderr)?);
    let said = said.replace('\n', "; ").chars().take(SAID_CHARS_MAX).collect();
    Ok(in_time.then(|| Ended { succeeded: status.success(), out, said }))
}

/// A child and what it started, which do not outlive this.
struct Group(Child);

impl Group {
    /// Must come before the child is waited for: until then its number is nobody else's.
    fn kill(&self) {
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.0), Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.kill();
            let _ = self.0.wait();
        }
    }
}

/// Whether it ends in time.
fn wait(child: &Child, patience: Duration) -> io::Result<bool> {
    let pidfd: OwnedFd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

type Reader = Option<JoinHandle<io::Result<Vec<u8>>>>;

/// Reads all of a pipe and keeps the beginning.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Reader {
    let mut pipe = pipe?;
    Some(std::thread::spawn(move || {
        let mut kept = Vec::new();
        pipe.by_ref().take(KEPT_BYTES_MAX).read_to_end(&mut kept)?;
        io::copy(&mut pipe, &mut io::sink())?;
        Ok(kept)
    }))
}

fn kept(reader: Reader) -> io::Result<String> {
    let Some(reader) = reader else { return Ok(String::new()) };
    let bytes = reader.join().map_err(|_| io::Error::other("a reader of git's output ended early"))??;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, patience: Duration) -> Option<Ended> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, patience).unwrap()
    }

    #[test]
    fn what_it_prints_comes_back() {
        let ended = sh("echo out; echo one >&2; echo two >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!((ended.succeeded, &*ended.out, &*ended.said), (false, "out", "one; two"));
    }

    #[test]
    fn one_that_never_ends_is_ended_with_all_that_it_started() {
        // `run` itself returns only when the pipes are closed: by the death of the second process as well.
        assert!(sh("sleep 100000 & sleep 100000", Duration::from_millis(50)).is_none());
        let ended = sh("sleep 100000 & echo done", Duration::from_secs(60));
        assert_eq!(ended.unwrap().out, "done");
    }
}
