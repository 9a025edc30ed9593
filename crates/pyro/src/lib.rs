//! The product as a library: real Linux guests in microVMs, for one command or for as long as they are wanted.
//!
//! This crate must not print, read the environment or the home directory: everything it may use comes in a [`Config`].
//!
//! # One command
//!
//! [`run::run`] makes a guest, runs one [`Command`] in it, and leaves nothing:
//!
//! ```no_run
//! use pyro::run::{RunIo, RunSpec, Silent};
//! use pyro::{Command, Config};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new("/home/me/.cache/pyro", "/home/me/.local/state/pyro", "/usr/local/bin/pyro");
//! let spec = RunSpec::new("debian:12", Command::Shell("git --version".into()));
//! let io = RunIo::to(tokio::io::sink(), tokio::io::sink());
//! let report = pyro::run::run(&config, spec, io, &mut Silent).await?;
//! assert_eq!(report.exit_code(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # A guest that stays
//!
//! [`workspace::Workspaces`] makes, finds and lists workspaces; everything else is a method of [`workspace::Workspace`]. A
//! workspace is run by a process of its own, which is the `pyro` program at [`Config::supervisor`], and lives on when its
//! maker ends. A call that is dropped ends what it runs in the guest.
//!
//! ```no_run
//! use pyro::run::{RunIo, Silent};
//! use pyro::workspace::{CreateSpec, DiffSpec, ExecSpec, SeedSource, Workspaces};
//! use pyro::{Command, Config};
//!
//! # async fn example(config: Config) -> Result<(), Box<dyn std::error::Error>> {
//! let mut spec = CreateSpec::new("debian:12");
//! spec.seed = SeedSource::Path("/home/me/project".into());
//! let workspace = Workspaces::open(&config)?.create(spec, &mut Silent).await?;
//!
//! let command = Command::Argv(vec!["sh".into(), "check.sh".into()]);
//! let io = RunIo::to(tokio::io::sink(), tokio::io::sink());
//! let report = workspace.exec(ExecSpec::new(command), io).await?;
//! println!("exit code {}", report.ended.exit_code);
//!
//! let diff = workspace.diff(DiffSpec::default()).await?;
//! println!("{}", String::from_utf8_lossy(&diff.patch));
//! workspace.delete().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Whole programs are in `crates/pyro/examples`: `one_shot`, `workspace`, `streaming` and `forks`.
//!
//! # What is where
//!
//! | for | see |
//! |---|---|
//! | one command in a guest of its own | [`run`] |
//! | guests that stay: commands, files, patches, diffs, snapshots, forks, shells, services, ports, secrets | [`workspace`] |
//! | what can be run | [`Command`], [`limits`] |
//! | installing and listing environments | [`environments`], [`image`] |
//! | what this host can do, and what it costs | [`doctor`], [`bench`](mod@bench) |
//! | errors: a stable code and hints for each | [`Coded`], [`code`] |
//! | what the rest stands on: machines, snapshots of them, the channel to a guest | [`machine`], [`template`], [`fork`], [`guest`], [`engine`] |
//! | patches, diffs, folders and archives, without a guest | [`patch`], [`diff`], [`tree`], [`secret`] |
//!
//! # What a caller must know
//!
//! - Calls need a Tokio runtime with its I/O and time drivers. A guest of [`run::run`], and a template that has to be made,
//!   die with the thread that started them: use a runtime on the current thread, or a thread that outlives the call.
//! - Every error has a [`Coded::code`] that is never renamed. Documents that are returned as [`serde_json::Value`] are those
//!   that `--json` prints.
//! - Before version 1.0 a minor release may change this interface; the changelog says how.

pub mod bench;
pub mod code;
pub mod command;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod environments;
pub mod fork;
pub mod guest;
mod host_compat;
mod host_path;
pub mod identity;
pub mod limits;
pub mod machine;
pub mod patch;
pub mod run;
pub mod secret;
pub mod signal;
pub mod state;
pub mod template;
pub mod terminal;
pub mod tree;
pub mod work;
pub mod workspace;

pub use code::Coded;
pub use command::Command;
pub use config::Config;
pub use host_path::HostPath;
pub use pyro_engine as engine;
pub use pyro_image as image;
pub use work::Work;
