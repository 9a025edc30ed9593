//! What a client may ask of a supervisor about shells, and what comes back. This file must not carry anything out.

use crate::secret::SecretName;
use crate::terminal::TerminalSize;
use pyro_proto::ByteString;
use serde::Deserialize;
use serde::Serialize;

/// What a client may ask about shells. Each but `Open` and `List` names one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(in crate::workspace) enum ShellRequest {
    /// Start one. Done with its record.
    Open(OpenRequest),
    /// Done with the records of all.
    List,
    /// Its output, as standard output. Done with a [`ReadReply`].
    Read(ReadRequest),
    /// Put the input of this connection, all of it or nothing, before its program. Done with its record.
    Write {
        /// Which.
        shell: String,
    },
    /// Send a signal to its foreground job. Done with its record.
    Signal {
        /// Which.
        shell: String,
        /// The signal's number.
        signal: i32,
    },
    /// Change its terminal's size. Done with its record.
    Resize {
        /// Which.
        shell: String,
        /// The size.
        size: TerminalSize,
    },
    /// End it with all its processes. Done with its record.
    Close {
        /// Which.
        shell: String,
    },
    /// Join its terminal: an event says where its output begins, then it comes as it is printed, and input goes to it. Done when it
    /// ends, with its record.
    Attach(AttachRequest),
}

/// A shell to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct OpenRequest {
    pub(in crate::workspace) argv: Vec<ByteString>,
    /// As one line, for the record.
    pub(in crate::workspace) shown: String,
    pub(in crate::workspace) cwd: Option<ByteString>,
    pub(in crate::workspace) env: Vec<(ByteString, ByteString)>,
    pub(in crate::workspace) user: Option<String>,
    pub(in crate::workspace) size: TerminalSize,
    /// Secrets that it gets as variables, and which.
    #[serde(default)]
    pub(in crate::workspace) secret_env: Vec<(SecretName, String)>,
}

/// Output that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct ReadRequest {
    pub(in crate::workspace) shell: String,
    /// The first byte.
    pub(in crate::workspace) cursor: u64,
    /// Most characters.
    pub(in crate::workspace) chars_max: usize,
    /// Wait until this matches.
    pub(in crate::workspace) pattern: Option<String>,
    /// Then wait until nothing was printed for so long.
    pub(in crate::workspace) idle_ms: Option<u64>,
    /// Wait no longer than this.
    pub(in crate::workspace) timeout_ms: u64,
}

/// What is said of output that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct ReadReply {
    /// The shell's record.
    pub(in crate::workspace) record: serde_json::Value,
    /// The byte behind the last.
    pub(in crate::workspace) next_cursor: u64,
    /// Bytes from the cursor on that are not kept any more.
    pub(in crate::workspace) dropped_bytes: u64,
    /// Bytes that are there and were not sent.
    pub(in crate::workspace) remaining_bytes: u64,
    /// How waiting for the pattern went; the byte behind the match.
    pub(in crate::workspace) matched: Option<u64>,
    /// The time was up.
    pub(in crate::workspace) timed_out: bool,
}

/// Somebody at a terminal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace) struct AttachRequest {
    pub(in crate::workspace) shell: String,
    /// The size of the terminal.
    pub(in crate::workspace) size: Option<TerminalSize>,
    /// End the shell when this connection ends without a word.
    pub(in crate::workspace) owner: bool,
}

/// What somebody at a terminal may say.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub(in crate::workspace) enum ShellControl {
    /// The terminal has another size.
    Resize {
        /// The size.
        size: TerminalSize,
    },
    /// The connection is about to end, and the shell goes on.
    Detach,
}
