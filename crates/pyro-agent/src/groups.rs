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
    made: u64,
}

/// One job's group.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    /// `cgroup.procs`, open for writing.
    pub(crate) join: OwnedFd,
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
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&changes, root.join("cgroup.events"), inotify::WatchFlags::MODIFY)?;
        Ok(Self { root, changes, watched: BTreeMap::new(), spare: Vec::new(), made: 0 })
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
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let join = rustix::fs::open(path.join("cgroup.procs"), flags, Mode::empty())?;
        Ok(Group { path, join })
    }

    /// Takes back a group without processes; one that cannot be used again is removed.
    pub(crate) fn give_back(&mut self, group: Group) {
        if self.spare.len() < SPARE_MAX && is_pristine(&group.path) {
            self.spare.push(group);
        } else {
            remove_children(&group.path);
            // A group that cannot be removed yet goes when the next agent starts.
            let _ = rustix::fs::rmdir(&group.path);
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

    /// Stops or continues every process of every job; [`Self::is_frozen`] says when that is done.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        write_file(&self.root.join("cgroup.freeze"), if frozen { b"1" } else { b"0" })
    }

    /// Whether every process of every job is stopped.
    pub(crate) fn is_frozen(&self) -> bool {
        has_event(&self.root, b"frozen 1")
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
