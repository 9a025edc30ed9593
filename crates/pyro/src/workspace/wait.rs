//! Waiting for whoever has a workspace: a start, an end or a change of its disk is under way in another process. Nothing is
//! left behind by a wait that is given up: no thread, and no place in the queue for the lock. This file must not take the lock
//! to keep it.

use super::folder::Folder;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::WatchFlags;
use std::io;
use std::time::Duration;

/// How often is looked without being told: the kernel tells that the lock's file was closed a moment before the lock is free.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Folder {
    /// Returns when the supervisor's socket appears, or the lock is free, or the workspace is gone.
    pub(super) async fn wait_for_change(&self) -> io::Result<()> {
        // Whoever holds the lock has removed what an earlier supervisor left.
        self.wait_until(|| self.path().join(Self::socket_name()).exists() || !self.is_held()).await
    }

    /// Returns when the lock is free, or the workspace is gone.
    pub(super) async fn wait_until_free(&self) -> io::Result<()> {
        self.wait_until(|| !self.is_held()).await
    }

    async fn wait_until(&self, done: impl Fn() -> bool) -> io::Result<()> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&watch, self.path(), flags)?;
        // Like a pipe it becomes readable, and what is read says no more than that.
        let watch = tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(watch)?;
        while !done() {
            let Ok(told) = tokio::time::timeout(LOOK_EVERY, watch.readable()).await else { continue };
            told?;
            let mut news = [0; 4096];
            while watch.try_read(&mut news).is_ok_and(|count| count > 0) {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::WorkspaceId;
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), WorkspaceId::random().unwrap());
        folder.make().unwrap();
        (home, folder)
    }

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let (_home, folder) = folder();
        let lock = folder.try_lock().unwrap().unwrap();
        for _ in 0..20 {
            let waited = tokio::time::timeout(Duration::from_millis(1), folder.wait_for_change()).await;
            assert!(waited.is_err());
        }
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
        let before = threads();
        let _ = tokio::time::timeout(Duration::from_millis(1), folder.wait_until_free()).await;
        assert!(threads() <= before);
        drop(lock);
        // Nobody who gave up is in the way.
        assert!(folder.try_lock().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_lock_is_free_or_the_socket_is_there_or_all_is_gone() {
        let (_home, folder) = folder();
        let lock = folder.try_lock().unwrap().unwrap();
        let (waited, ()) = tokio::join!(folder.wait_until_free(), async { drop(lock) });
        waited.unwrap();
        let lock = folder.try_lock().unwrap().unwrap();
        let socket = folder.path().join(Folder::socket_name());
        let (waited, ()) = tokio::join!(folder.wait_for_change(), async {
            std::fs::write(&socket, "").unwrap();
        });
        waited.unwrap();
        let (waited, ()) =
            tokio::join!(folder.wait_until_free(), async { folder.clone().remove(&lock).unwrap() });
        waited.unwrap();
    }
}
