//! What is known of a workspace, as it is kept on disk: one JSON document with a schema version, replaced as a whole. Whether
//! its guest runs is not in it: that is derived from who holds the workspace's lock. This file must not open anything.

use super::id::LabelKey;
use super::id::LabelValue;
use super::id::WorkspaceId;
use super::id::WorkspaceName;
use super::layers::Chain;
use super::port::PublishedPort;
use super::secrets::SecretSource;
use crate::machine::Size;
use crate::machine::Snapshot;
use crate::secret::SecretName;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The version of this document's shape. Raised when an older reader would misunderstand a newer document.
pub(super) const SCHEMA: u32 = 1;

/// Seconds since the Unix epoch, as the contract has its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub f64);

impl UnixSeconds {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self((since.as_secs_f64() * 1e3).round() / 1e3)
    }

    /// So much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration.as_secs_f64())
    }

    /// How long ago it was; nothing for the future.
    pub fn elapsed(self) -> Duration {
        Duration::try_from_secs_f64(Self::now().0 - self.0).unwrap_or_default()
    }
}

/// How far a workspace has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is being made; left behind like this it is removed.
    Creating,
    /// It can be used.
    Ready,
}

/// Where a workspace's files came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// `empty`, `directory`, `tar_archive` or `git`.
    pub mode: String,
    /// The host path or address.
    pub seed_path: Option<String>,
    /// Where in the guest.
    pub destination: String,
    /// Files, folders and links.
    pub entry_count: u64,
    /// Bytes of files.
    pub bytes_written: u64,
    /// The commit, for `git`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Seed {
    /// No files.
    pub fn empty() -> Self {
        Self {
            mode: "empty".to_owned(),
            seed_path: None,
            destination: super::WORKSPACE_PATH.to_owned(),
            entry_count: 0,
            bytes_written: 0,
            commit: None,
        }
    }
}

/// The last command, as the contract shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastCommand {
    /// Its number in this workspace.
    pub sequence: u64,
    /// The command as one line.
    pub command: String,
    /// Where it ran.
    pub cwd: String,
    /// Its exit code; 128 and the number for a signal.
    pub exit_code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Where it ran.
    pub execution_mode: String,
}

/// Why a workspace is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked.
    Requested,
    /// Nothing happened for as long as its time to live.
    Idle,
    /// Its guest or engine ended by itself, or was killed.
    GuestLost,
    /// Its supervisor was asked to end by a signal.
    Signal,
    /// It was made like that: a fork or an unpacked workspace that nobody has started.
    NeverStarted,
}

/// What is written down of a secret: all but its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Where the value came from.
    pub source_kind: SecretSource,
}

/// A workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `SCHEMA`.
    pub schema: u32,
    /// Its id.
    pub workspace_id: WorkspaceId,
    /// Its name, if it has one.
    pub name: Option<WorkspaceName>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// The environment's name.
    pub environment: String,
    /// The environment's version.
    pub environment_version: String,
    /// The digest of the environment's image, without which the workspace's disk means nothing.
    pub rootfs_digest: String,
    /// What its guest has.
    pub size: Size,
    /// Idle time after which it is stopped, in seconds; 0 for never.
    pub ttl_seconds: u32,
    /// Time after a stop when it may be deleted, in seconds; 0 for never.
    #[serde(default)]
    pub retention_seconds: u64,
    /// When it was made.
    pub created_at: UnixSeconds,
    /// When it was last used.
    pub last_activity_at: UnixSeconds,
    /// How far it has come.
    pub stage: Stage,
    /// Why and when its guest last ended; forgotten at the next start.
    #[serde(default)]
    pub stopped: Option<(StopReason, UnixSeconds)>,
    /// What its guest may reach.
    pub network_policy: String,
    /// Its disk.
    pub chain: Chain,
    /// Its memory and processes, when it was stopped with them.
    #[serde(default)]
    pub suspended: Option<Snapshot>,
    /// Machine id of its guest: the same at each start.
    pub machine_id: String,
    /// Where its files came from.
    pub workspace_seed: Seed,
    /// Commands so far.
    #[serde(default)]
    pub command_count: u64,
    /// The last one.
    #[serde(default)]
    pub last_command: Option<LastCommand>,
    /// Resets so far.
    #[serde(default)]
    pub reset_count: u64,
    /// When it was last reset.
    #[serde(default)]
    pub last_reset_at: Option<UnixSeconds>,
    /// The workspace it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<WorkspaceId>,
    /// The template that its disk was copied from, as long as no guest has run on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_from: Option<String>,
    /// The ports of its guest that are reached from the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published_ports: Vec<PublishedPort>,
    /// Its secrets, by name. Their values are never here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, SecretRecord>,
    /// Whether the values are kept on a disk, encrypted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persist_secrets: bool,
    /// Labels and the like that callers attach.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Document {
    /// When it is stopped unless it is used; nothing when that never happens.
    pub fn expires_at(&self) -> Option<UnixSeconds> {
        (self.ttl_seconds > 0)
            .then(|| self.last_activity_at.after(Duration::from_secs(self.ttl_seconds.into())))
    }

    /// Why its guest does not run, as the end of a sentence that says that it does not.
    pub(super) fn why_stopped(&self) -> String {
        let why = match &self.stopped {
            Some((StopReason::Requested, _)) if self.suspended.is_some() => " with its memory kept",
            Some((StopReason::Requested, _)) => "",
            Some((StopReason::Idle, _)) => {
                return format!(" because nobody used it for {} seconds", self.ttl_seconds);
            }
            Some((StopReason::GuestLost, _)) => " because its guest or engine ended by itself or was killed",
            Some((StopReason::Signal, _)) => " because its supervisor was told to end",
            Some((StopReason::NeverStarted, _)) => " and was not started yet",
            None => " because its supervisor was killed, or the host went down",
        };
        why.to_owned()
    }

    /// Whether it is stopped and has been for longer than it is to be kept.
    pub fn is_past_retention(&self) -> bool {
        let kept = Duration::from_secs(self.retention_seconds);
        self.retention_seconds > 0 && self.stopped.as_ref().is_some_and(|(_, when)| when.elapsed() > kept)
    }
}
