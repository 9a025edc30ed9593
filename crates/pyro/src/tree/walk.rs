//! Walks a folder of the host: an entry for each thing in it, folders before what is in them, names in byte order, as a tool's
//! scan in a guest does. This file must not read content, and never follows a link below the root.

use super::rules::Rules;
use super::source;
use super::source::Node;
use super::source::Source;
use super::warnings::Warnings;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreeError;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// What a walk leaves out and reports.
#[derive(Clone, Debug)]
pub struct WalkOptions {
    /// Globs of what to leave out, with everything below it.
    pub exclude: Vec<String>,
    /// Leave out what `.gitignore`, `.git/info/exclude` and `.pyroignore` say. `.git` itself is always in unless `exclude` or
    /// `.pyroignore` name it: agents need it.
    pub ignore_files: bool,
    /// Report owners as they are; otherwise everything is root's.
    pub keep_owners: bool,
    /// Most entries.
    pub entries_max: u64,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self { exclude: Vec::new(), ignore_files: false, keep_owners: false, entries_max: 20_000_000 }
    }
}

/// Why a folder cannot be walked.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// There is nothing.
    #[error("there is no {path}", path = .path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("opening {path}", path = .path.display())]
    Open {
        /// What was asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder below it cannot be listed.
    #[error("listing {path}", path = .path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An ignore file in a folder cannot be read.
    #[error("reading the ignore files of {path}", path = .path.display())]
    IgnoreFile {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path is longer than paths may be.
    #[error("a name in {path} is too deep to be sent", path = .path.display())]
    Path {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// There is more in it than may be.
    #[error("{path} holds more than {entries_max} files and folders", path = .path.display())]
    TooMany {
        /// The root.
        path: PathBuf,
        /// The limit.
        entries_max: u64,
    },
    /// A glob is none.
    #[error("'{glob}' is no pattern")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
}

impl Coded for WalkError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => code::SOURCE_MISSING,
            Self::Open { .. } | Self::List { .. } | Self::IgnoreFile { .. } | Self::Path { .. } => {
                code::SOURCE_UNREADABLE
            }
            Self::TooMany { .. } => code::QUOTA_EXCEEDED,
            Self::Glob { .. } => code::PATTERN_INVALID,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::List { .. } | Self::IgnoreFile { .. } | Self::Path { .. } | Self::TooMany { .. } => {
                vec!["leave it out with --exclude".to_owned()]
            }
            Self::Missing { .. } | Self::Open { .. } | Self::Glob { .. } => Vec::new(),
        }
    }
}

/// One thing found, and the device that its inode number is of.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) device: u64,
}

/// Walks a tree, one entry at a time.
#[derive(Debug)]
pub struct Walker {
    source: Arc<Source>,
    options: WalkOptions,
    rules: Rules,
    warnings: Warnings,
    /// The folders that are under way, and what is left of each.
    stack: Vec<(TreePath, std::vec::IntoIter<Node>)>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), TreePath>,
    entries: u64,
    started: bool,
}

impl Walker {
    /// A walker at the beginning of a folder or, for a tree of one entry, at a regular file.
    ///
    /// # Errors
    /// [`WalkError`].
    pub fn new(root: &Path, options: WalkOptions) -> Result<Self, WalkError> {
        let source = Source::open(root).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => WalkError::Missing { path: root.to_owned() },
            _ => WalkError::Open { path: root.to_owned(), source },
        })?;
        let mut rules =
            Rules::new(&options.exclude).map_err(|(glob, source)| WalkError::Glob { glob, source })?;
        let mut warnings = Warnings::default();
        if options.ignore_files && source.is_folder() {
            rules.enter_above(source.path(), &mut warnings);
        }
        Ok(Self {
            source: Arc::new(source),
            options,
            rules,
            warnings,
            stack: Vec::new(),
            links: HashMap::new(),
            entries: 0,
            started: false,
        })
    }

    /// What is walked.
    pub const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What was left out so far that cannot be sent at all.
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What is left out, as far as was walked: whole when the walk has ended.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its rules and warnings, after the walk.
    pub fn into_rules(self) -> (Rules, Warnings) {
        (self.rules, self.warnings)
    }

    pub(super) fn next_found(&mut self) -> Result<Option<Found>, WalkError> {
        if !self.started {
            self.started = true;
            return self.root().map(Some);
        }
        while let Some((folder, nodes)) = self.stack.last_mut() {
            let Some(node) = nodes.next() else {
                self.stack.pop();
                continue;
            };
            let path = folder.join(&node.name);
            let path = path.map_err(|source| WalkError::Path { path: self.source.shown(folder), source })?;
            if let Some(found) = self.node(path, node)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn root(&mut self) -> Result<Found, WalkError> {
        let stat = *self.source.root_stat();
        let entry = source::entry(TreePath::default(), &stat, self.options.keep_owners);
        if entry.kind == EntryKind::Directory {
            self.enter(&entry.path)?;
        }
        Ok(Found { entry, device: stat.st_dev })
    }

    fn node(&mut self, path: TreePath, node: Node) -> Result<Option<Found>, WalkError> {
        let mut entry = source::entry(path, &node.stat, self.options.keep_owners);
        let folder = entry.kind == EntryKind::Directory;
        if self.rules.excludes_itself(&entry.path, folder) {
            return Ok(None);
        }
        match entry.kind {
            EntryKind::Special => {
                let shown = self.source.shown(&entry.path);
                self.warnings.add(format!("{}: a socket, FIFO or device, left out", shown.display()));
                return Ok(None);
            }
            EntryKind::Symlink => entry.target = node.target,
            EntryKind::Directory => self.enter(&entry.path)?,
            EntryKind::File if node.stat.st_nlink > 1 => self.link(&mut entry, node.stat.st_dev),
            EntryKind::File | EntryKind::HardLink => {}
        }
        self.entries += 1;
        if self.entries > self.options.entries_max {
            let (path, entries_max) = (self.source.path().to_owned(), self.options.entries_max);
            return Err(WalkError::TooMany { path, entries_max });
        }
        Ok(Some(Found { entry, device: node.stat.st_dev }))
    }

    /// Makes every name of a file but the first a hard link.
    fn link(&mut self, entry: &mut Entry, device: u64) {
        if let Some(first) = self.links.get(&(device, entry.inode)) {
            entry.kind = EntryKind::HardLink;
            entry.target = first.as_bytes().to_vec();
        } else {
            self.links.insert((device, entry.inode), entry.path.clone());
        }
    }

    fn enter(&mut self, folder: &TreePath) -> Result<(), WalkError> {
        let shown = || self.source.shown(folder);
        let nodes = match self.source.list(folder) {
            Ok(nodes) => nodes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_root() => {
                self.warnings.add(format!("{}: vanished while it was read", shown().display()));
                Vec::new()
            }
            Err(source) => return Err(WalkError::List { path: shown(), source }),
        };
        if self.options.ignore_files {
            self.rules
                .enter(&self.source, folder, &nodes, &mut self.warnings)
                .map_err(|source| WalkError::IgnoreFile { path: self.source.shown(folder), source })?;
        }
        self.stack.push((folder.clone(), nodes.into_iter()));
        Ok(())
    }
}

impl Iterator for Walker {
    type Item = Result<Entry, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_found().transpose().map(|found| found.map(|found| found.entry))
    }
}

#[cfg(test)]
mod tests;
