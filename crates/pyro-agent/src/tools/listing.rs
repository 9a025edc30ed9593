//! A walk as scans and sends tell it: without what was excluded, with every further name of a file as a link to the first.
//! This file must not read content.

use super::fault;
use super::fault::Fallible;
use super::sink::Sink;
use super::walk::Next;
use super::walk::Step;
use super::walk::Walk;
use pyro_proto::bytes::ByteString;
use pyro_proto::glob::Globs;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use rustix::fs::FileType;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::collections::HashMap;

/// Most bytes of first names that are remembered; a tree with more hard links than that is told with more files.
const LINK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// First names of files that have several.
#[derive(Debug, Default)]
pub(super) struct Links {
    first: HashMap<(u64, u64), TreePath>,
    bytes: usize,
}

/// A walk with its rules.
#[derive(Debug)]
pub(super) struct Listing {
    walk: Walk,
    exclude: Globs,
    links: Links,
    root: Vec<u8>,
}

impl Listing {
    pub(super) fn new(root: &[u8], exclude: &[ByteString]) -> Self {
        Self {
            walk: Walk::new(root),
            exclude: Globs::new(exclude),
            links: Links::default(),
            root: root.to_vec(),
        }
    }

    /// The next thing that is not left out.
    pub(super) fn next(&mut self, sink: &mut Sink) -> Fallible<Option<Step>> {
        while let Some(next) = self.walk.next() {
            match next {
                Next::Step(step) if self.is_left_out(&step.path) => {}
                Next::Step(step) => return Ok(Some(step)),
                Next::TooDeep(folder) => {
                    sink.warn(format!("'{folder}' holds names that are too long for a path"))?;
                }
            }
        }
        Ok(None)
    }

    fn is_left_out(&self, path: &TreePath) -> bool {
        !path.is_root() && (path.is_in_stage() || self.exclude.matches(path.as_bytes()))
    }

    /// Goes on with what is in a folder, after it was told itself. One that cannot be read is named.
    pub(super) fn enter(&mut self, step: &Step, stat: &Stat, sink: &mut Sink) -> Fallible<()> {
        self.walk.enter(step, stat.st_dev).or_else(|errno| self.missed(step, "listing", errno, sink))
    }

    /// Names what could not be told; what is merely gone meanwhile does not matter, unless it is the root.
    pub(super) fn missed(&self, step: &Step, doing: &str, errno: Errno, sink: &mut Sink) -> Fallible<()> {
        if step.path.is_root() {
            return Err(fault::at(doing, &self.root, errno));
        }
        if errno == Errno::NOENT {
            return Ok(());
        }
        sink.warn(fault::at(doing, step.path.as_bytes(), errno).message)
    }

    /// What is told of something.
    pub(super) fn entry(&mut self, step: &Step, stat: &Stat) -> Result<Entry, Errno> {
        let mut entry = describe(step.path.clone(), stat);
        match entry.kind {
            EntryKind::Symlink => entry.target = step.target()?,
            EntryKind::File => self.links.note(&mut entry, stat),
            _ => {}
        }
        Ok(entry)
    }
}

impl Links {
    /// Makes the entry a link to an earlier name of the same file, if there was one.
    pub(super) fn note(&mut self, entry: &mut Entry, stat: &Stat) {
        if stat.st_nlink < 2 {
            return;
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.first.get(&key) {
            entry.kind = EntryKind::HardLink;
            entry.target = first.as_bytes().to_vec();
        } else if self.bytes < LINK_BYTES_MAX {
            self.bytes += entry.path.as_bytes().len() + size_of::<(u64, u64, TreePath)>();
            self.first.insert(key, entry.path.clone());
        }
    }
}

/// The kernel's description of something as an entry, without what it points at.
pub(super) fn describe(path: TreePath, stat: &Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Special,
    };
    let moment = |s: i64, ns: u64| Timestamp { s, ns: u32::try_from(ns).unwrap_or(0) };
    Entry {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: moment(stat.st_mtime, stat.st_mtime_nsec),
        ctime: moment(stat.st_ctime, stat.st_ctime_nsec),
        size_bytes: if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        inode: stat.st_ino,
        ..Entry::new(path, kind)
    }
}
