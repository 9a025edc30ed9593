//! Makes a tree from a guest into a folder, file or link of the host. The guest is hostile: nothing is made outside of the
//! target, nothing gets a set-id bit or becomes a device, links that lead out are refused, and quotas hold while it streams.
//! A new target appears whole or not at all; in an existing one each file is replaced whole. This file must not talk to guests.

use super::extract_error::ExtractError;
use super::links;
use super::links::Links;
use super::place;
use super::place::Place;
use super::temporary;
use super::warnings::Warnings;
use crate::host_path::HostPath;
use pyro_proto::message::WireError;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// What a tree is called inside of its temporary folder: a path of one component there.
const TREE_NAME: &[u8] = b"tree";

/// What a tree may do and how much it may hold.
#[derive(Clone, Copy, Debug)]
pub struct ExtractOptions {
    /// What becomes of links that lead out of the tree.
    pub links: Links,
    /// In an existing folder, do what `Delete` records say, and let files take the place of folders that are not empty.
    pub mirror: bool,
    /// Most bytes of content.
    pub bytes_max: u64,
    /// Most entries.
    pub entries_max: u64,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { links: Links::Refuse, mirror: false, bytes_max: 1 << 40, entries_max: 20_000_000 }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// What the target is.
    pub kind: EntryKind,
    /// Entries made.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Things removed because the stream said so.
    pub deleted: u64,
    /// What was left out, and what the guest warned of.
    pub warnings: Warnings,
    /// The document at the stream's end.
    pub done: Vec<u8>,
}

/// Where a tree goes.
#[derive(Debug)]
enum Target {
    /// Into a temporary folder beside the target, which is then renamed.
    New { parent: OwnedFd, temporary: Vec<u8>, name: Vec<u8>, kept: bool },
    /// Into this folder.
    Existing,
}

/// A file that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    entry: Entry,
    written: u64,
}

/// Makes a tree, record by record.
#[derive(Debug)]
pub struct Extractor {
    /// The target, for messages.
    shown: PathBuf,
    options: ExtractOptions,
    target: Target,
    place: Place,
    /// The name under which things are made before they get their own.
    aside: Vec<u8>,
    decoder: TreeDecoder,
    kind: Option<EntryKind>,
    open: Option<Open>,
    /// Folders, whose modes and times are set last.
    folders: Vec<Entry>,
    /// Links that must not lead out when all is there.
    links: Vec<(TreePath, Vec<u8>)>,
    report: Extracted,
    done: bool,
}

impl Extractor {
    /// Makes a new target, which must not exist. Its folder must.
    ///
    /// # Errors
    /// [`ExtractError::Exists`], [`ExtractError::Target`].
    pub fn create(target: impl Into<HostPath>, options: ExtractOptions) -> Result<Self, ExtractError> {
        let given = target.into();
        let (target, shown) = (given.path(), given.shown());
        let parent_path = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(ExtractError::Exists { path: shown.to_owned() }),
        };
        let name = target.file_name().ok_or_else(|| ExtractError::Exists { path: shown.to_owned() })?;
        let failed = |source: io::Error| {
            let parent = shown.parent().unwrap_or(Path::new("/"));
            ExtractError::Target { path: parent.to_owned(), source }
        };
        let parent = open_folder(parent_path).map_err(failed)?;
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(ExtractError::Exists { path: shown.to_owned() }),
            Err(error) => return Err(failed(error.into())),
        }
        temporary::collect(&parent);
        let (temporary, root) = temporary::make(&parent).map_err(failed)?;
        let name = name.as_bytes().to_vec();
        let aside = temporary.clone();
        let into = Target::New { parent, temporary, name, kept: false };
        Ok(Self::new(shown, options, into, root, aside))
    }

    /// Brings an existing folder up to date.
    ///
    /// # Errors
    /// [`ExtractError::Target`].
    pub fn update(target: impl Into<HostPath>, options: ExtractOptions) -> Result<Self, ExtractError> {
        let target = target.into();
        let failed = |source: io::Error| ExtractError::Target { path: target.shown().to_owned(), source };
        let root = open_folder(target.path()).map_err(failed)?;
        let aside = temporary::name().map_err(failed)?;
        Ok(Self::new(target.shown(), options, Target::Existing, root, aside))
    }

    fn new(shown: &Path, options: ExtractOptions, target: Target, root: OwnedFd, aside: Vec<u8>) -> Self {
        Self {
            shown: shown.to_owned(),
            options,
            target,
            place: Place::new(root),
            aside,
            decoder: TreeDecoder::new(),
            kind: None,
            open: None,
            folders: Vec::new(),
            links: Vec::new(),
            report: Extracted {
                kind: EntryKind::Directory,
                entries: 0,
                bytes: 0,
                deleted: 0,
                warnings: Warnings::default(),
                done: Vec::new(),
            },
            done: false,
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`ExtractError`]; the extractor is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        self.decoder.push(bytes);
        while let Some(record) = self.decoder.next_record()? {
            self.record(record)?;
        }
        Ok(())
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`ExtractError`]; the extractor is then of no further use.
    pub fn record(&mut self, record: Record) -> Result<(), ExtractError> {
        if self.done {
            return Err(ExtractError::Order("a record after the end"));
        }
        match record {
            Record::Entry(_) | Record::Delete(_) | Record::Done(_) if self.open.is_some() => {
                Err(ExtractError::Order("a record inside of a file"))
            }
            Record::Entry(entry) => self.entry(entry),
            Record::Data(bytes) => self.data(&bytes),
            Record::Hole(bytes) => self.hole(bytes),
            Record::End => self.end(),
            Record::Delete(path) => self.delete(&path),
            Record::Warning(text) => {
                self.report.warnings.add(text);
                Ok(())
            }
            Record::Done(document) => {
                self.done = true;
                self.report.done = document;
                Ok(())
            }
            Record::Failed(json) => Err(ExtractError::Guest(refusal(&json))),
            Record::Path(_) => Err(ExtractError::Order("a path")),
            Record::Digest(..) => Err(ExtractError::Order("a digest")),
            Record::Expect(_) | Record::Prune(_) => Err(ExtractError::Order("a condition")),
        }
    }

    fn entry(&mut self, entry: Entry) -> Result<(), ExtractError> {
        self.report.entries += 1;
        self.check_count()?;
        self.make(entry)?;
        self.check_count()
    }

    /// Folders that only a path names count as well.
    fn check_count(&self) -> Result<(), ExtractError> {
        let entries_max = self.options.entries_max;
        if self.report.entries.saturating_add(self.place.implied()) > entries_max {
            return Err(ExtractError::TooMany { entries_max });
        }
        Ok(())
    }

    fn make(&mut self, mut entry: Entry) -> Result<(), ExtractError> {
        if self.kind.is_none() {
            self.root(if entry.path.is_root() { entry.kind } else { EntryKind::Directory })?;
        } else if self.kind != Some(EntryKind::Directory) {
            return Err(ExtractError::Order("something below a file"));
        } else if entry.path.is_root() && entry.kind != EntryKind::Directory {
            return Err(ExtractError::Order("a second root"));
        }
        if entry.path.is_root() && matches!(self.target, Target::Existing) {
            // Its mode and time are the host's affair.
            return Ok(());
        }
        let escapes = entry.kind == EntryKind::Symlink && links::escapes(&entry.path, &entry.target);
        let (tree_path, target) = (entry.path.clone(), entry.target.clone());
        entry.path = self.inside(&entry.path)?;
        match entry.kind {
            EntryKind::Directory => self.folder(entry),
            EntryKind::File => self.file(entry),
            EntryKind::HardLink => self.hard_link(entry),
            EntryKind::Symlink if escapes && self.options.links != Links::Keep => {
                self.escaped(&tree_path, &target)
            }
            EntryKind::Symlink => self.symlink(entry),
            EntryKind::Special => {
                self.report.warnings.add(format!("{tree_path}: a socket, FIFO or device, left out"));
                Ok(())
            }
        }
    }

    /// The first entry says what the target becomes.
    fn root(&mut self, kind: EntryKind) -> Result<(), ExtractError> {
        self.kind = Some(kind);
        self.report.kind = kind;
        match (&self.target, kind) {
            (Target::Existing, EntryKind::Directory) => Ok(()),
            (Target::Existing, _) => Err(ExtractError::NotAFolder { path: self.shown.clone() }),
            (Target::New { .. }, EntryKind::Directory) => {
                let root = self.inside(&TreePath::default())?;
                self.place.make_folder(&root).map_err(|error| self.making(&root, error))
            }
            (Target::New { .. }, EntryKind::File | EntryKind::Symlink) => Ok(()),
            (Target::New { .. }, EntryKind::HardLink | EntryKind::Special) => {
                Err(ExtractError::Order("a hard link or device as the root"))
            }
        }
    }

    /// Where a path of the tree is, seen from the folder that things are made in.
    fn inside(&self, path: &TreePath) -> Result<TreePath, ExtractError> {
        match self.target {
            Target::Existing => Ok(path.clone()),
            Target::New { .. } if path.is_root() => Ok(TreePath::new(TREE_NAME)?),
            Target::New { .. } => Ok(TreePath::new([TREE_NAME, b"/", path.as_bytes()].concat())?),
        }
    }

    /// The path of the finished thing, for messages.
    fn finished(&self, inside: &TreePath) -> PathBuf {
        let bytes = inside.as_bytes();
        let bytes = match self.target {
            Target::Existing => bytes,
            Target::New { .. } => bytes.strip_prefix(TREE_NAME).unwrap_or(bytes),
        };
        let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
        if bytes.is_empty() {
            self.shown.clone()
        } else {
            self.shown.join(std::ffi::OsStr::from_bytes(bytes))
        }
    }

    fn making(&self, inside: &TreePath, error: Errno) -> ExtractError {
        ExtractError::Make { path: self.finished(inside), source: error.into() }
    }

    fn folder(&mut self, entry: Entry) -> Result<(), ExtractError> {
        self.place.make_folder(&entry.path).map_err(|error| self.making(&entry.path, error))?;
        self.folders.push(entry);
        Ok(())
    }

    fn file(&mut self, entry: Entry) -> Result<(), ExtractError> {
        let file = self.place.make_file(&entry.path, &self.aside);
        let file = file.map_err(|error| self.making(&entry.path, error))?;
        self.open = Some(Open { file, entry, written: 0 });
        Ok(())
    }

    fn hard_link(&mut self, entry: Entry) -> Result<(), ExtractError> {
        let target = self.inside(&TreePath::new(entry.target)?)?;
        self.place
            .make_hard_link(&entry.path, &self.aside, &target)
            .map_err(|error| self.making(&entry.path, error))?;
        self.put(&entry.path)
    }

    fn symlink(&mut self, entry: Entry) -> Result<(), ExtractError> {
        let times = place::times(entry.mtime);
        self.place
            .make_symlink(&entry.path, &self.aside, &entry.target, &times)
            .map_err(|error| self.making(&entry.path, error))?;
        self.put(&entry.path)?;
        if self.options.links != Links::Keep {
            self.links.push((entry.path, entry.target));
        }
        Ok(())
    }

    fn escaped(&mut self, path: &TreePath, target: &[u8]) -> Result<(), ExtractError> {
        let (path, target) = (path.to_string(), String::from_utf8_lossy(target).into_owned());
        if self.options.links == Links::Refuse {
            return Err(ExtractError::LinkEscapes { path, target });
        }
        self.report.warnings.add(format!("{path}: a link that leads out, to '{target}', left out"));
        Ok(())
    }

    /// Gives what was made aside its name.
    fn put(&mut self, path: &TreePath) -> Result<(), ExtractError> {
        let mut put = self.place.put(path, &self.aside);
        if put == Err(Errno::NOTEMPTY) || put == Err(Errno::EXIST) {
            if !self.options.mirror || !matches!(self.target, Target::Existing) {
                self.place.discard(path, &self.aside);
                return Err(ExtractError::Occupied { path: self.finished(path) });
            }
            self.report.deleted += self.remove(path)?;
            put = self.place.put(path, &self.aside);
        }
        put.map_err(|error| self.making(path, error))
    }

    fn remove(&mut self, inside: &TreePath) -> Result<u64, ExtractError> {
        let removed = self.place.remove(inside);
        removed.map_err(|error| ExtractError::Remove { path: self.finished(inside), source: error.into() })
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        let Some(open) = &mut self.open else { return Err(ExtractError::Order("content outside of a file")) };
        self.report.bytes = self.report.bytes.saturating_add(bytes.len() as u64);
        if self.report.bytes > self.options.bytes_max {
            return Err(ExtractError::TooLarge { bytes_max: self.options.bytes_max });
        }
        open.written += bytes.len() as u64;
        open.file.write_all(bytes).map_err(|source| self.writing(source))
    }

    fn hole(&mut self, bytes: u64) -> Result<(), ExtractError> {
        let Some(open) = &mut self.open else { return Err(ExtractError::Order("a hole outside of a file")) };
        open.written = open.written.saturating_add(bytes);
        let at = io::SeekFrom::Start(open.written);
        open.file.seek(at).map(drop).map_err(|source| self.writing(source))
    }

    fn writing(&self, source: io::Error) -> ExtractError {
        let path =
            self.open.as_ref().map_or_else(|| self.shown.clone(), |open| self.finished(&open.entry.path));
        ExtractError::Write { path, source }
    }

    fn end(&mut self) -> Result<(), ExtractError> {
        let Some(open) = &self.open else { return Err(ExtractError::Order("the end of no file")) };
        let finished = open.file.set_len(open.written).and_then(|()| {
            rustix::fs::fchmod(&open.file, Mode::from_raw_mode(open.entry.mode & 0o777))?;
            Ok(rustix::fs::futimens(&open.file, &place::times(open.entry.mtime))?)
        });
        finished.map_err(|source| self.writing(source))?;
        let path = open.entry.path.clone();
        self.place.name(&open.file, &path, &self.aside).map_err(|error| self.making(&path, error))?;
        self.put(&path)?;
        self.open = None;
        Ok(())
    }

    fn delete(&mut self, path: &TreePath) -> Result<(), ExtractError> {
        if !self.options.mirror || !matches!(self.target, Target::Existing) || path.is_root() {
            return Err(ExtractError::Order("a deletion"));
        }
        self.report.deleted += self.remove(path)?;
        Ok(())
    }
}

impl Drop for Extractor {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.place.discard(&open.entry.path, &self.aside);
        }
        if matches!(self.target, Target::Existing) {
            // What was cut off is not judged any more, and stays.
            let _ = self.check_links();
        }
        let Target::New { parent, temporary, kept: false, .. } = &self.target else { return };
        // What cannot be removed stays, under a name that says whose it is.
        if let Ok(tree) = TreePath::new(TREE_NAME) {
            let _ = self.place.remove(&tree);
        }
        let _ = rustix::fs::unlinkat(self.place.root(), &self.aside[..], AtFlags::empty());
        let _ = rustix::fs::unlinkat(parent, &temporary[..], AtFlags::REMOVEDIR);
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What a guest says went wrong, for people.
pub(super) fn refusal(json: &[u8]) -> String {
    match serde_json::from_slice::<WireError>(json) {
        Ok(error) => error.message.chars().filter(|char| !char.is_control()).take(4096).collect(),
        Err(_) => "it does not say why".to_owned(),
    }
}

mod finish;
#[cfg(test)]
mod tests;
