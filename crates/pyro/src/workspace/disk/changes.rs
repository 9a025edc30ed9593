//! What changed, with the contents that a patch is made of. Contents are bounded, one by one and together: what is beyond
//! that is known to differ and not read. This file must not render anything.

use super::error::FilesError;
use crate::secret::Needles;
use crate::tree::Rules;
use pyro_image::disk::Change;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::Meta;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;

/// Most bytes of a file that are read to be compared.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Most bytes of all files of one side.
const CONTENT_BYTES_MAX: u64 = 256 << 20;

/// What changed, in the order of a walk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) list: Vec<Change>,
    pub(super) old: Vec<Option<Vec<u8>>>,
    pub(super) new: Vec<Option<Vec<u8>>>,
    /// What must not be in any content.
    needles: Needles,
}

/// What a diff is to be about.
#[derive(Debug)]
pub(super) struct Filter {
    only: Option<Rules>,
    exclude: Rules,
}

impl Filter {
    /// Paths below `root`, and globs; relative ones are below it too.
    pub(super) fn new(root: &str, only: &[String], exclude: &[String]) -> Result<Self, FilesError> {
        let below = |pattern: &String| {
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            match pattern.strip_prefix(root) {
                // With a slash, so that it is matched from the root on.
                Some(rest) if root != "/" && (rest.is_empty() || rest.starts_with('/')) => rest.to_owned(),
                _ => pattern.to_owned(),
            }
        };
        let rules = |patterns: Vec<String>| {
            Rules::new(&patterns)
                .map_err(|(pattern, error)| FilesError::Pattern { pattern, reason: error.kind().to_string() })
        };
        let everything = |pattern: &String| matches!(below(pattern).as_str(), "" | "." | "/");
        // A path without special signs is that path, and not whatever has its name.
        let path = |pattern: String| {
            if pattern.contains(['*', '?', '[', '/']) { pattern } else { format!("/{pattern}") }
        };
        let paths = only.iter().map(below).map(path).collect();
        let only = if only.is_empty() || only.iter().any(everything) { None } else { Some(rules(paths)?) };
        Ok(Self { only, exclude: rules(exclude.iter().map(below).collect())? })
    }

    pub(super) fn takes(&self, path: &TreePath, folder: bool) -> bool {
        !path.is_in_stage()
            && self.only.as_ref().is_none_or(|only| only.excludes(path, folder))
            && !self.exclude.excludes(path, folder)
    }
}

impl Changes {
    pub(super) fn of(list: Vec<Change>, filter: &Filter, needles: Needles) -> Self {
        let is_folder =
            |side: &Option<Meta>| side.as_ref().is_some_and(|meta| meta.kind == EntryKind::Directory);
        let taken =
            |change: &Change| filter.takes(&change.path, is_folder(&change.old) || is_folder(&change.new));
        let list = list.into_iter().filter(|change| !change.path.is_root() && taken(change)).collect();
        Self { list, old: Vec::new(), new: Vec::new(), needles }
    }

    /// Reads what is there now.
    pub(super) fn read_new(&mut self, root: &MergedRoot) -> Result<(), FilesError> {
        self.new = read(root, self.list.iter().map(|change| change.new.as_ref()), &self.needles)?;
        Ok(())
    }

    /// Reads what was there.
    pub(super) fn read_old(&mut self, root: &MergedRoot) -> Result<(), FilesError> {
        self.old = read(root, self.list.iter().map(|change| change.old.as_ref()), &self.needles)?;
        Ok(())
    }
}

fn read<'a>(
    root: &MergedRoot,
    metas: impl Iterator<Item = Option<&'a Meta>>,
    needles: &Needles,
) -> Result<Vec<Option<Vec<u8>>>, FilesError> {
    let mut left = CONTENT_BYTES_MAX;
    metas
        .map(|meta| {
            let Some(meta) = meta.filter(|meta| meta.kind == EntryKind::File) else { return Ok(None) };
            if meta.size_bytes > FILE_BYTES_MAX.min(left) {
                return Ok(None);
            }
            left -= meta.size_bytes;
            content(root, meta, needles).map(Some)
        })
        .collect()
}

/// The whole of a file, whose size is bounded.
fn content(root: &MergedRoot, meta: &Meta, needles: &Needles) -> Result<Vec<u8>, FilesError> {
    let mut bytes = vec![0; usize::try_from(meta.size_bytes).unwrap_or_default()];
    let count = root.read_at(&meta.node, 0, &mut bytes)?;
    bytes.truncate(count);
    needles.mask(&mut bytes);
    Ok(bytes)
}
