//! Waits until a file or folder appears somewhere below a folder. It looks again when the kernel says that something was
//! made there, so that a test can act in the very moment.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::inotify;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// How long it may take. A limit, not a wait: the kernel wakes the test.
const LIMIT_SECONDS: i64 = 120;

/// Waits for what appears below one folder.
#[derive(Debug)]
pub struct Appearance {
    root: PathBuf,
    events: OwnedFd,
}

impl Appearance {
    /// Watches `root`, which is made when it is not there.
    pub fn below(root: &Path) -> Self {
        std::fs::create_dir_all(root).unwrap();
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        let watch = Self { root: root.to_owned(), events };
        watch.watch(root);
        watch
    }

    /// Waits until there is a path for which `wanted` is true; fails when it takes too long.
    pub fn wait_for(&self, wanted: impl Fn(&Path) -> bool) -> PathBuf {
        loop {
            // Watched first and listed then: what is made in between is in the list, what is made later is an event.
            if let Some(found) = self.find(&self.root, &wanted) {
                return found;
            }
            self.event();
        }
    }

    fn watch(&self, folder: &Path) {
        // A folder that is gone again needs no watching.
        let _ = inotify::add_watch(
            &self.events,
            folder,
            inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO,
        );
    }

    fn find(&self, folder: &Path, wanted: &impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        entries.map(|entry| entry.path()).find_map(|path| {
            if wanted(&path) {
                return Some(path);
            }
            if !path.is_dir() {
                return None;
            }
            self.watch(&path);
            self.find(&path, wanted)
        })
    }

    fn event(&self) {
        let mut fds = [PollFd::new(&self.events, PollFlags::IN)];
        let limit = Timespec { tv_sec: LIMIT_SECONDS, tv_nsec: 0 };
        assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "nothing appears below {}", self.root.display());
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        while reader.next().is_ok() {}
    }
}
