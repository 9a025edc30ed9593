//! Reading what a shell printed, at once or when something has come. This file must not keep output.

use super::Pattern;
use super::plain;
use crate::terminal::TerminalSize;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::message::Request;
use crate::workspace::control::shell::ReadReply;
use crate::workspace::control::shell::ReadRequest;
use crate::workspace::control::shell::ShellRequest;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use base64::Engine as _;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// Most characters of one read, and how many it is when nobody says.
pub const CHARS_MAX: usize = 1 << 20;
/// How many characters are read when nobody says.
pub const CHARS_DEFAULT: usize = 65_536;

/// Longest silence that can be waited for, in milliseconds.
pub const IDLE_MS_MAX: u64 = 10_000;

/// What to wait for before output is read.
#[derive(Clone, Debug)]
pub struct ShellWait {
    /// Until this regular expression matches somewhere behind the cursor; a match spans 64 KiB at most.
    pub pattern: Option<String>,
    /// Then until nothing was printed for so many milliseconds, 1 to [`IDLE_MS_MAX`].
    pub idle_ms: Option<u64>,
    /// No longer than this. The end of the shell ends it too.
    pub timeout: Duration,
}

/// Which output of a shell is wanted.
#[derive(Clone, Debug)]
pub struct ShellReadSpec {
    /// The first byte, counted from the beginning of everything the shell has printed.
    pub cursor: u64,
    /// Most characters, 1 to [`CHARS_MAX`].
    pub max_chars: usize,
    /// What to wait for; for nothing when absent.
    pub wait: Option<ShellWait>,
}

impl Default for ShellReadSpec {
    fn default() -> Self {
        Self { cursor: 0, max_chars: CHARS_DEFAULT, wait: None }
    }
}

/// Output of a shell.
#[derive(Clone, Debug)]
pub struct ShellRead {
    /// The shell's record.
    pub record: Value,
    /// What was asked for.
    pub cursor: u64,
    /// Where to go on.
    pub next_cursor: u64,
    /// The bytes: whole characters, unless `cuts_character`.
    pub bytes: Vec<u8>,
    /// Bytes from the cursor on that are not kept any more; the output begins behind them.
    pub dropped_bytes: u64,
    /// Bytes behind the output that are there already.
    pub remaining_bytes: u64,
    /// Whether the pattern matched, if there was one.
    pub matched: Option<bool>,
    /// The byte behind the match.
    pub match_cursor: Option<u64>,
    /// Something was waited for until the time was up.
    pub timed_out: bool,
    size: TerminalSize,
}

impl ShellRead {
    /// Whether this is not everything from the cursor on.
    pub const fn truncated(&self) -> bool {
        self.dropped_bytes > 0 || self.remaining_bytes > 0
    }

    /// Whether the output begins or ends inside of a character.
    pub fn cuts_character(&self) -> bool {
        let begins = self.bytes.first().is_some_and(|byte| byte & 0xc0 == 0x80);
        begins || ends_inside(&self.bytes)
    }

    /// The output as a terminal shows it.
    pub fn plain(&self) -> String {
        plain::text(&self.bytes, self.size)
    }

    /// The contract's document: the shell's record, and `cursor`, `next_cursor`, `output`, `truncated` besides others. Output
    /// that is no UTF-8 is there in base64 too, to the byte.
    pub fn document(&self, plain: bool) -> Value {
        let mut document = self.record.clone();
        let exact = std::str::from_utf8(&self.bytes).is_err();
        let exact = exact.then(|| base64::engine::general_purpose::STANDARD.encode(&self.bytes));
        let output = if plain { self.plain() } else { String::from_utf8_lossy(&self.bytes).into_owned() };
        let fields = json!({
            "cursor": self.cursor,
            "next_cursor": self.next_cursor,
            "output": output,
            "plain": plain,
            "truncated": self.truncated(),
            "dropped_bytes": self.dropped_bytes,
            "remaining_bytes": self.remaining_bytes,
            "cuts_character": self.cuts_character(),
            "matched": self.matched,
            "match_cursor": self.match_cursor,
            "timed_out": self.timed_out,
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        if let Some(exact) = exact {
            document["output_base64"] = exact.into();
        }
        document
    }
}

fn ends_inside(bytes: &[u8]) -> bool {
    // A chunk of text that ends too early has an error without a length.
    let cut = |tail: &[u8]| matches!(std::str::from_utf8(tail), Err(error) if error.error_len().is_none());
    (1..=bytes.len().min(3)).any(|count| {
        let tail = &bytes[bytes.len() - count..];
        tail[0] & 0xc0 == 0xc0 && cut(tail)
    })
}

impl Workspace {
    /// Reads what a shell has printed, after waiting if asked to. Cursors are counted in bytes and stay what they are.
    ///
    /// # Errors
    /// [`super::ShellError::Cursor`], [`super::ShellError::Pattern`], [`super::ShellError::Unknown`].
    pub async fn read_shell(&self, shell: &str, spec: ShellReadSpec) -> Result<ShellRead, WorkspaceError> {
        let wait = spec.wait.unwrap_or(ShellWait { pattern: None, idle_ms: None, timeout: Duration::ZERO });
        if let Some(pattern) = &wait.pattern {
            Pattern::new(pattern)?;
        }
        let asked_for_match = wait.pattern.is_some();
        let request = ReadRequest {
            shell: shell.to_owned(),
            cursor: spec.cursor,
            chars_max: spec.max_chars.clamp(1, CHARS_MAX),
            pattern: wait.pattern,
            idle_ms: wait.idle_ms.map(|idle| idle.clamp(1, IDLE_MS_MAX)),
            timeout_ms: u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let request = Request::Shell(ShellRequest::Read(request));
        let (_open, mut receiver) = connection::ask(&self.config, &self.folder, request).await?;
        let mut bytes = Vec::new();
        let done = loop {
            match receiver.next().await? {
                Incoming::Bytes(_, more) => bytes.extend_from_slice(&more),
                Incoming::Event(_) => {}
                Incoming::Done(done) => break done,
            }
        };
        let broken = |error: serde_json::Error| WorkspaceError::Supervisor {
            workspace: self.id().to_string(),
            did: format!("gave an answer that is of no use: {error}"),
        };
        let reply: ReadReply = serde_json::from_value(done).map_err(broken)?;
        let size = serde_json::from_value(reply.record.clone()).map_err(broken)?;
        Ok(ShellRead {
            record: reply.record,
            cursor: spec.cursor,
            next_cursor: reply.next_cursor,
            bytes,
            dropped_bytes: reply.dropped_bytes,
            remaining_bytes: reply.remaining_bytes,
            matched: asked_for_match.then_some(reply.matched.is_some()),
            match_cursor: reply.matched,
            timed_out: reply.timed_out,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> ShellRead {
        ShellRead {
            record: json!({ "shell_id": "x" }),
            cursor: 0,
            next_cursor: 0,
            bytes: bytes.to_vec(),
            dropped_bytes: 0,
            remaining_bytes: 0,
            matched: None,
            match_cursor: None,
            timed_out: false,
            size: TerminalSize::default(),
        }
    }

    #[test]
    fn cut_characters_are_said() {
        for (bytes, cut) in [
            (&b""[..], false),
            (b"abc", false),
            ("a\u{e9}".as_bytes(), false),
            (b"a\xc3", true),
            (b"a\xe2\x82", true),
            (b"\xf0\x9f\x98", true),
            (b"\xa9b", true),
            // No character begins so.
            (b"a\xff", false),
        ] {
            assert_eq!(read(bytes).cuts_character(), cut, "{bytes:?}");
        }
        assert_eq!(read(b"a\xff").document(false)["output_base64"], "Yf8=");
        assert!(read(b"a").document(true).get("output_base64").is_none());
    }
}
