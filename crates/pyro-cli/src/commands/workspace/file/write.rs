//! `pyro workspace file write`.

use super::guest_path;
use super::text;
use super::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::code;
use pyro::workspace::files::WriteOptions;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use tokio::io::AsyncRead;

/// Write a file as a whole. One that is there keeps its mode and owner.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("content").required(true).args(["text", "text_file", "stdin"]))]
pub struct Write {
    /// Id or name of the workspace.
    workspace: String,

    /// File.
    path: OsString,

    /// The content.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<OsString>,

    /// A file of the host that holds the content, of any size and kind; '-' is standard input.
    #[arg(long, value_name = "PATH")]
    text_file: Option<PathBuf>,

    /// Take the content from standard input.
    #[arg(long)]
    stdin: bool,

    /// Permission bits, in octal; without it those of the file that is there, or 0644.
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,

    /// Fail if there is something at the path already.
    #[arg(long)]
    create_new: bool,

    /// Fail if the directory is missing, instead of making it.
    #[arg(long)]
    no_parents: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Write {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let options =
            WriteOptions { mode: self.mode, make_parents: !self.no_parents, create_new: self.create_new };
        let source = self.text_file.filter(|source| source.as_os_str() != "-");
        let text_given = self.text.map(OsString::into_vec);
        let open = source.as_ref().map(std::fs::File::open).transpose();
        let file = open.map_err(|error| unreadable(source.as_deref(), &error))?;
        let document = with(engine, &self.workspace, async |workspace| {
            let mut content: Box<dyn AsyncRead + Send + Unpin> = match (&text_given, file) {
                (Some(text), _) => Box::new(text.as_slice()),
                (None, Some(file)) => Box::new(tokio::fs::File::from_std(file)),
                (None, None) => Box::new(tokio::io::stdin()),
            };
            workspace.write_file(&path, content.as_mut(), &options).await
        })?;
        if self.json {
            output::json(&document);
        } else {
            let [id, path, bytes, created] =
                ["workspace_id", "path", "bytes_written", "created"].map(|name| text(&document, name));
            output::line(&format!(
                "[workspace-file-write] workspace_id={id} path={path} bytes_written={bytes} created={created}"
            ));
        }
        Ok(exit::OK)
    }
}

/// A file of the host that cannot be read.
pub(in crate::commands::workspace) fn unreadable(
    path: Option<&std::path::Path>,
    error: &std::io::Error,
) -> Failure {
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    Failure::plain(
        code::USAGE,
        format!("reading {path}: {error}"),
        "name a readable file of the host",
        exit::FAILED,
    )
}

fn mode(given: &str) -> Result<u32, String> {
    let digits = given.strip_prefix("0o").unwrap_or(given);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !digits.starts_with('+'))
        .ok_or_else(|| "a mode is octal, as in 0755".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("755"), mode("0644"), mode("0o4755")), (Ok(0o755), Ok(0o644), Ok(0o4755)));
        for bad in ["", "9", "10000", "u+x", "+7", "-1"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
