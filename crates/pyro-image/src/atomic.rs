//! Files and folders that appear whole or not at all. This file must not know what is in them.

use crate::error::At;
use crate::error::ImageError;
use serde::Serialize;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file aside, makes it durable and renames it into place, replacing what was there.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> Result<(), ImageError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = path.with_file_name(name);
    let written =
        write_aside(&aside, parts).and_then(|()| std::fs::rename(&aside, path).at("renaming", &aside));
    if written.is_err() {
        // Whatever went wrong is what the caller is told; a left-over of it is removed by the next prune at the latest.
        let _ = std::fs::remove_file(&aside);
    }
    written?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

fn write_aside(aside: &Path, parts: &[&[u8]]) -> Result<(), ImageError> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside);
    let mut file = open.at("making", aside)?;
    for part in parts {
        file.write_all(part).at("writing", aside)?;
    }
    file.sync_all().at("syncing", aside)
}

/// Writes a document as indented JSON.
pub(crate) fn write_json(path: &Path, document: &impl Serialize) -> Result<(), ImageError> {
    let mut text = serde_json::to_vec_pretty(document).map_err(std::io::Error::from).at("encoding", path)?;
    text.push(b'\n');
    write(path, &[&text])
}

/// Makes a file's bytes durable.
pub(crate) fn sync_file(path: &Path) -> Result<(), ImageError> {
    File::open(path).and_then(|file| file.sync_all()).at("syncing", path)
}

/// Makes a folder's entries durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), ImageError> {
    sync_file(path)
}

/// Puts a finished folder in its place.
pub(crate) fn publish_dir(partial: &Path, path: &Path) -> Result<(), ImageError> {
    sync_dir(partial)?;
    std::fs::rename(partial, path).at("renaming", partial)?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}
