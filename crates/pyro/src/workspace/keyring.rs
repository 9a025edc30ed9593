//! Secrets of workspaces in the kernel's keyring of this user: in memory, never on a disk, gone with the host's next boot.
//! Where the kernel does not let one, as in many containers, there is none, and secrets are asked for again after a stop. This
//! file must not fail an operation: a keyring is a convenience.

use super::document::Document;
use super::id::WorkspaceId;
use crate::config::Config;
use crate::secret::SecretName;
use crate::secret::SecretValue;
use linux_keyutils::KeyRing;
use linux_keyutils::KeyRingIdentifier;
use zeroize::Zeroizing;

/// Most bytes of one key of this kind. A longer value is not kept.
const KEY_BYTES_MAX: usize = 32_767;

/// The secrets of one workspace.
#[derive(Debug)]
pub(super) struct Keyring {
    ring: Option<KeyRing>,
    workspace: String,
}

impl Keyring {
    /// The keyring's part of a workspace.
    pub(super) fn of(config: &Config, workspace: &WorkspaceId) -> Self {
        let ring = config.secret_keyring.then(|| KeyRing::from_special_id(KeyRingIdentifier::User, false));
        Self { ring: ring.and_then(Result::ok), workspace: workspace.to_string() }
    }

    fn describe(&self, name: &SecretName) -> String {
        format!("pyro:{}:{name}", self.workspace)
    }

    /// Keeps a value; whether it could be kept.
    pub(super) fn put(&self, name: &SecretName, value: &SecretValue) -> bool {
        let fits = value.expose().len() <= KEY_BYTES_MAX;
        let kept = self.ring.filter(|_| fits).map(|ring| ring.add_key(&self.describe(name), value.expose()));
        matches!(kept, Some(Ok(_)))
    }

    /// A value that was kept.
    pub(super) fn get(&self, name: &SecretName) -> Option<SecretValue> {
        let key = self.ring?.search(&self.describe(name)).ok()?;
        let mut bytes = Zeroizing::new(vec![0; KEY_BYTES_MAX]);
        let length = key.read(&mut *bytes).ok()?;
        SecretValue::from_bytes(bytes.get(..length)?.to_vec()).ok()
    }

    /// Forgets all values that a document names: its workspace is about to be gone.
    pub(super) fn clear(&self, document: &Document) {
        document.secrets.keys().for_each(|name| self.remove(name));
    }

    /// Forgets a value.
    pub(super) fn remove(&self, name: &SecretName) {
        let Some(ring) = self.ring else { return };
        if let Ok(key) = ring.search(&self.describe(name)) {
            let _ = ring.unlink_key(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { secret_keyring: true, ..Config::for_tests(dir.path()) };
        let id = WorkspaceId::random().unwrap();
        let (keyring, other) =
            (Keyring::of(&config, &id), Keyring::of(&config, &WorkspaceId::random().unwrap()));
        let (name, value) = ("TOKEN".parse().unwrap(), SecretValue::new("swordfish".into()).unwrap());
        if !keyring.put(&name, &value) {
            // This kernel lets nobody keep keys; then there is nothing to be found either.
            assert_eq!(keyring.get(&name), None);
            return;
        }
        assert_eq!((keyring.get(&name), other.get(&name)), (Some(value), None));
        keyring.remove(&name);
        assert_eq!(keyring.get(&name), None);
    }

    #[test]
    fn who_wants_none_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::of(&Config::for_tests(dir.path()), &WorkspaceId::random().unwrap());
        assert!(!keyring.put(&"A".parse().unwrap(), &SecretValue::new("swordfish".into()).unwrap()));
    }
}
