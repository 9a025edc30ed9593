//! The keys of one workspace: its host key, and the one that a client must have. Both are made when they are first wanted and
//! lie in the workspace's folder, for their owner alone; no part of them is in the guest. This file must not use them.

use crate::error::SshError;
use pyro::workspace::Workspace;
use russh::keys::Algorithm;
use russh::keys::PrivateKey;
use russh::keys::PublicKey;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use std::fs;
use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The keys of one workspace.
#[derive(Debug)]
pub struct Keys {
    pub(crate) host: PrivateKey,
    pub(crate) client: PublicKey,
    folder: PathBuf,
    alias: String,
}

impl Keys {
    /// The keys of a workspace, made if they are not there yet.
    ///
    /// # Errors
    /// [`SshError::File`], [`SshError::Key`].
    pub fn of(workspace: &Workspace) -> Result<Self, SshError> {
        Self::in_folder(&workspace.folder().path().join("ssh"), &format!("pyro-{}", workspace.id()))
    }

    pub(crate) fn in_folder(folder: &Path, alias: &str) -> Result<Self, SshError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| failed("making", folder, source))?;
        let host = load_or_make(&folder.join("host_key"))?;
        let client = load_or_make(&folder.join("id_ed25519"))?.public_key().clone();
        let keys = Self { host, client, folder: folder.to_owned(), alias: alias.to_owned() };
        let known = format!("{alias} {}\n", public(keys.host.public_key(), &keys.known_hosts())?);
        if fs::read_to_string(keys.known_hosts()).ok().as_deref() != Some(&known) {
            replace(&keys.known_hosts(), known.as_bytes(), |from, to| fs::rename(from, to))?;
        }
        Ok(keys)
    }

    /// What the host is called in [`Self::known_hosts`].
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The file with the key that a client must have.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    /// The file that tells a client the host key.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> SshError {
    SshError::File { operation, path: path.to_owned(), source }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> SshError {
    SshError::Key { path: path.to_owned(), reason: reason.to_string() }
}

fn public(key: &PublicKey, path: &Path) -> Result<String, SshError> {
    key.to_openssh().map_err(|error| unusable(path, &error))
}

fn load_or_make(path: &Path) -> Result<PrivateKey, SshError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
                .map_err(|error| unusable(path, &error))?;
            let text = key.to_openssh(LineEnding::LF).map_err(|error| unusable(path, &error))?;
            // Whoever is first wins, and everybody uses that key.
            replace(path, text.as_bytes(), |from, to| match fs::hard_link(from, to) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => fs::remove_file(from),
            })?;
            let bytes = fs::read(path).map_err(|source| failed("reading", path, source))?;
            PrivateKey::from_openssh(&bytes).map_err(|error| unusable(path, &error))
        }
        read => {
            let bytes = read.map_err(|source| failed("reading", path, source))?;
            PrivateKey::from_openssh(&bytes).map_err(|error| unusable(path, &error))
        }
    }
}

/// Writes a file aside, whole and on the disk, and has `put` give it its name.
fn replace(
    path: &Path,
    content: &[u8],
    put: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<(), SshError> {
    let thread = std::thread::current().id();
    let aside = path.with_extension(format!("new-{}-{thread:?}", std::process::id()));
    let write = || {
        let _ = fs::remove_file(&aside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        put(&aside, path)
    };
    write().map_err(|source| failed("writing", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_made_once_and_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ssh");
        let first = Keys::in_folder(&folder, "pyro-x").unwrap();
        let again = Keys::in_folder(&folder, "pyro-x").unwrap();
        assert_eq!(first.host.public_key(), again.host.public_key());
        assert_eq!(first.client, again.client);
        assert_ne!(first.client.key_data(), first.host.public_key().key_data());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
        let known = fs::read_to_string(first.known_hosts()).unwrap();
        assert_eq!(known, format!("pyro-x {}\n", first.host.public_key().to_openssh().unwrap()));
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["host_key", "id_ed25519", "known_hosts"]);
    }

    #[test]
    fn whoever_is_first_makes_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let make = || Keys::in_folder(dir.path(), "pyro-x").unwrap().host.public_key().clone();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn rubbish_is_named_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("host_key"), "rubbish").unwrap();
        let error = Keys::in_folder(dir.path(), "pyro-x").unwrap_err();
        assert!(matches!(&error, SshError::Key { path, .. } if path.ends_with("host_key")), "{error}");
        assert_eq!(fs::read(dir.path().join("host_key")).unwrap(), b"rubbish");
    }
}
