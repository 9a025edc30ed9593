//! Services on disk: a folder for each, with what is known of it and what it printed. They outlive the service, the guest and
//! the supervisor. This file must not decide what is written.
//!
//! ```text
//!   services/<name>/  service.json      record and specification
//!                     stdout, stdout.1  the newest output, and the one before
//! ```

use super::log::Log;
use super::record::Known;
use crate::workspace::error::StoreError;
use crate::workspace::folder::Folder;
use crate::workspace::folder::private_folder;
use crate::workspace::folder::read_json;
use crate::workspace::folder::write_json;
use crate::workspace::history::Stream;
use crate::workspace::id::ServiceName;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The version of the document's shape.
pub(in crate::workspace) const SCHEMA: u32 = 1;

/// Most services that a workspace has at once, and most that are remembered.
pub(in crate::workspace) const SERVICES_MAX: usize = 128;

/// Where a service's files are.
pub(in crate::workspace) fn folder(workspace: &Folder, name: &ServiceName) -> PathBuf {
    workspace.services().join(name.as_str())
}

/// What is known of a service.
pub(in crate::workspace) fn load(folder: &Path) -> Result<Option<Known>, StoreError> {
    read_json(&folder.join("service.json"))
}

/// Writes down what is known of a service.
pub(in crate::workspace) fn save(folder: &Path, known: &Known) -> Result<(), StoreError> {
    private_folder(folder).map_err(|source| StoreError::file("making", folder, source))?;
    write_json(&folder.join("service.json"), known, false)
}

/// Forgets a service and what it printed.
pub(in crate::workspace) fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

/// What a service printed, standard output first.
pub(in crate::workspace) fn logs(folder: &Path) -> [Log; 2] {
    [Stream::Stdout, Stream::Stderr].map(|stream| Log::open(folder, stream))
}

/// All services of a workspace, by name. One whose document is broken is left out; without a guest none runs.
pub(in crate::workspace) fn all(workspace: &Folder, has_guest: bool) -> Vec<Known> {
    let names = fs::read_dir(workspace.services()).into_iter().flatten().flatten();
    let found = names.filter_map(|entry| load(&entry.path()).ok().flatten());
    let mut all: Vec<Known> = found.take(SERVICES_MAX).collect();
    if !has_guest {
        all.iter_mut().for_each(|known| known.record.settle_without_guest());
    }
    all.sort_by(|a, b| a.record.service_name.cmp(&b.record.service_name));
    all
}

/// How many services a workspace has, and how many of them run.
pub(in crate::workspace) fn count(workspace: &Folder, has_guest: bool) -> (usize, usize) {
    let all = all(workspace, has_guest);
    (all.len(), all.iter().filter(|known| known.record.is_living()).count())
}
