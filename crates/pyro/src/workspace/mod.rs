//! Workspaces: guests that stay. Each is a folder below the state folder, and, while its guest runs, one supervisor process
//! that everybody else is a client of. What can be done with one is in [`handle`] and the files beside it.
//!
//! ```text
//!   CLI, SDK, MCP --(library)--> control.sock --> supervisor --> engine, agent          while it runs
//!                          \---> lock, workspace.json, layers                           while it is stopped
//! ```
//!
//! This folder must not know how a request is rendered, and must not keep anything in memory that a crash would lose.

mod advance;
pub mod audit;
mod collect;
mod control;
mod create;
mod disk;
mod document;
mod error;
pub mod event;
mod exec;
pub mod files;
mod folder;
mod fork;
mod handle;
pub mod history;
mod id;
mod journal;
mod keep;
mod keyring;
mod layers;
mod life;
mod logs;
mod pack;
mod port;
mod registry;
mod running;
mod secrets;
mod service;
mod shell;
mod snapshots;
mod supervisor;
mod tool;
mod transfer;
mod view;
mod wait;

pub use advance::Advance;
pub use collect::CollectedWorkspaces;
pub use collect::NeededEnvironments;
pub use control::message::Update;
pub use create::CreateSpec;
pub use create::SeedSource;
pub use disk::DiffEntry;
pub use disk::DiffReport;
pub use disk::DiffSpec;
pub use disk::DiskEntry;
pub use disk::DiskExport;
pub use disk::DiskExportSpec;
pub use disk::DiskList;
pub use disk::DiskRead;
pub use disk::FilesError;
pub use disk::PackageChange;
pub use disk::ReadSpec;
pub use disk::Totals;
pub use document::Document;
pub use document::LastCommand;
pub use document::SecretRecord;
pub use document::Seed;
pub use document::Stage;
pub use document::StopReason;
pub use document::UnixSeconds;
pub use error::StoreError;
pub use error::WorkspaceError;
pub use exec::ExecReport;
pub use exec::ExecSpec;
pub use exec::Offsets;
pub use folder::Folder;
pub use fork::CHILDREN_MAX;
pub use handle::Workspace;
pub use handle::Workspaces;
pub use id::BASELINE;
pub use id::LabelKey;
pub use id::LabelValue;
pub use id::NameError;
pub use id::ServiceName;
pub use id::SnapshotName;
pub use id::WorkspaceId;
pub use id::WorkspaceName;
pub use life::Start;
pub use logs::Excerpt;
pub use pack::PackError;
pub use pack::PackReport;
pub use pack::PackSpec;
pub use pack::UnpackSpec;
pub use port::PortConnection;
pub use port::PortError;
pub use port::PortSpec;
pub use port::PortSpecError;
pub use port::PublishedPort;
pub use registry::Listed;
pub use secrets::NewSecret;
pub use secrets::SecretSource;
pub use secrets::SecretView;
pub use service::HttpUrl;
pub use service::Probe;
pub use service::RestartPolicy;
pub use service::ServiceError;
pub use service::ServiceLogs;
pub use service::ServiceRecord;
pub use service::ServiceSpec;
pub use service::ServiceSpecError;
pub use service::ServiceState;
pub use service::TcpTarget;
pub use shell::Attached;
pub use shell::CHARS_DEFAULT;
pub use shell::CHARS_MAX;
pub use shell::IDLE_MS_MAX;
pub use shell::ShellError;
pub use shell::ShellRead;
pub use shell::ShellReadSpec;
pub use shell::ShellSpec;
pub use shell::ShellTerminal;
pub use shell::ShellWait;
pub use snapshots::SnapshotDocument;
pub use supervisor::Order;
pub use supervisor::supervise;
pub use transfer::ExportFormat;
pub use transfer::ExportReport;
pub use transfer::ExportSpec;
pub use transfer::ExportTarget;
pub use transfer::Moved;
pub use transfer::PullReport;
pub use transfer::PullSpec;
pub use transfer::PushReport;
pub use transfer::PushSpec;

/// Where a workspace's files are in its guest.
pub const WORKSPACE_PATH: &str = "/workspace";
