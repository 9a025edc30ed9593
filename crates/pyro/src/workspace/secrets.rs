//! The secrets of a workspace, from the client's side: set, listed, removed, and taken out of what is read of its files.
//! Values go to the supervisor and to the kernel's keyring, and, where that was asked for, to [`Sealed`]. This file must not write
//! a value to a disk by itself.

use super::control::connection;
use super::control::message::Request;
use super::document::Document;
use super::document::SecretRecord;
use super::error::WorkspaceError;
use super::folder::Folder;
use super::handle::Workspace;
use super::keyring::Keyring;
use super::sealed::Sealed;
use crate::config::Config;
use crate::secret::Needles;
use crate::secret::SECRETS_MAX;
use crate::secret::SecretName;
use crate::secret::SecretValue;
use crate::work::Work;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Instant;

/// Where a secret's value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// It was given as it is.
    Literal,
    /// A file of the host.
    File,
    /// A variable of the caller's environment.
    Environment,
    /// The caller's standard input.
    Stdin,
}

/// A secret to be kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSecret {
    /// Its name.
    pub name: SecretName,
    /// Where it came from.
    pub source: SecretSource,
    /// Its value.
    pub value: SecretValue,
}

impl NewSecret {
    /// What a document says of it.
    pub(super) const fn record(&self) -> SecretRecord {
        SecretRecord { source_kind: self.source }
    }
}

/// A secret as it is shown: all but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// Where its value came from.
    pub source_kind: SecretSource,
    /// Whether the value is still known: it is not after a stop, where the kernel keeps no keys for this user.
    pub available: bool,
}

/// Refuses more secrets than a workspace may have.
pub(super) fn check_count(records: &BTreeMap<SecretName, SecretRecord>) -> Result<(), WorkspaceError> {
    if records.len() > SECRETS_MAX {
        return Err(WorkspaceError::TooManySecrets { most: SECRETS_MAX });
    }
    Ok(())
}

/// What of a workspace's secrets a document says, given which values are known.
pub(super) fn views(document: &Document, known: &BTreeSet<SecretName>) -> Vec<SecretView> {
    let view = |(name, record): (&SecretName, &SecretRecord)| SecretView {
        name: name.clone(),
        source_kind: record.source_kind,
        available: known.contains(name),
    };
    document.secrets.iter().map(view).collect()
}

fn in_keyring(keyring: &Keyring, document: &Document) -> BTreeMap<SecretName, SecretValue> {
    document.secrets.keys().filter_map(|name| Some((name.clone(), keyring.get(name)?))).collect()
}

/// The values of a workspace's secrets that no supervisor has: those in the keyring, and, if some are not, those on a disk.
///
/// # Errors
/// [`WorkspaceError::Sealed`].
pub(super) fn values(
    config: &Config,
    folder: &Folder,
    document: &Document,
) -> Result<BTreeMap<SecretName, SecretValue>, WorkspaceError> {
    let mut known = in_keyring(&Keyring::of(config, &document.workspace_id), document);
    if document.persist_secrets && known.len() < document.secrets.len() {
        let mut sealed = Sealed::of(config, folder).all()?;
        sealed.retain(|name, _| document.secrets.contains_key(name));
        // The newest is in the keyring, if anything is.
        sealed.extend(known);
        known = sealed;
    }
    Ok(known)
}

impl Workspace {
    /// Keeps secrets, in place of older values. Commands that run see them at once; of a stopped workspace they are kept in the
    /// kernel's keyring.
    ///
    /// # Errors
    /// [`WorkspaceError::TooManySecrets`]; [`WorkspaceError::SecretNotKept`] when the workspace is stopped and the kernel does
    /// not keep them.
    pub fn set_secrets(&self, secrets: Vec<NewSecret>) -> Work<'_, Result<(), WorkspaceError>> {
        Box::pin(async move {
            let Some(mut held) = self.hold()? else {
                let request = Request::SetSecrets { secrets };
                return connection::call::<Value>(&self.config, &self.folder, request).await.map(drop);
            };
            let began = Instant::now();
            let mut keep = || {
                let mut records = held.document.secrets.clone();
                records.extend(secrets.iter().map(|secret| (secret.name.clone(), secret.record())));
                check_count(&records)?;
                if held.document.persist_secrets {
                    let all = secrets.iter().map(|secret| (&secret.name, &secret.value));
                    Sealed::of(&self.config, &self.folder).put(all)?;
                }
                let keyring = Keyring::of(&self.config, self.id());
                for secret in &secrets {
                    if !keyring.put(&secret.name, &secret.value) && !held.document.persist_secrets {
                        let (workspace, name) = (self.id().to_string(), secret.name.to_string());
                        return Err(WorkspaceError::SecretNotKept { workspace, name });
                    }
                }
                held.document.secrets = records;
                Ok(self.folder.save(&held.document)?)
            };
            let outcome = keep();
            let names: Vec<&str> = secrets.iter().map(|secret| secret.name.as_str()).collect();
            self.note("secret_set", Some(names.join(" ")), outcome.as_ref().err(), began);
            outcome
        })
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// [`WorkspaceError::SecretUnknown`].
    pub async fn remove_secret(&self, name: &SecretName) -> Result<(), WorkspaceError> {
        let Some(mut held) = self.hold()? else {
            let request = Request::RemoveSecret { name: name.clone() };
            return connection::call::<Value>(&self.config, &self.folder, request).await.map(drop);
        };
        let began = Instant::now();
        if held.document.secrets.remove(name).is_none() {
            return Err(WorkspaceError::unknown_secret(self.id(), name));
        }
        self.folder.save(&held.document)?;
        Keyring::of(&self.config, self.id()).remove(name);
        if held.document.persist_secrets {
            Sealed::of(&self.config, &self.folder).remove(name)?;
        }
        self.note("secret_remove", Some(name.to_string()), None, began);
        Ok(())
    }

    /// The workspace's secrets, without their values.
    ///
    /// # Errors
    /// The document cannot be read.
    pub async fn secrets(&self) -> Result<Vec<SecretView>, WorkspaceError> {
        let document = self.document()?;
        let known = match connection::call_now(&self.config, &self.folder, Request::KnownSecrets).await {
            Ok(known) => known,
            Err(_) => self.kept_secrets(&document).into_keys().collect(),
        };
        Ok(views(&document, &known))
    }

    fn kept_secrets(&self, document: &Document) -> BTreeMap<SecretName, SecretValue> {
        // What cannot be opened now is not known now.
        values(&self.config, &self.folder, document)
            .unwrap_or_else(|_| in_keyring(&Keyring::of(&self.config, self.id()), document))
    }

    /// What must not be in anything that is read of this workspace's files.
    pub(super) async fn needles(&self) -> Result<Needles, WorkspaceError> {
        let document = self.document()?;
        if document.secrets.is_empty() {
            return Ok(Needles::default());
        }
        let asked =
            connection::call_now::<Vec<SecretValue>>(&self.config, &self.folder, Request::SecretValues);
        match asked.await {
            Ok(values) => Ok(Needles::of(&values)),
            Err(_) => Ok(Needles::of(self.kept_secrets(&document).values())),
        }
    }

    /// Forgets the values of all its secrets: it is being deleted.
    pub(super) fn forget_secrets(&self) {
        let Ok(document) = self.folder.load() else { return };
        Keyring::of(&self.config, self.id()).clear(&document);
    }
}
