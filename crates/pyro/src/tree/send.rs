//! Sends a tree of the host, or some of its entries: records with content, holes kept. A file that changes while it is read is
//! sent as it was found, and named. This file must not decide what is sent.

use super::cache::Digest;
use super::cache::HashCache;
use super::encode::Encoder;
use super::encode::Stop;
use super::manifest::HostEntry;
use super::manifest::HostManifest;
use super::source;
use super::source::Source;
use super::walk::Found;
use super::walk::WalkError;
use super::walk::Walker;
use super::warnings::Warnings;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::SeekFrom;
use rustix::fs::Stat;
use rustix::io::Errno;
use sha2::Digest as _;
use sha2::Sha256;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;

/// Why a tree was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It could not be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file could not be opened.
    #[error("opening {path}", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("reading {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The receiver ended first: it knows why.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

impl Coded for SendError {
    fn code(&self) -> &'static str {
        match self {
            Self::Walk(error) => error.code(),
            Self::Open { .. } | Self::Read { .. } => code::SOURCE_UNREADABLE,
            Self::Stopped(_) => code::CANCELLED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Walk(error) => error.hints(),
            Self::Open { .. } => vec!["make it readable, or leave it out with --exclude".to_owned()],
            Self::Read { .. } | Self::Stopped(_) => Vec::new(),
        }
    }
}

/// What was sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Entries.
    pub entries: u64,
    /// Bytes of content, without holes.
    pub bytes: u64,
    /// Files that changed between being found and having been read: what was sent of them is nobody's manifest.
    pub unsteady: HashSet<TreePath>,
    /// What was left out or looked odd.
    pub warnings: Warnings,
}

/// Sends all that a walker finds. The walker's warnings stay with it; the stream is not ended.
///
/// # Errors
/// [`SendError`].
pub fn send(walker: &mut Walker, encoder: &mut Encoder<'_>) -> Result<Sent, SendError> {
    let source = walker.source().clone();
    let mut sender = Sender::new(&source, encoder);
    while let Some(entry) = walker.next().transpose()? {
        sender.entry(entry)?;
    }
    Ok(sender.sent)
}

/// As [`send`], and takes the digests of the files on their way: what was found, for whoever is to know later what has been
/// sent, and in `cache` the digests of this folder and no others. `now` is the time at which this begins.
///
/// # Errors
/// [`SendError`].
pub fn send_and_note(
    walker: &mut Walker,
    encoder: &mut Encoder<'_>,
    cache: &mut HashCache,
    now: SystemTime,
) -> Result<(Sent, HostManifest), SendError> {
    let source = walker.source().clone();
    let mut sender = Sender { digests: true, ..Sender::new(&source, encoder) };
    let (mut fresh, mut manifest) = (HashCache::default(), HostManifest::default());
    while let Some(Found { entry, device }) = walker.next_found()? {
        let mut sha256 = sender.entry(entry.clone())?;
        match sha256 {
            Some(digest) => fresh.put(device, &entry, digest, now),
            None if entry.kind == EntryKind::HardLink => sha256 = manifest.hard_link_digest(&entry),
            None => {}
        }
        manifest.push(HostEntry { entry, sha256 });
    }
    *cache = fresh;
    Ok((sender.sent, manifest))
}

/// Sends these entries of a tree. Folders must come before what is in them, and a file before its hard links.
///
/// # Errors
/// [`SendError`].
pub fn send_entries(
    source: &Source,
    entries: impl IntoIterator<Item = Entry>,
    encoder: &mut Encoder<'_>,
) -> Result<Sent, SendError> {
    let mut sender = Sender::new(source, encoder);
    entries.into_iter().try_for_each(|entry| sender.entry(entry).map(drop))?;
    Ok(sender.sent)
}

struct Sender<'a, 'e, 's> {
    source: &'a Source,
    encoder: &'e mut Encoder<'s>,
    /// Files that had vanished: nothing can be a hard link to them.
    lost: HashSet<TreePath>,
    /// Digests are taken.
    digests: bool,
    sent: Sent,
}

impl<'a, 'e, 's> Sender<'a, 'e, 's> {
    fn new(source: &'a Source, encoder: &'e mut Encoder<'s>) -> Self {
        Self { source, encoder, lost: HashSet::new(), digests: false, sent: Sent::default() }
    }

    /// Sends one; the digest of a file that stayed as it was, if digests are taken.
    fn entry(&mut self, mut entry: Entry) -> Result<Option<Digest>, SendError> {
        if entry.kind == EntryKind::HardLink && self.is_lost(&entry.target) {
            entry.kind = EntryKind::File;
            entry.target.clear();
        }
        if entry.kind == EntryKind::File {
            return self.file(entry);
        }
        self.sent.entries += 1;
        self.encoder.record(&Record::Entry(entry))?;
        Ok(None)
    }

    fn is_lost(&self, path: &[u8]) -> bool {
        !self.lost.is_empty() && TreePath::new(path).is_ok_and(|path| self.lost.contains(&path))
    }

    fn file(&mut self, found: Entry) -> Result<Option<Digest>, SendError> {
        let shown = || self.source.shown(&found.path);
        let file = match self.source.open_file(&found.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.sent.warnings.add(format!("{}: vanished before it was read", shown().display()));
                self.lost.insert(found.path);
                return Ok(None);
            }
            Err(source) => return Err(SendError::Open { path: shown(), source }),
        };
        let failed = |source: io::Error| SendError::Read { path: self.source.shown(&found.path), source };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        let mut entry = source::entry(found.path.clone(), &stat, true);
        (entry.uid, entry.gid) = (found.uid, found.gid);
        let steady = is_same(&entry, &found);
        self.encoder.record(&Record::Entry(entry.clone()))?;
        let mut sha = self.digests.then(Sha256::new);
        let bytes = content(&file, &stat, self.encoder, &mut sha)?.map_err(failed)?;
        self.encoder.record(&Record::End)?;
        let after = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        self.sent.entries += 1;
        self.sent.bytes += bytes;
        if !steady || !is_same(&entry, &source::entry(found.path.clone(), &after, true)) {
            self.sent.warnings.add(format!("{}: changed while it was read", shown().display()));
            self.sent.unsteady.insert(found.path);
            return Ok(None);
        }
        Ok(sha.map(|sha| sha.finalize().into()))
    }
}

/// Whether these are the same state of the same file.
pub(super) fn is_same(a: &Entry, b: &Entry) -> bool {
    (a.size_bytes, a.mtime, a.ctime, a.inode) == (b.size_bytes, b.mtime, b.ctime, b.inode)
}

/// Sends a file's content up to the size it had when it was opened, so that one which keeps growing ends. Its digest is given
/// up where there are holes: they may be larger than anybody wants to take a digest of.
fn content(
    mut file: &File,
    stat: &Stat,
    encoder: &mut Encoder<'_>,
    sha: &mut Option<Sha256>,
) -> Result<io::Result<u64>, SendError> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let sparse = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) < size;
    let (mut at, mut bytes) = (0, 0);
    while at < size {
        let piece = if sparse { next_data(file, at, size) } else { Ok(at..size) };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Ok(Err(error.into())),
        };
        if piece.start > at {
            encoder.record(&Record::Hole(piece.start - at))?;
            *sha = None;
        }
        at = piece.start;
        while at < piece.end {
            let read = |place: &mut [u8]| {
                let length = file.read(place)?;
                if let Some(sha) = sha.as_mut() {
                    sha.update(&place[..length]);
                }
                Ok(length)
            };
            match encoder.data(piece.end - at, read)? {
                Ok(0) => return Ok(Ok(bytes)),
                Ok(length) => {
                    at += length as u64;
                    bytes += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    Ok(Ok(bytes))
}

/// The next stretch with data from `at` on; an empty one at the end when only a hole is left. The file stands at its start.
fn next_data(file: &File, at: u64, size: u64) -> Result<std::ops::Range<u64>, Errno> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.min(size),
        Err(Errno::NXIO) => return Ok(size..size),
        Err(error) => return Err(error),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(size).clamp(start, size);
    rustix::fs::seek(file, SeekFrom::Start(start))?;
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::super::HashCache;
    use super::super::HostManifest;
    use super::super::WalkOptions;
    use super::super::fixture;
    use super::*;
    use std::fs;
    use std::time::Duration;
    use std::time::SystemTime;

    fn found(root: &std::path::Path) -> Vec<Entry> {
        Walker::new(root, WalkOptions::default()).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn files_that_change_or_vanish_are_named_and_harm_nothing() {
        let root = tempfile::tempdir().unwrap();
        fixture::write(root.path(), &["gone", "grew", "steady"]);
        fs::hard_link(root.path().join("gone"), root.path().join("other-name")).unwrap();
        let entries = found(root.path());
        fs::remove_file(root.path().join("gone")).unwrap();
        fs::write(root.path().join("grew"), "much longer than before").unwrap();
        let source = Source::open(root.path()).unwrap();
        let mut sent = Sent::default();
        let wire = fixture::encode(|encoder| sent = send_entries(&source, entries, encoder).unwrap());
        assert_eq!(sent.warnings.count(), 3);
        assert_eq!(sent.entries, 4);
        let unsteady = ["grew", "other-name"].map(|path| TreePath::new(path).unwrap());
        assert_eq!(sent.unsteady, HashSet::from(unsteady));
        let kinds = fixture::decoded(&wire).into_iter().filter_map(|record| match record {
            Record::Entry(entry) => Some((entry.path.to_string(), entry.kind)),
            _ => None,
        });
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds[3], ("steady".to_owned(), EntryKind::File));
        assert_eq!(kinds[2], ("other-name".to_owned(), EntryKind::File));
    }

    #[test]
    fn something_else_in_a_files_place_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        fixture::write(root.path(), &["file", "folder/file"]);
        let entries = found(root.path());
        let source = Source::open(root.path()).unwrap();
        let outcome = |entries: Vec<Entry>| {
            let mut outcome = None;
            fixture::encode(|encoder| outcome = Some(send_entries(&source, entries, encoder)));
            outcome.unwrap()
        };
        fs::remove_file(root.path().join("file")).unwrap();
        fixture::fifo(&root.path().join("file"));
        let error = outcome(entries.clone()).unwrap_err();
        assert!(matches!(&error, SendError::Open { path, .. } if path.ends_with("file")), "{error}");
        fs::remove_dir_all(root.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("folder")).unwrap();
        let below =
            entries.into_iter().filter(|entry| entry.path.as_bytes().starts_with(b"folder/")).collect();
        assert!(outcome(below).is_err());
    }

    #[test]
    fn holes_are_sent_as_holes() {
        let root = tempfile::tempdir().unwrap();
        let file = File::create(root.path().join("sparse")).unwrap();
        file.set_len(1 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", (1 << 40) - 3).unwrap();
        let records = fixture::decoded(&fixture::encoded(root.path()));
        let holes: u64 =
            records.iter().map(|record| if let Record::Hole(bytes) = record { *bytes } else { 0 }).sum();
        let data: u64 = records
            .iter()
            .map(|record| if let Record::Data(bytes) = record { bytes.len() as u64 } else { 0 })
            .sum();
        assert_eq!(holes + data, 1 << 40);
        assert!(data < 1 << 20);
    }

    #[test]
    fn digests_taken_on_the_way_are_those_of_a_manifest() {
        let root = tempfile::tempdir().unwrap();
        fixture::write(root.path(), &["a", "folder/b"]);
        fs::hard_link(root.path().join("a"), root.path().join("z")).unwrap();
        File::create(root.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        let (mut cache, mut noted) = (HashCache::default(), None);
        let wire = fixture::encode(|encoder| {
            let mut walker = Walker::new(root.path(), WalkOptions::default()).unwrap();
            noted = Some(send_and_note(&mut walker, encoder, &mut cache, later).unwrap());
        });
        assert_eq!(wire, fixture::encoded(root.path()));
        let (_, noted) = noted.unwrap();
        // The holes of a terabyte are nothing to take a digest of.
        fs::write(root.path().join("sparse"), "").unwrap();
        let mut walker = Walker::new(root.path(), WalkOptions::default()).unwrap();
        let manifest = HostManifest::build(&mut walker, &mut cache, later).unwrap();
        assert_eq!(manifest.hashed(), 1);
        let digest = |of: &HostManifest, at| of.get(&TreePath::new(at).unwrap()).unwrap().sha256;
        for at in ["a", "folder/b", "z"] {
            assert!(digest(&noted, at).is_some(), "{at}");
            assert_eq!(digest(&noted, at), digest(&manifest, at), "{at}");
        }
        assert_eq!([digest(&noted, "sparse"), digest(&noted, "folder")], [None, None]);
    }

    #[test]
    fn a_second_manifest_reads_nothing_that_has_not_changed() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..300).map(|n| format!("d{}/f{n}", n % 7)).collect();
        fixture::write(root.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        fs::hard_link(root.path().join("d0/f0"), root.path().join("z")).unwrap();
        let mut cache = HashCache::default();
        let later = SystemTime::now() + Duration::from_secs(10);
        let mut build = |expected| {
            let mut walker = Walker::new(root.path(), WalkOptions::default()).unwrap();
            let manifest = HostManifest::build(&mut walker, &mut cache, later).unwrap();
            assert_eq!(manifest.hashed(), expected);
            manifest
        };
        let manifest = build(300);
        let sha = |path: &str| manifest.get(&TreePath::new(path).unwrap()).unwrap().sha256;
        let expected: [u8; 32] = Sha256::digest(b"d1/f1").into();
        assert_eq!(sha("d1/f1"), Some(expected));
        assert_eq!(sha("z"), sha("d0/f0"));
        assert_eq!(sha("d1"), None);
        build(0);
        fs::write(root.path().join("d1/f1"), "d1/f2").unwrap();
        fs::remove_file(root.path().join("d2/f2")).unwrap();
        build(1);
        build(0);
    }
}
