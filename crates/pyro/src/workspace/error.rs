//! Why a workspace cannot be found or read, and why something could not be done with it.

use super::control::message::Failure;
use super::folder::Folder;
use super::id::NameError;
use super::id::WorkspaceId;
use crate::code;
use crate::code::Coded;
use crate::guest::GuestError;
use crate::machine::MachineError;
use crate::machine::SnapshotError;
use crate::machine::StopError;
use crate::secret::Needles;
use crate::secret::SecretName;
use pyro_engine::ChooseError;
use pyro_image::ImageError;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Why a workspace cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// There is no workspace of this id or name.
    #[error("there is no workspace '{given}'")]
    Unknown {
        /// What was asked for.
        given: String,
    },
    /// The name is taken.
    #[error("the workspace name '{name}' is taken by {by}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        by: String,
    },
    /// There are as many workspaces as there may be.
    #[error("there are {most} workspaces, as many as there may be")]
    Limit {
        /// How many there may be.
        most: u64,
    },
    /// There is no snapshot of this name.
    #[error("the workspace {workspace} has no snapshot '{name}'")]
    NoSnapshot {
        /// The workspace.
        workspace: String,
        /// What was asked for.
        name: String,
    },
    /// The snapshot's name is taken.
    #[error("the workspace {workspace} has a snapshot '{name}' already")]
    SnapshotTaken {
        /// The workspace.
        workspace: String,
        /// The name.
        name: String,
    },
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file could not be made, read, written or removed.
    #[error("{operation} {path}", path = .path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A document is not what it should be.
    #[error("the document {path} is of no use: {reason}", path = .path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A document was written by a newer pyro.
    #[error("the document {path} was written by a newer pyro (schema {schema})", path = .path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// The host has no random numbers.
    #[error("reading the host's random numbers")]
    Random(#[source] io::Error),
}

impl StoreError {
    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::Unknown { .. } => code::WORKSPACE_UNKNOWN,
            Self::NameTaken { .. } => code::WORKSPACE_NAME_TAKEN,
            Self::Limit { .. } => code::WORKSPACE_LIMIT_REACHED,
            Self::NoSnapshot { .. } => code::SNAPSHOT_UNKNOWN,
            Self::SnapshotTaken { .. } => code::SNAPSHOT_NAME_TAKEN,
            Self::Name(_) => code::NAME_INVALID,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => code::DISK_FULL,
            Self::File { .. } => code::STATE_IO,
            Self::Document { .. } | Self::Newer { .. } => code::DOCUMENT_INVALID,
            Self::Random(_) => code::HOST_RANDOM,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::State(error) => return error.hints(),
            Self::Unknown { .. } => "'pyro workspace list' shows what there is",
            Self::NameTaken { .. } => "choose another name, or rename or delete the other workspace",
            Self::Limit { .. } => "delete workspaces that are not needed, or set PYRO_MAX_WORKSPACES to more",
            Self::NoSnapshot { .. } => "'pyro workspace snapshot list' shows what there is",
            Self::SnapshotTaken { .. } => "choose another name, or delete that snapshot first",
            Self::Name(_) => "choose another name",
            Self::File { .. } => "check the free space and the owner of the state folder",
            Self::Document { .. } => {
                "'pyro workspace delete' removes the workspace; its layers are still in its folder"
            }
            Self::Newer { .. } => "use the pyro that made it, or a newer one",
            Self::Random(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Why something could not be done with a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The workspace cannot be found, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its environment cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No engine can run it.
    #[error(transparent)]
    Engine(#[from] ChooseError),
    /// Its guest did not come up.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its guest could not be saved.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its guest had to be killed.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// Its guest refused, or is gone.
    #[error("{operation}")]
    Guest {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: GuestError,
    },
    /// Work on its files failed.
    #[error(transparent)]
    Tool(#[from] crate::guest::ToolError),
    /// A copy cannot be made.
    #[error(transparent)]
    Copy(#[from] super::copy::CopyError),
    /// Something about its files is wrong.
    #[error(transparent)]
    Files(#[from] super::files::FilesError),
    /// Its guest did not answer.
    #[error("the guest of the workspace {workspace} does not answer")]
    Hung {
        /// The workspace.
        workspace: String,
    },
    /// Its guest stands still: the host has no room for what it writes.
    #[error("the host's disk is full: the guest of the workspace {workspace} waits for room below {folder}", folder = .folder.display())]
    NoRoom {
        /// The workspace.
        workspace: String,
        /// Its folder.
        folder: PathBuf,
    },
    /// Its disk could not be read, given a layer or linked.
    #[error("{operation} of the workspace {workspace}")]
    Disk {
        /// What was being done.
        operation: &'static str,
        /// The workspace.
        workspace: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is stopped.
    #[error("the workspace {workspace} is stopped{why}")]
    NotRunning {
        /// The workspace.
        workspace: String,
        /// Why, as the end of the sentence; may be empty.
        why: String,
    },
    /// It is stopped, and its memory was not kept.
    #[error("the workspace {workspace} is stopped, and its memory was not kept")]
    NotSuspended {
        /// The workspace.
        workspace: String,
    },
    /// It runs.
    #[error("the workspace {workspace} is running")]
    Running {
        /// The workspace.
        workspace: String,
    },
    /// Somebody else has it.
    #[error("the workspace {workspace} is being changed by another process")]
    Busy {
        /// The workspace.
        workspace: String,
    },
    /// The environment it was made from is gone.
    #[error("the environment {environment} is not the one that the workspace {workspace} was made from")]
    EnvironmentGone {
        /// The workspace.
        workspace: String,
        /// The environment's name.
        environment: String,
    },
    /// The baseline can be neither made nor deleted.
    #[error("'baseline' is the snapshot that every workspace has; it can be neither made nor deleted")]
    Protected,
    /// There is no such job.
    #[error("the workspace {workspace} has no job {job}")]
    NoSuchJob {
        /// The workspace.
        workspace: String,
        /// The job.
        job: u64,
    },
    /// Something about a shell is wrong.
    #[error(transparent)]
    Shell(#[from] super::shell::ShellError),
    /// There would be more labels than one workspace may have.
    #[error("a workspace may have {most} labels")]
    TooManyLabels {
        /// How many it may have.
        most: usize,
    },
    /// Nothing would change.
    #[error("nothing would change")]
    NothingToChange,
    /// A network was asked for.
    #[error("the network policy '{policy}' was asked for, and this release has no guest network")]
    NetworkUnavailable {
        /// The policy.
        policy: String,
    },
    /// The supervisor could not be started.
    #[error("starting the supervisor {program}", program = .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The supervisor ended, or the connection to it broke.
    #[error("the supervisor of the workspace {workspace} {did}")]
    Supervisor {
        /// The workspace.
        workspace: String,
        /// What it did.
        did: String,
    },
    /// What is asked for does not fit into a message to the supervisor.
    #[error("what is asked for has {bytes} bytes, more than the {most} of a message")]
    RequestTooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// The supervisor's own words.
    #[error("{}", .0.message)]
    Remote(Failure),
    /// The host's files could not be read, or those of the guest not be made on the host.
    #[error("{0}")]
    Source(Box<dyn Coded + Send + Sync>),
    /// Its files cannot be read from its layers.
    #[error(transparent)]
    DiskFiles(#[from] super::disk::FilesError),
    /// A port cannot be published or reached.
    #[error(transparent)]
    Port(#[from] super::port::PortError),
    /// Something cannot be done with a service.
    #[error(transparent)]
    Service(#[from] super::service::ServiceError),
    /// It cannot be packed or unpacked.
    #[error(transparent)]
    Pack(#[from] super::pack::PackError),
    /// A path of the host cannot be read.
    #[error("reading {path}", path = .path.display())]
    Input {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A path of the host cannot be written.
    #[error("writing {path}", path = .path.display())]
    Output {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A path is not of the kind that is needed.
    #[error("{path} cannot be used: {reason}", path = .path.display())]
    Unsuitable {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Only one file can go to a stream.
    #[error("a folder or link cannot go to standard output as it is")]
    NotOneFile,
    /// A folder of the guest would have to go, and holds what is excluded.
    #[error(
        "the folder '{path}' of the guest would have to make place for a file, and holds what is excluded"
    )]
    PushConflict {
        /// Which.
        path: String,
    },
    /// More files than can be dealt with.
    #[error("there are more than {most} files")]
    TooManyFiles {
        /// How many there may be.
        most: u64,
    },
    /// The caller's input or output failed.
    #[error("{operation}")]
    Caller {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Secrets cannot be kept on a disk, or read back.
    #[error(transparent)]
    Sealed(#[from] super::sealed::SealError),
    /// There is no secret of this name.
    #[error("the workspace {workspace} has no secret {name}")]
    SecretUnknown {
        /// The workspace.
        workspace: String,
        /// The name.
        name: String,
    },
    /// A secret's value is not known any more.
    #[error("the value of the secret {name} of the workspace {workspace} was not kept when it stopped")]
    SecretMissing {
        /// The workspace.
        workspace: String,
        /// The secret.
        name: String,
    },
    /// The kernel does not keep a secret for a stopped workspace.
    #[error("the kernel's keyring does not take the secret {name}, and the workspace {workspace} is stopped")]
    SecretNotKept {
        /// The workspace.
        workspace: String,
        /// The secret.
        name: String,
    },
    /// More secrets than there may be.
    #[error("a workspace has {most} secrets at most")]
    TooManySecrets {
        /// How many there may be.
        most: usize,
    },
    /// The guest's memory may not be written to a disk.
    #[error(
        "secrets are in the memory of the workspace {workspace}, which is therefore not written to a disk"
    )]
    SecretsInMemory {
        /// The workspace.
        workspace: String,
    },
    /// The caller was interrupted.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
}

impl WorkspaceError {
    /// For a workspace whose supervisor is not there: that it is stopped, and why, or that it is gone.
    pub(super) fn not_running(folder: &Folder) -> Self {
        let given = folder.id().to_string();
        if !folder.path().exists() {
            return Self::Store(StoreError::Unknown { given });
        }
        let why = folder.load().map(|document| document.why_stopped()).unwrap_or_default();
        Self::NotRunning { workspace: given, why }
    }

    /// For a secret that a workspace does not have.
    pub(super) fn unknown_secret(workspace: &WorkspaceId, name: &SecretName) -> Self {
        Self::SecretUnknown { workspace: workspace.to_string(), name: name.to_string() }
    }

    /// What a program ends with whose only job this was: 126 and 127 when the guest has no such program, 128 and the number
    /// of a signal that interrupted it, 125 for all else.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Interrupted { signal } => 128 + signal,
            other => match other.code() {
                code::COMMAND_NOT_FOUND => 127,
                code::COMMAND_NOT_EXECUTABLE => 126,
                _ => 125,
            },
        }
    }

    /// For a client: as it was told.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Remote(failure) => failure.clone(),
            other => Failure::of(other),
        }
    }
}

impl Failure {
    /// Any error on its way to a client.
    pub(super) fn of(error: &dyn Coded) -> Self {
        Self { code: error.code().to_owned(), message: code::chain(error), hints: error.hints() }
    }

    /// Without what nobody may see.
    pub(super) fn redacted(self, needles: &Needles) -> Self {
        Self { message: needles.redact(&self.message), ..self }
    }
}

impl Coded for WorkspaceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Machine(error) => error.code(),
            Self::Snapshot(error) => error.code(),
            Self::Stop(_) => code::SHUTDOWN_FORCED,
            Self::Guest { source, .. } => source.code(),
            Self::Tool(error) => error.code(),
            Self::Copy(error) => error.code(),
            Self::Sealed(error) => error.code(),
            Self::Files(error) => error.code(),
            Self::Hung { .. } => code::GUEST_HUNG,
            Self::NoRoom { .. } => code::DISK_FULL,
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull => code::DISK_FULL,
            Self::Disk { .. } => code::STATE_IO,
            Self::NotRunning { .. } => code::WORKSPACE_NOT_RUNNING,
            Self::NotSuspended { .. } => code::WORKSPACE_NOT_SUSPENDED,
            Self::Running { .. } => code::WORKSPACE_RUNNING,
            Self::Busy { .. } => code::WORKSPACE_BUSY,
            Self::EnvironmentGone { .. } => code::WORKSPACE_ENVIRONMENT_GONE,
            Self::Protected => code::SNAPSHOT_PROTECTED,
            Self::NoSuchJob { .. } => code::NO_SUCH_JOB,
            Self::Shell(error) => error.code(),
            Self::NothingToChange => code::NOTHING_TO_CHANGE,
            Self::TooManyLabels { .. } => code::LIMIT_EXCEEDED,
            Self::NetworkUnavailable { .. } => code::NETWORK_UNAVAILABLE,
            Self::Spawn { .. } | Self::Supervisor { .. } => code::SUPERVISOR_FAILED,
            Self::RequestTooLarge { .. } => code::COMMAND_TOO_LARGE,
            Self::Remote(failure) => code::known(&failure.code),
            Self::DiskFiles(error) => error.code(),
            Self::Pack(error) => error.code(),
            Self::Port(error) => error.code(),
            Self::Service(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Input { source, .. } if source.kind() == io::ErrorKind::NotFound => code::SOURCE_MISSING,
            Self::Input { .. } => code::SOURCE_UNREADABLE,
            Self::Output { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                code::OUTPUT_EXISTS
            }
            Self::Output { .. } | Self::Caller { .. } => code::OUTPUT_FAILED,
            Self::Unsuitable { .. } | Self::NotOneFile => code::PATH_UNSUITABLE,
            Self::PushConflict { .. } => code::PUSH_CONFLICT,
            Self::TooManyFiles { .. } => code::LIMIT_EXCEEDED,
            Self::SecretUnknown { .. } => code::SECRET_UNKNOWN,
            Self::SecretMissing { .. } | Self::SecretNotKept { .. } => code::SECRET_MISSING,
            Self::TooManySecrets { .. } => code::LIMIT_EXCEEDED,
            Self::SecretsInMemory { .. } => code::SECRETS_IN_MEMORY,
            Self::Interrupted { .. } => code::INTERRUPTED,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Store(error) => return error.hints(),
            Self::Image(error) => return error.hints(),
            Self::Engine(error) => return error.hints(),
            Self::Machine(error) => return error.hints(),
            Self::Snapshot(error) => return error.hints(),
            Self::Tool(error) => return error.hints(),
            Self::Copy(error) => return error.hints(),
            Self::Sealed(error) => return error.hints(),
            Self::Files(error) => return error.hints(),
            Self::Remote(failure) => return failure.hints.clone(),
            Self::Stop(_) => "what the guest had not flushed is lost; the workspace can be started again",
            Self::Guest { .. } => "'pyro workspace status' says how the guest is doing",
            Self::Hung { .. } => "'pyro workspace stop' ends it; nothing that was acknowledged is lost",
            Self::NoRoom { .. } => {
                "free some space there: the guest goes on by itself, and nothing that was acknowledged is lost"
            }
            Self::Disk { .. } => "check the free space and the owner of the state folder",
            Self::NotRunning { .. } => "'pyro workspace start' starts it",
            Self::NotSuspended { .. } => "'pyro workspace start' starts it from its disk",
            Self::Running { .. } => "'pyro workspace stop' stops it",
            Self::Busy { .. } => "wait until the other command is done",
            Self::EnvironmentGone { .. } => {
                "'pyro env pull' installs it again, if its definition is the same"
            }
            Self::Protected => "choose another name",
            Self::NoSuchJob { .. } => "'pyro workspace job list' shows what there is",
            Self::Shell(error) => return error.hints(),
            Self::NothingToChange => "say what shall change",
            Self::TooManyLabels { .. } => "clear some with 'pyro workspace update --clear-label'",
            Self::NetworkUnavailable { .. } => "use --network-policy off",
            Self::RequestTooLarge { .. } => "put it into a file of the workspace, and name that",
            Self::Spawn { .. } => "check that the pyro program is still where it was",
            Self::Supervisor { .. } => {
                "look into supervisor.log in the workspace's folder; 'pyro workspace start' starts it again"
            }
            Self::DiskFiles(error) => return error.hints(),
            Self::Pack(error) => return error.hints(),
            Self::Port(error) => return error.hints(),
            Self::Service(error) => return error.hints(),
            Self::Source(error) => return error.hints(),
            Self::Input { .. } => {
                "name a folder, or a tar archive (.tar, .tar.gz, .tar.zst), that you can read"
            }
            Self::Output { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                "name a path that does not exist"
            }
            Self::Output { .. } => "check the folder it is in",
            Self::Unsuitable { .. } => "name another path",
            Self::NotOneFile => "add --format tar",
            Self::PushConflict { .. } => "delete the folder in the guest, or exclude the file",
            Self::TooManyFiles { .. } => "name a smaller folder",
            Self::Caller { .. } => "check where the output goes",
            Self::SecretUnknown { .. } => "'pyro workspace secret list' shows what there is",
            Self::SecretMissing { .. } => "'pyro workspace secret set' sets it again",
            Self::SecretNotKept { .. } => "start the workspace, and set it then",
            Self::TooManySecrets { .. } => "remove some with 'pyro workspace secret remove'",
            Self::SecretsInMemory { .. } => "leave the memory out; to fork, stop the workspace first",
            Self::Interrupted { .. } => "run it again",
        };
        vec![hint.to_owned()]
    }
}
