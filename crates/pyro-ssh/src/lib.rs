//! An SSH server for one workspace: what `ssh`, `scp`, `sftp`, `rsync` and the remote modes of editors speak, answered with what
//! the library does. It runs on the host, in the process that has the stream, so it works whatever the environment holds, and
//! nothing of it is in the guest, no key either.
//!
//! ```text
//!   ssh ── ProxyCommand: this process ── Server ─┬─ session: command, shell ── exec, open_shell
//!                                                ├─ session: sftp ─────────── files
//!                                                └─ direct-tcpip, -streamlocal ── connect
//! ```
//!
//! It must not know where its stream comes from, and must not do anything that another client of the library could not do.

mod backlog;
mod channel;
mod command;
mod entry;
mod error;
mod forward;
mod keys;
mod server;
mod sftp;
mod signals;

pub use entry::Entry;
pub use error::SshError;
pub use keys::Keys;
pub use server::serve;
