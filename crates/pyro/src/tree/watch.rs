//! Watches a folder of the host and everything below it: batches of changed paths, taken together until it is quiet for a
//! moment. This file must not read content, and follows no link below the root.

use super::source::BENEATH;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::TreePath;
use rustix::event::EventfdFlags;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::ReadFlags;
use rustix::fs::inotify::WatchFlags;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

const EVENT_BYTES: usize = 64 * 1024;
const NAMES_BYTES: usize = 16 * 1024;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is left out of a watch.
pub type Skip = Box<dyn Fn(&TreePath, bool) -> bool + Send>;

/// How changes are taken together.
pub struct WatchOptions {
    /// A batch ends when nothing has changed for so long.
    pub quiet: Duration,
    /// And at the latest so long after its first change.
    pub longest: Duration,
    /// Paths that are of no interest (path, whether it is a folder), with everything below them.
    pub skip: Skip,
    /// Most paths in one batch; beyond it everything is to be looked at again.
    pub paths_max: usize,
}

impl Default for WatchOptions {
    fn default() -> Self {
        let skip = Box::new(|_: &TreePath, _| false);
        Self { quiet: Duration::from_millis(100), longest: Duration::from_secs(1), skip, paths_max: 10_000 }
    }
}

impl std::fmt::Debug for WatchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchOptions").field("quiet", &self.quiet).field("longest", &self.longest).finish()
    }
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The root cannot be opened.
    #[error("opening {path}", path = .path.display())]
    Open {
        /// The root.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel watches nothing more for this user.
    #[error("the system's limit of watched folders is reached at {path}", path = .path.display())]
    Limit {
        /// The folder that could not be watched.
        path: PathBuf,
    },
    /// A folder cannot be watched.
    #[error("watching {path}", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel's events cannot be had.
    #[error("waiting for changes")]
    Events(#[source] io::Error),
}

impl Coded for WatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => code::SOURCE_MISSING,
            Self::Open { .. } | Self::Folder { .. } => code::SOURCE_UNREADABLE,
            Self::Limit { .. } | Self::Events(_) => code::HOST_FAILED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Limit { .. } => vec![
                "leave folders out with --exclude or an ignore file".to_owned(),
                "raise fs.inotify.max_user_watches".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Paths that were made, written, changed, renamed or removed.
    pub paths: BTreeSet<TreePath>,
    /// Not all changes are known: everything is to be looked at again.
    pub rescan: bool,
    /// The root itself is gone; nothing will come any more.
    pub root_gone: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.rescan && !self.root_gone
    }
}

/// Ends a watch from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OwnedFd>);

impl Stopper {
    /// Makes the watch end: at once, whatever it waits for.
    pub fn stop(&self) {
        // Only a counter that is about to overflow refuses, and it has then been told often enough.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// A watched folder.
#[derive(Debug)]
pub struct Watch {
    /// Where the root really is. It is opened each time: the kernel does not say that a folder is gone while it is held open.
    root: PathBuf,
    inotify: OwnedFd,
    stop: Stopper,
    options: WatchOptions,
    folders: HashMap<i32, TreePath>,
    gone: bool,
}

impl Watch {
    /// Watches a folder; what changes from now on is told.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn new(root: &Path, options: WatchOptions) -> Result<Self, WatchError> {
        let failed = |source| WatchError::Open { path: root.to_owned(), source };
        let real = std::fs::canonicalize(root).map_err(failed)?;
        open_folder(&real).map_err(|error| failed(error.into()))?;
        let events = |error: Errno| WatchError::Events(error.into());
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(events)?;
        let stop =
            rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(events)?;
        let mut watch = Self {
            root: real,
            inotify,
            stop: Stopper(Arc::new(stop)),
            options,
            folders: HashMap::new(),
            gone: false,
        };
        watch.enter(&TreePath::default(), None)?;
        Ok(watch)
    }

    /// What ends this watch.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Waits for changes, and then until it is quiet. `None` when the watch was stopped, or the root is gone and that was told.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn next_batch(&mut self) -> Result<Option<Batch>, WatchError> {
        if self.gone {
            return Ok(None);
        }
        let mut batch = Batch::default();
        let mut first: Option<Instant> = None;
        loop {
            let wait = first.map(|first| {
                let left = (first + self.options.longest).saturating_duration_since(Instant::now());
                left.min(self.options.quiet)
            });
            match self.wait(wait)? {
                Ready::Stopped => return Ok(None),
                Ready::Quiet => return Ok(Some(batch)),
                Ready::Events => self.read(&mut batch)?,
            }
            if batch.is_empty() {
                continue;
            }
            let first = *first.get_or_insert_with(Instant::now);
            if batch.root_gone || first.elapsed() >= self.options.longest {
                return Ok(Some(batch));
            }
        }
    }

    fn wait(&self, wait: Option<Duration>) -> Result<Ready, WatchError> {
        let wait = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&*self.stop.0, PollFlags::IN), PollFd::new(&self.inotify, PollFlags::IN)];
        match rustix::event::poll(&mut fds, wait.as_ref()) {
            Ok(0) => Ok(Ready::Quiet),
            Ok(_) if !fds[0].revents().is_empty() => Ok(Ready::Stopped),
            Ok(_) | Err(Errno::INTR) => Ok(Ready::Events),
            Err(error) => Err(WatchError::Events(error.into())),
        }
    }

    fn read(&mut self, batch: &mut Batch) -> Result<(), WatchError> {
        let mut new_folders = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(WatchError::Events(error.into())),
            };
            let (flags, name) = (event.events(), event.file_name().map(|name| name.to_bytes().to_vec()));
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                batch.rescan = true;
                // Folders that were made meanwhile are not watched yet.
                new_folders.push(TreePath::default());
                continue;
            }
            let Some(folder) = self.folders.get(&event.wd()).cloned() else { continue };
            if flags.contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
            }
            if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
                batch.root_gone |= folder.is_root();
                continue;
            }
            // A name that is too deep to be sent is no change that could be pushed.
            let Some(path) = name.and_then(|name| folder.join(&name).ok()) else { continue };
            let is_folder = flags.contains(ReadFlags::ISDIR);
            if (self.options.skip)(&path, is_folder) {
                continue;
            }
            if is_folder && flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                new_folders.push(path.clone());
            }
            if is_folder && flags.intersects(ReadFlags::MOVED_FROM) {
                forget(&self.inotify, &mut self.folders, &path);
            }
            batch.paths.insert(path);
        }
        self.gone |= batch.root_gone;
        for folder in new_folders {
            self.enter(&folder, Some(batch))?;
        }
        if batch.paths.len() > self.options.paths_max {
            batch.paths.clear();
            batch.rescan = true;
        }
        Ok(())
    }

    /// Watches a folder and all below it. What is in a new one was perhaps made before it was watched, and is told.
    fn enter(&mut self, folder: &TreePath, mut batch: Option<&mut Batch>) -> Result<(), WatchError> {
        let mut pending = vec![folder.clone()];
        while let Some(path) = pending.pop() {
            match self.enter_one(&path, batch.as_deref_mut(), &mut pending) {
                // It was there a moment ago; that it is gone again is an event of its own.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(Errno::NOSPC) => return Err(WatchError::Limit { path: self.shown(&path) }),
                // What cannot be entered cannot be pushed either: that is where it is reported.
                Err(Errno::ACCESS) if !path.is_root() => {}
                Err(error) => {
                    return Err(WatchError::Folder { path: self.shown(&path), source: error.into() });
                }
            }
        }
        Ok(())
    }

    fn enter_one(
        &mut self,
        path: &TreePath,
        mut batch: Option<&mut Batch>,
        pending: &mut Vec<TreePath>,
    ) -> Result<(), Errno> {
        let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        let root = open_folder(&self.root)?;
        let folder = rustix::fs::openat2(&root, name, FOLDER, Mode::empty(), BENEATH)?;
        // There is no watch by descriptor; its name in /proc is that of the very folder that was opened.
        let by_descriptor = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let wanted = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let id = inotify::add_watch(&self.inotify, by_descriptor, wanted)?;
        self.folders.insert(id, path.clone());
        let mut buffer = vec![MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name();
            let Ok(path) = path.join(name.to_bytes()) else { continue };
            let kind = match entry.file_type() {
                FileType::Unknown => match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                known => known,
            };
            let is_folder = kind == FileType::Directory;
            if (self.options.skip)(&path, is_folder) {
                continue;
            }
            if let Some(batch) = batch.as_deref_mut() {
                batch.paths.insert(path.clone());
            }
            if is_folder {
                pending.push(path);
            }
        }
        Ok(())
    }

    fn shown(&self, path: &TreePath) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        self.root.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, FOLDER, Mode::empty())
}

/// Ends the watches of a folder that was moved away, and of those below it: their names are no longer true.
fn forget(inotify: &OwnedFd, folders: &mut HashMap<i32, TreePath>, folder: &TreePath) {
    let below = |path: &TreePath| {
        path.as_bytes()
            .strip_prefix(folder.as_bytes())
            .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    };
    let ids: Vec<i32> = folders.iter().filter(|(_, path)| below(path)).map(|(id, _)| *id).collect();
    for id in ids {
        // One that is gone already needs no removing.
        let _ = inotify::remove_watch(inotify, id);
        folders.remove(&id);
    }
}

enum Ready {
    Events,
    Quiet,
    Stopped,
}

#[cfg(test)]
mod tests;
