//! What a client may ask of a supervisor, and what comes back. This file must not carry anything out.

use crate::guest::Endpoint;
use crate::guest::GuestStatus;
use crate::secret::SecretName;
use crate::workspace::document::Document;
use crate::workspace::document::UnixSeconds;
use crate::workspace::history::Ended;
use crate::workspace::history::Stream;
use crate::workspace::id::LabelKey;
use crate::workspace::id::LabelValue;
use crate::workspace::id::ServiceName;
use crate::workspace::id::SnapshotName;
use crate::workspace::id::WorkspaceId;
use crate::workspace::id::WorkspaceName;
use crate::workspace::port::PortSpec;
use crate::workspace::secrets::NewSecret;
use crate::workspace::service::ServiceSpec;
use crate::workspace::snapshots::SnapshotDocument;
use pyro_proto::ByteString;
use pyro_proto::tool::Tool;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// The first document of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct Envelope {
    /// The surface that asks, for the audit.
    pub(in crate::workspace) caller: String,
    /// What for.
    pub(in crate::workspace) request: Request,
}

/// What a client may ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(in crate::workspace) enum Request {
    /// Is it there? Done with [`StatusReply`].
    Status {
        /// Ask the guest too.
        guest: bool,
        /// Say what the engine uses.
        #[serde(default)]
        usage: bool,
        /// Answer only once it is known that it stays: not while it is being stopped.
        #[serde(default)]
        settled: bool,
    },
    /// Run a command. Events: started, then output, then ended.
    Exec(ExecRequest),
    /// What runs, and what has run: done with a list of jobs.
    Jobs,
    /// What a job printed, from these offsets on, and how it ended.
    Follow {
        /// The job.
        job: u64,
        /// First byte of standard output.
        stdout: u64,
        /// First byte of standard error.
        stderr: u64,
        /// Wait for more, until it ends.
        wait: bool,
        /// Take input for it from this connection.
        #[serde(default)]
        input: bool,
    },
    /// Send a signal to a job.
    Signal {
        /// The job.
        job: u64,
        /// The signal's number.
        signal: i32,
        /// To all its processes.
        tree: bool,
    },
    /// Run a tool: its records are input and standard output.
    Tool {
        /// Which.
        tool: Tool,
        /// It takes input.
        input: bool,
        /// Counts as use of the workspace, and stands in the audit.
        activity: Option<String>,
    },
    /// Open a connection to something that listens in the guest. An event says that it is open; its bytes are input and standard
    /// output.
    Connect {
        /// What listens.
        to: Endpoint,
    },
    /// Publish a port of the guest: done with a [`PublishedPort`](crate::workspace::PublishedPort).
    PublishPort {
        /// Which, and where.
        spec: PortSpec,
    },
    /// What is published: done with a list.
    Ports,
    /// Publish a port no longer: done with what it was.
    RemovePort {
        /// The host's port.
        host_port: u16,
    },
    /// Start a service: done with its record once it is ready or has failed, or at once.
    ServiceStart {
        /// Its name.
        name: ServiceName,
        /// What it is to be.
        spec: Box<ServiceSpec>,
        /// Until it is ready or has failed.
        wait: bool,
    },
    /// Every service: done with a list of records.
    Services,
    /// What a service printed, as output; done with a [`ServiceLogs`](crate::workspace::ServiceLogs).
    ServiceLogs {
        /// Its name.
        name: ServiceName,
        /// The last so many lines of either; all without.
        lines: Option<u64>,
        /// And what it prints until it ends.
        follow: bool,
    },
    /// End a service: done with its record.
    ServiceStop {
        /// Its name.
        name: ServiceName,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// End a service and start it again: done as a start is.
    ServiceRestart {
        /// Its name.
        name: ServiceName,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
        /// Until it is ready or has failed.
        wait: bool,
    },
    /// Hold the guest's disk until this connection ends. An event says that it stands still.
    Hold,
    /// End the guest.
    Stop {
        /// Keep memory and processes on disk.
        keep_memory: bool,
        /// Milliseconds that it may take to end by itself.
        deadline_ms: u64,
    },
    /// Change what is only remembered.
    Update(Update),
    /// Note where the files came from that were just put there.
    Seeded {
        /// Where from.
        seed: crate::workspace::document::Seed,
    },
    /// Keep secrets, in place of older values.
    SetSecrets {
        /// Which.
        secrets: Vec<NewSecret>,
    },
    /// Forget a secret.
    RemoveSecret {
        /// Which.
        name: SecretName,
    },
    /// The names of the secrets whose values are known.
    KnownSecrets,
    /// The values of all secrets, for a client that takes them out of what it reads of the guest's files.
    SecretValues,
    /// The workspace is made.
    Finish,
    /// Keep the disk, and memory if asked, under a name.
    Snapshot {
        /// The name.
        name: SnapshotName,
        /// Memory and processes too.
        memory: bool,
    },
    /// Keep the disk, and memory if asked, as they are, for as long as it takes to open the files. An event names them; the end
    /// of what this connection sends lets them go.
    Freeze {
        /// Memory and processes too.
        memory: bool,
    },
    /// Forget a snapshot.
    DeleteSnapshot {
        /// The name.
        name: SnapshotName,
    },
    /// Go back to a snapshot.
    Reset {
        /// Which.
        name: SnapshotName,
    },
    /// Something about shells.
    Shell(super::shell::ShellRequest),
    /// Make children of what runs, in these folders, to be started by others.
    Fork {
        /// Their ids; their folders and documents are made by this.
        children: Vec<Child>,
    },
}

/// A child to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct Child {
    pub(in crate::workspace) id: WorkspaceId,
    pub(in crate::workspace) name: Option<WorkspaceName>,
}

/// What of a workspace can be changed while it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Its name from now on.
    #[serde(default)]
    pub name: Option<WorkspaceName>,
    /// It shall have no name.
    #[serde(default)]
    pub clear_name: bool,
    /// Labels to set.
    #[serde(default)]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Labels to remove.
    #[serde(default)]
    pub clear_labels: Vec<LabelKey>,
    /// Idle time after which it is stopped, in seconds; 0 for never.
    #[serde(default)]
    pub ttl_seconds: Option<u32>,
    /// Time after a stop when it may be deleted, in seconds; 0 for never.
    #[serde(default)]
    pub retention_seconds: Option<u64>,
}

impl Update {
    /// Whether it would change nothing whatever the workspace.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes a document; whether anything is another thing now.
    pub(in crate::workspace) fn apply(&self, document: &mut Document) -> bool {
        let before = document.clone();
        if self.clear_name {
            document.name = None;
        }
        if let Some(name) = &self.name {
            document.name = Some(name.clone());
        }
        for key in &self.clear_labels {
            document.labels.remove(key);
        }
        document.labels.extend(self.labels.clone());
        document.ttl_seconds = self.ttl_seconds.unwrap_or(document.ttl_seconds);
        document.retention_seconds = self.retention_seconds.unwrap_or(document.retention_seconds);
        *document != before
    }
}

/// A command to run in a workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct ExecRequest {
    pub(in crate::workspace) argv: Vec<ByteString>,
    /// As one line, for the history.
    pub(in crate::workspace) shown: String,
    pub(in crate::workspace) cwd: Option<ByteString>,
    pub(in crate::workspace) env: Vec<(ByteString, ByteString)>,
    pub(in crate::workspace) user: Option<String>,
    pub(in crate::workspace) stdin: bool,
    pub(in crate::workspace) timeout_ms: Option<u64>,
    pub(in crate::workspace) detach: bool,
    /// Secrets that it gets as variables, and which.
    #[serde(default)]
    pub(in crate::workspace) secret_env: Vec<(SecretName, String)>,
}

/// What a client may say while a command runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub(in crate::workspace) enum Control {
    /// Send a signal to the foreground.
    Signal {
        /// Its number.
        signal: i32,
    },
}

/// What a supervisor says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(in crate::workspace) enum Event {
    /// A command runs.
    Started {
        /// Its job.
        job: u64,
        /// Where.
        cwd: String,
    },
    /// A command ended, or is known to have.
    Ended(Ended),
    /// The next bytes of an output begin there, because those before were not kept.
    Skipped {
        /// Which output.
        stream: Stream,
        /// How many were left out.
        bytes: u64,
    },
    /// The terminal of a shell is joined.
    ShellAttached {
        /// The size it had until now.
        size: crate::terminal::TerminalSize,
        /// The next so many bytes were printed before.
        replayed_bytes: u64,
    },
    /// The guest stands still, because the host's disk is full, or goes on.
    Blocked {
        /// It stands still.
        now: bool,
    },
    /// The disk stands still.
    Held,
    /// The connection is open.
    Connected,
    /// Disk and memory are kept as this snapshot, which has no name that anybody sees.
    Frozen {
        /// What it is made of.
        snapshot: Box<SnapshotDocument>,
    },
    /// The request was carried out; nothing follows.
    Done {
        /// What came of it.
        result: serde_json::Value,
    },
    /// The request was not carried out; nothing follows.
    Failed(Failure),
}

/// An error as a supervisor has told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub(in crate::workspace) code: String,
    pub(in crate::workspace) message: String,
    pub(in crate::workspace) hints: Vec<String>,
}

/// How a running workspace is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct StatusReply {
    pub(in crate::workspace) document: Document,
    pub(in crate::workspace) running_jobs: u64,
    pub(in crate::workspace) supervisor_pid: u32,
    pub(in crate::workspace) engine_pid: u32,
    pub(in crate::workspace) engine: String,
    pub(in crate::workspace) acceleration: String,
    pub(in crate::workspace) started_by: String,
    pub(in crate::workspace) started_at: f64,
    pub(in crate::workspace) guest: Option<GuestStatus>,
    #[serde(default)]
    pub(in crate::workspace) usage: Option<EngineUsage>,
    /// Since when the guest stands still, because the host's disk is full.
    #[serde(default)]
    pub(in crate::workspace) blocked_since: Option<UnixSeconds>,
}

/// What an engine uses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct EngineUsage {
    pub(in crate::workspace) rss_kib: u64,
    pub(in crate::workspace) pss_kib: u64,
    pub(in crate::workspace) cpu_ms: u64,
}
