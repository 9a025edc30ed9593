//! The socket in a workspace's folder. It is reached by way of the folder's descriptor, so that a path of any length will do:
//! a socket's address holds 107 bytes. This file must not know what is said on it.

use crate::workspace::error::StoreError;
use crate::workspace::folder::Folder;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tokio::net::UnixListener;
use tokio::net::UnixStream;

/// Listens on a workspace's socket; only the holder of its lock may.
pub(in crate::workspace) fn listen(folder: &Folder) -> Result<UnixListener, StoreError> {
    let path = folder.path().join(Folder::socket_name());
    let failed = |source| StoreError::file("listening on", &path, source);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let (address, _open) = address(folder).map_err(failed)?;
    let listener = UnixListener::bind(address).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Connects to a workspace's supervisor; `None` when there is none.
pub(in crate::workspace) async fn connect(folder: &Folder) -> io::Result<Option<UnixStream>> {
    let found = match address(folder) {
        Ok((address, _open)) => UnixStream::connect(address).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn address(folder: &Folder) -> io::Result<(PathBuf, OwnedFd)> {
    let open =
        rustix::fs::open(folder.path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{}", open.as_raw_fd(), Folder::socket_name())), open))
}
