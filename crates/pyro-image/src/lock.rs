//! Locks between processes that die with their holders. This file must not know what they protect.

use crate::cancel::Cancel;
use crate::error::At;
use crate::error::ImageError;
use rustix::event::EventfdFlags;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// A held lock; released when dropped, unless children inherited it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Arc<File>,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Takes the lock file at `path`, waiting for whoever has it; `on_wait` is called once if there is somebody.
    pub(crate) fn wait(path: &Path, cancel: &Cancel, on_wait: &mut dyn FnMut()) -> Result<Self, ImageError> {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = Arc::new(open.at("opening", path)?);
        if try_flock(&file, FlockOperation::NonBlockingLockExclusive).at("locking", path)? {
            return Ok(Self { file });
        }
        on_wait();
        wait_exclusive(Arc::clone(&file), cancel, path)?;
        Ok(Self { file })
    }

    /// Takes a folder or file for one's own if nobody holds it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, ImageError> {
        Self::try_existing(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Keeps a folder or file from being removed; `None` when it is being removed, or gone.
    pub(crate) fn try_shared(path: &Path) -> Result<Option<Self>, ImageError> {
        Self::try_existing(path, FlockOperation::NonBlockingLockShared)
    }

    fn try_existing(path: &Path, operation: FlockOperation) -> Result<Option<Self>, ImageError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("opening", path),
        };
        if !try_flock(&file, operation).at("locking", path)? || !is_still(&file, path) {
            return Ok(None);
        }
        Ok(Some(Self { file: Arc::new(file) }))
    }
}

/// Whether `path` still names the locked file: it may have been removed between opening and locking.
fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

fn try_flock(file: &File, operation: FlockOperation) -> Result<bool, Errno> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits in a thread of its own, because a lock cannot be polled for; when cancelled, the thread is left behind with its copy
/// of the file, gets the lock some day, and lets go of it at once.
fn wait_exclusive(file: Arc<File>, cancel: &Cancel, path: &Path) -> Result<(), ImageError> {
    let done = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC).at("opening an event for", path)?);
    let signal = Arc::clone(&done);
    let waiter = std::thread::Builder::new().name("lock-wait".to_owned()).spawn(move || {
        let result = loop {
            match rustix::fs::flock(&*file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let _ = rustix::io::write(&*signal, &1_u64.to_ne_bytes());
        result
    });
    let waiter = waiter.at("starting a thread for", path)?;
    let mut fds =
        [PollFd::new(&*done, PollFlags::IN), PollFd::from_borrowed_fd(cancel.event(), PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result.at("waiting for", path)?,
        };
        if !fds[1].revents().is_empty() {
            return Err(ImageError::Cancelled);
        }
        if !fds[0].revents().is_empty() {
            return waiter.join().unwrap_or(Err(Errno::CANCELED)).at("locking", path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_the_remover_out_and_lets_others_in() {
        let dir = tempfile::tempdir().unwrap();
        let lease = Lock::try_shared(dir.path()).unwrap().unwrap();
        assert!(Lock::try_shared(dir.path()).unwrap().is_some());
        assert!(Lock::try_exclusive(dir.path()).unwrap().is_none());
        drop(lease);
        assert!(Lock::try_exclusive(dir.path()).unwrap().is_some());
    }

    #[test]
    fn what_is_gone_cannot_be_leased() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Lock::try_shared(&dir.path().join("gone")).unwrap().is_none());
    }

    #[test]
    fn waiting_ends_when_the_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let cancel = Cancel::new().unwrap();
        let mut held = Some(Lock::wait(&path, &cancel, &mut || {}).unwrap());
        let mut waited = false;
        let second = Lock::wait(&path, &cancel, &mut || {
            waited = true;
            held = None;
        });
        assert!(second.is_ok());
        assert!(waited);
    }

    #[test]
    fn waiting_can_be_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let cancel = Cancel::new().unwrap();
        let _held = Lock::wait(&path, &cancel, &mut || {}).unwrap();
        let stopper = cancel.clone();
        let second = Lock::wait(&path, &cancel, &mut || stopper.cancel());
        assert!(matches!(second, Err(ImageError::Cancelled)));
    }
}
