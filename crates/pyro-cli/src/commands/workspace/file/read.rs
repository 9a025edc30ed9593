//! `pyro workspace file read`.

use super::guest_path;
use super::text;
use super::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::files::Range;
use pyro::workspace::files::ReadOptions;
use std::ffi::OsString;

/// Print a file, or a part of it.
#[derive(Debug, clap::Args)]
pub struct Read {
    /// Id or name of the workspace.
    workspace: String,

    /// File.
    path: OsString,

    /// Bytes after which the content is cut, up to 64 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = pyro::workspace::files::READ_BYTES_DEFAULT)]
    max_bytes: u64,

    /// First byte.
    #[arg(long, value_name = "BYTES")]
    offset: Option<u64>,

    /// How many bytes; to the end without it, as far as --max-bytes allows.
    #[arg(long, value_name = "BYTES")]
    length: Option<u64>,

    /// These lines, from 1: A:B, A: to the end, or A alone.
    #[arg(long, value_name = "A:B", value_parser = lines, conflicts_with_all = ["offset", "length"])]
    lines: Option<(u64, Option<u64>)>,

    /// Give the content in base64 even if it is text.
    #[arg(long)]
    base64: bool,

    /// Print the content's bytes and nothing else.
    #[arg(long, conflicts_with = "json")]
    content_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Read {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let range = match self.lines {
            Some((start, count)) => Range::Lines { start, count },
            None => Range::Bytes { offset: self.offset.unwrap_or(0), length: self.length },
        };
        let options = ReadOptions { range, bytes_max: self.max_bytes };
        let read =
            with(engine, &self.workspace, async |workspace| workspace.read_file(&path, &options).await)?;
        if self.json {
            output::json(&read.document(self.base64));
            return Ok(exit::OK);
        }
        if self.base64 {
            output::line(&text(&read.document(true), "content"));
        } else {
            output::bytes(&read.bytes);
        }
        if !self.content_only {
            let (size, truncated) = (read.size_bytes, if read.truncated { "yes" } else { "no" });
            let id = &read.workspace_id;
            if !self.base64 && read.bytes.last().is_some_and(|last| *last != b'\n') {
                // So that the line below begins a line of its own on a terminal.
                output::error_line("");
            }
            output::error_line(&format!(
                "[workspace-file-read] workspace_id={id} path={path} size_bytes={size} truncated={truncated}"
            ));
        }
        Ok(exit::OK)
    }
}

/// `A:B` as a first line and a count.
fn lines(given: &str) -> Result<(u64, Option<u64>), String> {
    let (start, end) = given
        .split_once(':')
        .map_or((given, Some(given)), |(start, end)| (start, (!end.is_empty()).then_some(end)));
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let start = number(start).ok_or("lines are numbered from 1, as in 10:20")?;
    let Some(end) = end else { return Ok((start, None)) };
    let end =
        number(end).filter(|end| *end >= start).ok_or("the last line must not come before the first")?;
    Ok((start, Some(end - start + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_lines() {
        assert_eq!(lines("10:20"), Ok((10, Some(11))));
        assert_eq!(lines("7"), Ok((7, Some(1))));
        assert_eq!(lines("7:"), Ok((7, None)));
        for bad in ["", ":", "0:1", "2:1", "a", "1:b", "-1:2"] {
            assert!(lines(bad).is_err(), "{bad}");
        }
    }
}
