//! The workspace's secrets while its guest runs: their values in this process's memory, and in the guest's only while a
//! command, shell or service that may use them runs. This file must not write a value to anything but the guest.
//!
//! ```text
//!   no command runs        nothing in the guest
//!   first command begins   every secret put at /run/pyro-secrets
//!   last command ended     all written over and removed
//! ```

use super::Supervisor;
use crate::guest::GuestError;
use crate::secret::Needles;
use crate::secret::SecretName;
use crate::secret::SecretValue;
use crate::workspace::error::WorkspaceError;
use crate::workspace::keyring::Keyring;
use crate::workspace::sealed::Sealed;
use crate::workspace::secrets::NewSecret;
use pyro_proto::bytes::HiddenBytes;
use pyro_proto::message::RequestBody;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// All secrets of one supervisor.
#[derive(Debug)]
pub(super) struct Vault {
    values: Mutex<Values>,
    /// What is in the guest, changed by one task at a time.
    placed: tokio::sync::Mutex<Placed>,
    /// Whether the memory of the guest there is may have a value in it.
    tainted: AtomicBool,
}

#[derive(Debug, Default)]
struct Values {
    all: BTreeMap<SecretName, SecretValue>,
    needles: Arc<Needles>,
    /// Raised by every change.
    version: u64,
}

#[derive(Debug, Default)]
struct Placed {
    users: usize,
    /// The version that is in the guest.
    version: Option<u64>,
}

/// While it lives the secrets are in the guest.
#[derive(Debug)]
pub(super) struct Lent(());

impl Vault {
    /// Secrets that were kept.
    pub(super) fn new(all: BTreeMap<SecretName, SecretValue>) -> Self {
        let mut values = Values { all, ..Values::default() };
        values.changed();
        Self {
            values: Mutex::new(values),
            placed: tokio::sync::Mutex::default(),
            tainted: AtomicBool::new(false),
        }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<SecretName, SecretValue>)) {
        let mut values = self.values();
        change(&mut values.all);
        values.changed();
    }

    /// What is to be taken out of all that the guest says.
    pub(super) fn needles(&self) -> Arc<Needles> {
        Arc::clone(&self.values().needles)
    }

    /// The values, for a client that reads the guest's files.
    pub(super) fn all(&self) -> Vec<SecretValue> {
        self.values().all.values().cloned().collect()
    }

    /// The secrets whose values are known.
    pub(super) fn known(&self) -> Vec<SecretName> {
        self.values().all.keys().cloned().collect()
    }

    /// One value.
    pub(super) fn get(&self, name: &SecretName) -> Option<SecretValue> {
        self.values().all.get(name).cloned()
    }

    /// Whether a value may be in the guest's memory.
    pub(super) fn is_tainted(&self) -> bool {
        self.tainted.load(Ordering::Acquire)
    }

    /// Another guest takes the place of the one there was.
    pub(super) async fn forget_guest(&self) {
        self.placed.lock().await.version = None;
        self.tainted.store(false, Ordering::Release);
    }
}

impl Values {
    fn changed(&mut self) {
        self.needles = Arc::new(Needles::of(self.all.values()));
        self.version += 1;
    }
}

impl Supervisor {
    /// Keeps secrets, in place of older values.
    pub(super) async fn set_secrets(&self, secrets: Vec<NewSecret>) -> Result<(), WorkspaceError> {
        let mut records = self.document_mut().secrets.clone();
        records.extend(secrets.iter().map(|secret| (secret.name.clone(), secret.record())));
        crate::workspace::secrets::check_count(&records)?;
        if self.document().persist_secrets {
            let all = secrets.iter().map(|secret| (&secret.name, &secret.value));
            Sealed::of(&self.config, &self.folder).put(all)?;
        }
        self.change(|document| document.secrets = records)?;
        let keyring = Keyring::of(&self.config, self.folder.id());
        for NewSecret { name, value, .. } in secrets {
            keyring.put(&name, &value);
            self.vault.change(|all| drop(all.insert(name, value)));
        }
        self.refresh_secrets().await
    }

    /// Forgets a secret.
    pub(super) async fn remove_secret(&self, name: &SecretName) -> Result<(), WorkspaceError> {
        let known = self.change(|document| document.secrets.remove(name).is_some())?;
        if !known {
            return Err(WorkspaceError::unknown_secret(self.folder.id(), name));
        }
        Keyring::of(&self.config, self.folder.id()).remove(name);
        if self.document().persist_secrets {
            Sealed::of(&self.config, &self.folder).remove(name)?;
        }
        // What was printed before is redacted already, and what is printed from now on is no secret of this workspace.
        self.vault.change(|all| drop(all.remove(name)));
        self.refresh_secrets().await
    }

    /// Puts the secrets into the guest, for one more command.
    pub(super) async fn lend_secrets(&self) -> Result<Lent, WorkspaceError> {
        let mut placed = self.vault.placed.lock().await;
        self.place(&mut placed).await?;
        placed.users += 1;
        Ok(Lent(()))
    }

    /// A command that had them has ended.
    pub(super) async fn return_secrets(&self, _lent: Lent) {
        let mut placed = self.vault.placed.lock().await;
        placed.users = placed.users.saturating_sub(1);
        if placed.users == 0 && placed.version.take().is_some() {
            // A guest that does not answer is about to be gone.
            let _ = self.client().call(RequestBody::DropSecrets).await;
        }
    }

    async fn refresh_secrets(&self) -> Result<(), WorkspaceError> {
        let mut placed = self.vault.placed.lock().await;
        if placed.users > 0 { self.place(&mut placed).await } else { Ok(()) }
    }

    async fn place(&self, placed: &mut Placed) -> Result<(), WorkspaceError> {
        let (version, all) = {
            let values = self.vault.values();
            (values.version, values.all.clone())
        };
        if placed.version == Some(version) || (placed.version.is_none() && all.is_empty()) {
            return Ok(());
        }
        let failed = |source: GuestError| WorkspaceError::Guest {
            operation: "putting secrets into the guest",
            source,
        };
        let client = self.client();
        if placed.version.take().is_some() {
            client.call(RequestBody::DropSecrets).await.map_err(failed)?;
        }
        for (name, value) in all {
            self.vault.tainted.store(true, Ordering::Release);
            placed.version = Some(0);
            let value = HiddenBytes(value.expose().as_bytes().to_vec());
            client.call(RequestBody::PutSecret { name: name.to_string(), value }).await.map_err(failed)?;
        }
        placed.version = Some(version);
        Ok(())
    }

    /// Refuses to write the guest's memory to a disk when a secret may be in it.
    pub(super) fn check_memory_may_be_kept(&self) -> Result<(), WorkspaceError> {
        if self.vault.is_tainted() {
            return Err(WorkspaceError::SecretsInMemory { workspace: self.folder.id().to_string() });
        }
        Ok(())
    }

    /// The variables through which a command gets secrets.
    pub(super) fn secret_env(
        &self,
        wanted: &[(SecretName, String)],
    ) -> Result<Vec<(pyro_proto::ByteString, pyro_proto::ByteString)>, WorkspaceError> {
        let one = |(name, variable): &(SecretName, String)| {
            let value = self.vault.get(name);
            let value = value.ok_or_else(|| {
                let listed = self.document_mut().secrets.contains_key(name);
                if listed {
                    WorkspaceError::SecretMissing { workspace: self.id(), name: name.to_string() }
                } else {
                    WorkspaceError::unknown_secret(self.folder.id(), name)
                }
            })?;
            Ok((variable.as_str().into(), value.expose().into()))
        };
        wanted.iter().map(one).collect()
    }
}
