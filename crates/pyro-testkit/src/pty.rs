//! A terminal of a test, with a program that sits at it as a user's would. It must not know which program.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::Termios;
use rustix::termios::Winsize;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::process::Command;

/// How long anything may take. A limit, not a wait.
const LIMIT_SECONDS: i64 = 120;

/// A program at a terminal of its own. Dropping it kills the program.
#[derive(Debug)]
pub struct Pty {
    master: File,
    /// Open here too: the terminal's modes outlive the program.
    slave: OwnedFd,
    child: Child,
    before: Termios,
    shown: Vec<u8>,
    looked_at: usize,
}

impl Pty {
    /// Starts a program at a new terminal, which it controls.
    pub fn start(command: &Command, cols: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        rustix::termios::tcsetwinsize(&master, window(cols, rows)).unwrap();
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        let before = rustix::termios::tcgetattr(&slave).unwrap();
        let end = || slave.try_clone().unwrap();
        let mut wrapped = Command::new("setsid");
        wrapped.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            wrapped.env(name, value.unwrap());
        }
        let child = wrapped
            .current_dir(command.get_current_dir().unwrap())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self { master: File::from(master), slave, child, before, shown: Vec::new(), looked_at: 0 }
    }

    /// Types.
    pub fn type_in(&mut self, keys: impl AsRef<[u8]>) {
        self.master.write_all(keys.as_ref()).unwrap();
    }

    /// Waits until this is shown behind what was waited for before; everything up to it.
    #[track_caller]
    pub fn wait_for(&mut self, wanted: &str) -> String {
        loop {
            let rest = &self.shown[self.looked_at..];
            if let Some(at) = rest.windows(wanted.len()).position(|part| part == wanted.as_bytes()) {
                let text = String::from_utf8_lossy(&rest[..at + wanted.len()]).into_owned();
                self.looked_at += at + wanted.len();
                return text;
            }
            assert!(self.read(), "'{wanted}' was not shown but {:?}", self.rest());
        }
    }

    /// What was shown behind what was waited for.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.shown[self.looked_at..]).into_owned()
    }

    /// Gives the terminal another size.
    pub fn resize(&self, cols: u16, rows: u16) {
        rustix::termios::tcsetwinsize(&self.master, window(cols, rows)).unwrap();
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the program's end; its exit code, 128 and the number for a signal.
    pub fn end(&mut self) -> i32 {
        // What it shows last must find room.
        let pidfd =
            rustix::process::pidfd_open(Pid::from_child(&self.child), rustix::process::PidfdFlags::empty())
                .unwrap();
        loop {
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&self.master, PollFlags::IN)];
            let limit = Timespec { tv_sec: LIMIT_SECONDS, tv_nsec: 0 };
            assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "it does not end: {:?}", self.rest());
            let (ended, shows) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if shows {
                self.read();
            } else if ended {
                break;
            }
        }
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Whether the terminal is as it was before the program came.
    pub fn is_as_before(&self) -> bool {
        let now = rustix::termios::tcgetattr(&self.slave).unwrap();
        let before = &self.before;
        now.input_modes == before.input_modes
            && now.output_modes == before.output_modes
            && now.control_modes == before.control_modes
            && now.local_modes == before.local_modes
    }

    /// Reads what is shown next; whether there was anything in time.
    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let limit = Timespec { tv_sec: LIMIT_SECONDS, tv_nsec: 0 };
        if poll(&mut fds, Some(&limit)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 65536];
        let count = self.master.read(&mut bytes).unwrap();
        self.shown.extend_from_slice(&bytes[..count]);
        count > 0
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const fn window(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
