//! Starts an engine's program so that it cannot outlive or learn more than it must. This is the one file of the crate that
//! runs code between fork and exec; it must not know which program it starts.
#![expect(unsafe_code, reason = "code between fork and exec needs `pre_exec` and raw descriptors")]

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// The first descriptor number a program finds what it was passed under; the next ones follow.
pub(crate) const FIRST_FD: RawFd = 3;

/// A program to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    folder: Option<PathBuf>,
    fds: Vec<OwnedFd>,
    huge_pages: bool,
}

impl Launch {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, args: Vec::new(), env: Vec::new(), folder: None, fds: Vec::new(), huge_pages: true }
    }

    /// Passes `fd` on, and says which number the program will know it by.
    pub(crate) fn pass(&mut self, fd: OwnedFd) -> RawFd {
        self.fds.push(fd);
        FIRST_FD + RawFd::try_from(self.fds.len() - 1).unwrap_or(RawFd::MAX - FIRST_FD)
    }

    pub(crate) fn args<T: Into<OsString>>(&mut self, args: impl IntoIterator<Item = T>) {
        self.args.extend(args.into_iter().map(Into::into));
    }

    /// The program's environment holds these variables and nothing else.
    pub(crate) fn env(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.env.push((name, value.into()));
    }

    pub(crate) fn folder(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    /// The program gets no huge pages of the kernel's own accord, even where it asks for them.
    pub(crate) const fn without_huge_pages(&mut self) {
        self.huge_pages = false;
    }

    /// Starts it with standard input from nowhere and both outputs into `output`, and closes this side's copies of what
    /// was passed. The program is killed when the **thread** that calls this ends.
    pub(crate) fn spawn(self, output: &OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let passed = Passed::reserve(&self.fds)?;
        let sources: Vec<RawFd> = passed.sources.iter().map(OwnedFd::as_raw_fd).collect();
        let parent = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: `in_child` makes nothing but async-signal-safe system calls and neither allocates nor takes a lock; the
        // descriptors in `sources` stay open in this process, and so in its child, until `passed` is dropped below.
        unsafe { command.pre_exec(move || in_child(parent, &sources, self.huge_pages)) };
        let child = command.spawn();
        drop(passed);
        child
    }
}

/// Copies of the descriptors to pass, above the numbers they will get, and place-holders that keep the standard library
/// from using one of those numbers for the pipe by which a failed exec is reported.
struct Passed {
    sources: Vec<OwnedFd>,
    _placeholders: Vec<OwnedFd>,
}

impl Passed {
    fn reserve(fds: &[OwnedFd]) -> io::Result<Self> {
        let free = FIRST_FD + RawFd::try_from(fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let duplicate = |fd: BorrowedFd<'_>, least: RawFd| rustix::io::fcntl_dupfd_cloexec(fd, least);
        let sources = fds.iter().map(|fd| duplicate(fd.as_fd(), free)).collect::<Result<Vec<_>, _>>()?;
        let mut placeholders = Vec::new();
        if let Some(fd) = fds.first() {
            loop {
                let placeholder = duplicate(fd.as_fd(), FIRST_FD)?;
                if placeholder.as_raw_fd() >= free {
                    break;
                }
                placeholders.push(placeholder);
            }
        }
        Ok(Self { sources, _placeholders: placeholders })
    }
}

/// Runs in the child between fork and exec.
fn in_child(parent: i32, sources: &[RawFd], huge_pages: bool) -> io::Result<()> {
    // A limit of one byte, not zero: with zero the kernel still feeds a core dump, and so guest memory, to a piped handler.
    let mut no_core = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    let mut core = no_core;
    // SAFETY: plain system calls on values of this function; none of them touches memory of this process but `core` and `no_core`.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // A session of its own: a terminal's Ctrl-C is for the one who asked for the guest, who then decides.
        check(libc::setsid())?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::getrlimit(libc::RLIMIT_CORE, &raw mut core))?;
        if core.rlim_max == 0 {
            // What sudo leaves; an ordinary user may not raise it again.
            no_core = core;
        }
        check(libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core))?;
        if !huge_pages {
            check(libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0))?;
        }
        libc::umask(0o077);
        let mut target = FIRST_FD;
        for source in sources {
            check(libc::dup2(*source, target))?;
            target += 1;
        }
        // Whatever the process that uses this library left open without CLOEXEC is none of the engine's business. Kernels
        // before 5.11 do not know the flag; there the descriptors of this crate are closed all the same.
        let first = libc::c_uint::try_from(target).unwrap_or(libc::c_uint::MAX);
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit is lowered in a process of its own, because it cannot be raised again.
    #[test]
    fn a_user_whose_core_limit_is_zero_can_start_programs() {
        const PLAYED: &str = "PYRO_ENGINE_TEST_NO_CORE";
        if std::env::var_os(PLAYED).is_some() {
            let nothing = OwnedFd::from(std::fs::File::options().write(true).open("/dev/null").unwrap());
            let mut child = Launch::new("/bin/true".into()).spawn(&nothing).unwrap();
            assert!(child.wait().unwrap().success());
            return;
        }
        let name = "process::launch::tests::a_user_whose_core_limit_is_zero_can_start_programs";
        let this = std::env::current_exe().unwrap();
        let run = format!("ulimit -Hc 0; exec '{}' --exact {name}", this.display());
        assert!(
            Command::new("/bin/sh").args(["-c", &run]).env(PLAYED, "1").output().unwrap().status.success()
        );
    }
}
