//! Documents that are kept between runs: JSON, replaced whole. This file must not know what is in them.

use crate::code;
use crate::code::Coded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A document cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("writing {path}", path = .path.display())]
pub struct DocumentError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Coded for DocumentError {
    fn code(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull => code::DISK_FULL,
            _ => code::STATE_UNWRITABLE,
        }
    }

    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads a document; `None` when there is none or it is damaged, which is the same to whoever can do without.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a document. It is not made durable: after a crash of the host the old one is as good.
pub(super) fn write(path: &Path, document: &impl Serialize) -> Result<(), DocumentError> {
    let mut aside = path.file_name().unwrap_or_default().to_owned();
    aside.push(format!(".{}.tmp", std::process::id()));
    let aside = path.with_file_name(aside);
    let written = write_aside(&aside, document).and_then(|()| fs::rename(&aside, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&aside);
        DocumentError { path: path.to_owned(), source }
    })
}

fn write_aside(aside: &Path, document: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(document).map_err(io::Error::from)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    file.write_all(&bytes)
}
