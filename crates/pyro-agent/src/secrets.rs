//! Secrets where the guest's programs find them: one file for each, in memory, for root alone, and written over before they
//! go. This file must not remember a value.

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Why a secret was not put there, or not taken away. It never says what it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("a secret's name takes letters, digits and underscores, {NAME_BYTES_MAX} bytes at most")]
    Name,
    #[error("a secret has {VALUE_BYTES_MAX} bytes at most")]
    TooLong,
    #[error("keeping secrets in {folder}")]
    File {
        folder: String,
        #[source]
        source: io::Error,
    },
}

/// Puts a secret into the folder, in place of an older value.
pub(crate) fn put(folder: &Path, name: &str, value: &[u8]) -> Result<(), SecretError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return Err(SecretError::Name);
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(SecretError::TooLong);
    }
    write(folder, name, value).map_err(|source| file_error(folder, source))
}

fn write(folder: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let at = open(folder)?;
    // No name of a secret has a dot.
    let aside = format!(".{name}");
    match rustix::fs::unlinkat(&at, &aside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&at, &aside, flags, Mode::RUSR | Mode::WUSR)?;
    File::from(file).write_all(value)?;
    blank(&at, name.as_bytes());
    Ok(rustix::fs::renameat(&at, &aside, &at, name)?)
}

/// Takes all of them away.
pub(crate) fn drop_all(folder: &Path) -> Result<(), SecretError> {
    match remove(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(folder, error)),
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    let at = open(folder)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&at)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        blank(&at, name.as_bytes());
        match rustix::fs::unlinkat(&at, &name, AtFlags::empty()) {
            // What programs of the guest have put there is theirs.
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Writes over what a file holds: its pages are not cleared when it goes. One that is not there has nothing to hide.
fn blank(at: &OwnedFd, name: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(at, name, flags, Mode::empty()) else { return };
    let mut file = File::from(file);
    let length = file.metadata().map_or(0, |metadata| metadata.len()).min(VALUE_BYTES_MAX as u64);
    let _ = file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)]);
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn file_error(folder: &Path, source: io::Error) -> SecretError {
    SecretError::File { folder: folder.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_a_file_for_its_owner_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("secrets");
        drop_all(&folder).unwrap();
        put(&folder, "TOKEN", b"first").unwrap();
        put(&folder, "TOKEN", b"second").unwrap();
        put(&folder, "_2", b"").unwrap();
        assert_eq!(std::fs::read(folder.join("TOKEN")).unwrap(), b"second");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("TOKEN"))), (0o700, 0o600));
        // Whoever has it open sees that it is gone, and not what it was.
        let open = File::open(folder.join("TOKEN")).unwrap();
        drop_all(&folder).unwrap();
        assert_eq!(io::read_to_string(open).unwrap(), "\0".repeat(6));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn names_and_sizes_are_bounded_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("secrets");
        for name in ["", "../a", "a.b", &"x".repeat(65)] {
            assert!(matches!(put(&folder, name, b"v"), Err(SecretError::Name)), "{name}");
        }
        let long = vec![b'x'; VALUE_BYTES_MAX + 1];
        assert!(matches!(put(&folder, "A", &long), Err(SecretError::TooLong)));
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::write(dir.path().join("file"), b"kept").unwrap();
        std::os::unix::fs::symlink("other", &folder).unwrap();
        assert!(put(&folder, "A", b"v").is_err() && drop_all(&folder).is_err());
        std::fs::remove_file(&folder).unwrap();
        put(&folder, "A", b"v").unwrap();
        std::fs::remove_file(folder.join("A")).unwrap();
        std::os::unix::fs::symlink("../file", folder.join("A")).unwrap();
        put(&folder, "A", b"new").unwrap();
        drop_all(&folder).unwrap();
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"kept");
    }
}
