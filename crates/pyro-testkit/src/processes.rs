//! Finds processes that use something below a folder, and waits for them by their pidfds. It must not end any of them:
//! what is still there is the fault the test looks for.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::pidfd_open;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How long a process that is on its way out may take. A limit, not a wait: the pidfd wakes the test.
const LIMIT_SECONDS: i64 = 20;

/// A process that uses something below the folder.
#[derive(Debug)]
pub struct User {
    /// Its process id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// Processes with an open file, working directory, mapping or root below `folder`; deleted files count.
pub fn using(folder: &Path) -> Vec<User> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.bytes().all(|byte| byte.is_ascii_digit()) && name != own && uses(&entry.path(), folder)
        })
        .map(|entry| User {
            pid: entry.file_name().to_string_lossy().parse().unwrap(),
            command: String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).unwrap_or_default())
                .replace('\0', " "),
        })
        .collect()
}

fn uses(process: &Path, folder: &Path) -> bool {
    let below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(folder));
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    below(&process.join("cwd"))
        || below(&process.join("root"))
        || files.map(|fd| fd.path()).any(|fd| below(&fd))
}

/// Waits until no process uses anything below `folder`, and fails when one stays.
pub fn wait_until_none_uses(folder: &Path) {
    for user in using(folder) {
        let Some(pidfd) = open(user.pid) else { continue };
        assert!(ended(&pidfd), "a process is left: {user:?}");
    }
    let left = using(folder);
    assert!(left.is_empty(), "processes are left: {left:?}");
}

/// A handle of a process, unless it has ended.
pub fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Waits for a process's end, up to a limit.
pub fn ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let limit = Timespec { tv_sec: LIMIT_SECONDS, tv_nsec: 0 };
    poll(&mut fds, Some(&limit)).unwrap() > 0
}
