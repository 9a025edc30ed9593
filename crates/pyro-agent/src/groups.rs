//! Control groups (version 2): one for each job, so that none of its processes escapes, and one above them that freezes
//! them all. This file must not know what a job is for.

use crate::users::read_bounded;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::inotify;
use rustix::io;
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// Emptied groups kept for later jobs: making one costs more than all else in starting a short command.
const SPARE_MAX: usize = 8;

/// The group above all jobs.
#[derive(Debug)]
pub(crate) struct Groups {
    root: PathBuf,
    changes: OwnedFd,
    watched: BTreeMap<i32, u64>,
    spare: Vec<Group>,
    /// Emptied, and not yet looked at.
    returned: Vec<Group>,
    made: u64,
    /// Processes and threads one job may have.
    job_processes: String,
    freezing: bool,
}

/// One job's group.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    /// Its folder, which processes are born into.
    pub(crate) folder: OwnedFd,
}

impl Groups {
    /// Makes the group above all jobs below a mounted cgroup2 file system, killing what an earlier agent left in it.
    pub(crate) fn open(mount: &Path) -> io::Result<Self> {
        let root = mount.join("pyro");
        if root.exists() {
            write_file(&root.join("cgroup.kill"), b"1")?;
            write_file(&root.join("cgroup.freeze"), b"0")?;
        }
        match rustix::fs::mkdir(&root, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(io::Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        remove_children(&root);
        let job_processes = limit_processes(mount, &root);
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&changes, root.join("cgroup.events"), inotify::WatchFlags::MODIFY)?;
        Ok(Self {
            root,
            changes,
            watched: BTreeMap::new(),
            spare: Vec::new(),
            returned: Vec::new(),
            made: 0,
            job_processes,
            freezing: false,
        })
    }

    /// The descriptor that says when [`Self::changed`] is worth a call.
    pub(crate) const fn changes(&self) -> &OwnedFd {
        &self.changes
    }

    /// An empty group.
    pub(crate) fn take(&mut self) -> io::Result<Group> {
        if let Some(group) = self.spare.pop() {
            return Ok(group);
        }
        self.made += 1;
        let path = self.root.join(format!("job-{}", self.made));
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(io::Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let _ = write_file(&path.join("pids.max"), self.job_processes.as_bytes());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Group { path, folder })
    }

    /// Takes back a group without processes.
    pub(crate) fn give_back(&mut self, group: Group) {
        self.returned.push(group);
    }

    /// Looks at what was given back, which nobody waits for: a group that cannot be used again is removed.
    pub(crate) fn tidy(&mut self) {
        for group in self.returned.drain(..) {
            if self.spare.len() < SPARE_MAX && is_pristine(&group.path) {
                // The job may have set itself a lower limit, which is not the next one's.
                let _ = write_file(&group.path.join("pids.max"), self.job_processes.as_bytes());
                self.spare.push(group);
            } else {
                remove_children(&group.path);
                // A group that cannot be removed yet goes when the next agent starts.
                let _ = rustix::fs::rmdir(&group.path);
            }
        }
    }

    /// Asks to hear of `job` when its group becomes empty.
    pub(crate) fn watch(&mut self, job: u64, group: &Group) -> io::Result<()> {
        let watch =
            inotify::add_watch(&self.changes, group.path.join("cgroup.events"), inotify::WatchFlags::MODIFY)?;
        self.watched.insert(watch, job);
        Ok(())
    }

    /// Whether [`Self::watch`] was called for `job`.
    pub(crate) fn is_watched(&self, job: u64) -> bool {
        self.watched.values().any(|of| *of == job)
    }

    /// Forgets a job.
    pub(crate) fn unwatch(&mut self, job: u64) {
        let watches: Vec<i32> =
            self.watched.iter().filter(|(_, of)| **of == job).map(|(watch, _)| *watch).collect();
        for watch in watches {
            // The kernel has dropped the watch already where the group is gone.
            let _ = inotify::remove_watch(&self.changes, watch);
            self.watched.remove(&watch);
        }
    }

    /// Jobs whose groups changed since the last call.
    pub(crate) fn changed(&mut self) -> Vec<u64> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        let mut jobs = Vec::new();
        while let Ok(event) = reader.next() {
            jobs.extend(self.watched.get(&event.wd()).copied());
        }
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// Stops every process of every job; [`Self::is_frozen`] says when that is done. Where there is none, nothing needs to
    /// be undone either, and a guest restored from there is ready sooner.
    pub(crate) fn freeze(&mut self) -> io::Result<()> {
        if !has_event(&self.root, b"populated 0") {
            write_file(&self.root.join("cgroup.freeze"), b"1")?;
            self.freezing = true;
        }
        Ok(())
    }

    /// Lets every process go on, if any was stopped.
    pub(crate) fn unfreeze(&mut self) -> io::Result<()> {
        if self.freezing {
            write_file(&self.root.join("cgroup.freeze"), b"0")?;
            self.freezing = false;
        }
        Ok(())
    }

    /// Whether every process of every job is stopped.
    pub(crate) fn is_frozen(&self) -> bool {
        !self.freezing || has_event(&self.root, b"frozen 1")
    }
}

impl Group {
    /// The processes in it and below it now.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        collect_processes(&self.path, 0, &mut pids);
        pids
    }

    /// Whether no process is in it or below it.
    pub(crate) fn is_empty(&self) -> bool {
        !has_event(&self.path, b"populated 1")
    }

    /// Sends SIGKILL to every process in it and below it, at once.
    pub(crate) fn kill(&self) -> io::Result<()> {
        write_file(&self.path.join("cgroup.kill"), b"1")
    }
}

/// Deepest nesting of groups that is looked into; a job may make its own.
const DEPTH_MAX: usize = 16;

fn collect_processes(path: &Path, depth: usize, pids: &mut Vec<Pid>) {
    let listed = read_bounded(path.join("cgroup.procs"));
    let lines =
        listed.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()?.parse().ok());
    pids.extend(lines.filter_map(Pid::from_raw));
    if depth < DEPTH_MAX {
        for child in children(path) {
            collect_processes(&child, depth + 1, pids);
        }
    }
}

/// Keeps all jobs from using up every process there can be. Kernels without the controller go without.
fn limit_processes(mount: &Path, root: &Path) -> String {
    let [all, each] = shares(&kernel_limits());
    for folder in [mount, root] {
        let _ = write_file(&folder.join("cgroup.subtree_control"), b"+pids");
    }
    let _ = write_file(&root.join("pids.max"), all.to_string().as_bytes());
    each.to_string()
}

/// How many processes and threads the kernel makes at most: it stops at the lower of the two.
fn kernel_limits() -> [Option<u64>; 2] {
    ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"]
        .map(|path| str::from_utf8(read_bounded(path).trim_ascii()).ok()?.parse().ok())
}

/// What all jobs together may have of that, and what one of them may: however one multiplies, the agent can fork, and
/// there is room for another job that puts an end to it.
fn shares(limits: &[Option<u64>]) -> [u64; 2] {
    let most = limits.iter().flatten().min().copied().unwrap_or(4096);
    [9, 8].map(|tenths| (most.saturating_mul(tenths) / 10).max(1))
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes what is empty below a group; what is not stays.
fn remove_children(path: &Path) {
    for child in children(path) {
        remove_children(&child);
        let _ = rustix::fs::rmdir(&child);
    }
}

/// Whether a group is as it was made: empty, without groups of the job's own making, not frozen by it.
fn is_pristine(path: &Path) -> bool {
    has_event(path, b"populated 0") && has_event(path, b"frozen 0") && children(path).is_empty()
}

fn has_event(path: &Path, wanted: &[u8]) -> bool {
    read_bounded(path.join("cgroup.events")).split(|byte| *byte == b'\n').any(|line| line == wanted)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::write(&file, bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_job_and_not_all_of_them_get_the_last_process() {
        assert_eq!(shares(&[Some(3000), Some(32768)]), [2700, 2400]);
        assert_eq!(shares(&[Some(1), None]), [1, 1]);
        assert_eq!(shares(&[Some(u64::MAX)])[1], u64::MAX / 10);
        assert!(shares(&[None, None])[0] < 4096);
    }
}
