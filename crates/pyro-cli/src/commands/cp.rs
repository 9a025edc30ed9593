//! `pyro cp`.

use super::workspace::all;
use super::workspace::block_on;
use super::workspace::export::OutwardLinks;
use super::workspace::failed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Transfer;
use pyro::Coded as _;
use pyro::code;
use pyro::workspace::CopyPlace;
use pyro::workspace::CopyReport;
use pyro::workspace::CopySpec;
use pyro::workspace::CopyStreams;
use serde_json::json;
use std::ffi::OsString;
use std::io::IsTerminal as _;

/// Copy files and folders between this host and workspaces.
#[derive(Debug, clap::Args)]
pub struct Cp {
    /// What to copy.
    #[arg(value_name = "SRC")]
    from: OsString,

    /// Where to.
    #[arg(value_name = "DST")]
    to: OsString,

    /// What to do with links that lead out of a folder which comes to this host.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OutwardLinks::Refuse)]
    links: OutwardLinks,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Cp {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let place =
            |given: &OsString| CopyPlace::parse(given).map_err(|error| Failure::new(&error, exit::USAGE));
        let (from, to) = (place(&self.from)?, place(&self.to)?);
        let to_stdout = to == CopyPlace::Stream;
        if to_stdout && self.json {
            let hint = "leave out --json, or name a path";
            let text = "standard output cannot take both an archive and a JSON document";
            return Err(Failure::plain("usage", text, hint, exit::USAGE));
        }
        if to_stdout && std::io::stdout().is_terminal() {
            let hint = "send standard output to a file or a program, or name a path";
            return Err(Failure::plain("usage", "a terminal cannot take an archive", hint, exit::USAGE));
        }
        let workspaces = all(engine, exit::FAILED)?;
        let streams = CopyStreams { input: Box::new(std::io::stdin()), output: Box::new(std::io::stdout()) };
        let spec = CopySpec { from, to, links: self.links.into() };
        let bar = Transfer::new("copying", self.json);
        let report = block_on(workspaces.copy(spec, streams, &mut |bytes| bar.moved(bytes)))?;
        drop(bar);
        let report = report.map_err(|error| match error.code() {
            code::USAGE => Failure::new(&error, exit::USAGE),
            _ => failed(&error),
        })?;
        self.show(&report, to_stdout);
        Ok(exit::OK)
    }

    fn show(&self, report: &CopyReport, to_stdout: bool) {
        if self.json {
            return output::json(&json!({
                "source": report.source,
                "destination": report.destination,
                "artifact_type": report.artifact_type,
                "entry_count": report.entry_count,
                "bytes_written": report.bytes_written,
                "warnings": report.warnings,
            }));
        }
        for warning in &report.warnings {
            output::error_line(&format!("[warning] {warning}"));
        }
        let line = format!(
            "[cp] source={} destination={} artifact_type={} entry_count={} bytes_written={}",
            report.source, report.destination, report.artifact_type, report.entry_count, report.bytes_written
        );
        if to_stdout { output::error_line(&line) } else { output::line(&line) }
    }
}
