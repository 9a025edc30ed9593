//! `pyro workspace shell read`.

use super::super::block_on;
use super::super::failed;
use super::super::find;
use super::Which;
use super::show;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::CHARS_MAX;
use pyro::workspace::IDLE_MS_MAX;
use pyro::workspace::ShellReadSpec;
use pyro::workspace::ShellWait;
use std::time::Duration;

/// What this ends with when a pattern was waited for and the time was up.
const TIMED_OUT: i32 = 124;

/// Print what a shell has printed from a cursor on, and say where to go on.
///
/// Cursors count bytes from the beginning of everything the shell has printed, and stay what they are. Of a shell the last 64 MiB
/// are kept: what was asked for and is not there any more is counted as dropped_bytes, what is there and was not printed as
/// remaining_bytes; either makes it truncated. Output ends behind a whole character.
#[derive(Debug, clap::Args)]
pub struct Read {
    #[command(flatten)]
    which: Which,

    /// First byte that is wanted: 0, or the next_cursor of the last read.
    #[arg(long, value_name = "BYTE", default_value = "0")]
    cursor: u64,

    /// Most characters.
    #[arg(long, value_name = "N", default_value = "65536", value_parser = clap::value_parser!(u64).range(1..=CHARS_MAX as u64))]
    max_chars: u64,

    /// Print it as a terminal of that size shows it: colours are gone, progress bars and corrections have had their effect.
    #[arg(long)]
    plain: bool,

    /// Wait first until this regular expression matches somewhere behind the cursor, in the bytes as they were printed. Ends with
    /// 124 when the time is up before that.
    #[arg(long, value_name = "PATTERN")]
    wait_for: Option<String>,

    /// Wait first (behind a pattern's match) until nothing was printed for so long, 1 to 10000.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=IDLE_MS_MAX))]
    wait_for_idle_ms: Option<u64>,

    /// Wait no longer than this, 0 to 86400; the shell's end ends it too.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(0..=86400))]
    timeout_seconds: u64,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Read {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        let waits = self.wait_for.is_some() || self.wait_for_idle_ms.is_some();
        let wait = waits.then(|| ShellWait {
            pattern: self.wait_for,
            idle_ms: self.wait_for_idle_ms,
            timeout: Duration::from_secs(self.timeout_seconds),
        });
        let max_chars = usize::try_from(self.max_chars).unwrap_or(CHARS_MAX);
        let spec = ShellReadSpec { cursor: self.cursor, max_chars, wait };
        let read =
            block_on(workspace.read_shell(&self.which.shell, spec))?.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&read.document(self.plain));
        } else {
            if self.plain {
                output::line(&read.plain());
            } else {
                output::bytes(&read.bytes);
            }
            let mut fields = vec!["state", "cursor", "next_cursor", "truncated", "timed_out"];
            fields.extend(read.matched.map(|_| "matched"));
            fields.extend((read.dropped_bytes > 0).then_some("dropped_bytes"));
            fields.extend(read.cuts_character().then_some("cuts_character"));
            show(false, "read", read.document(false), &[], &fields);
        }
        let missed = read.matched == Some(false) && read.timed_out;
        Ok(if missed { TIMED_OUT } else { exit::OK })
    }
}
