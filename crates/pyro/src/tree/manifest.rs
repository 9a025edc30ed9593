//! What a folder of the host holds, with a digest of each file: what a push is planned from. Files that have not changed since
//! their digest was last taken are not read. This file must not compare it with anything.

use super::cache::Digest;
use super::cache::HashCache;
use super::send::is_same;
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
use pyro_proto::tree::TreePath;
use sha2::Digest as _;
use sha2::Sha256;
use std::collections::HashMap;
use std::io;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Threads that take digests.
const THREADS: usize = 2;
/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder could not be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file could not be read.
    #[error("reading {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for ManifestError {
    fn code(&self) -> &'static str {
        match self {
            Self::Walk(error) => error.code(),
            Self::Read { .. } => code::SOURCE_UNREADABLE,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Walk(error) => error.hints(),
            Self::Read { .. } => vec!["make it readable, or leave it out with --exclude".to_owned()],
        }
    }
}

/// One thing in a folder of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// What it is.
    pub entry: Entry,
    /// SHA-256 of its content, if it is a regular file or another name of one.
    pub sha256: Option<[u8; 32]>,
}

/// All that is in a folder of the host, in the order of a walk.
#[derive(Clone, Debug, Default)]
pub struct HostManifest {
    entries: Vec<HostEntry>,
    index: HashMap<TreePath, usize>,
    /// Files that were read for their digest.
    hashed: u64,
    warnings: Warnings,
}

impl HostManifest {
    /// Walks a folder and takes the digests that `cache` does not have; it then holds those of this folder and no others.
    /// `now` is the time at which this begins.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn build(walker: &mut Walker, cache: &mut HashCache, now: SystemTime) -> Result<Self, ManifestError> {
        let mut found = Vec::new();
        while let Some(thing) = walker.next_found()? {
            found.push(thing);
        }
        let known: Vec<Option<Digest>> =
            found.iter().map(|found| cache.get(found.device, &found.entry)).collect();
        let is_unknown = |at: &usize| found[*at].entry.kind == EntryKind::File && known[*at].is_none();
        let unknown: Vec<usize> = (0..found.len()).filter(is_unknown).collect();
        let hashed = hash_all(walker.source(), &found, &unknown)?;
        let mut manifest = Self { hashed: unknown.len() as u64, ..Self::default() };
        let mut fresh = HashCache::default();
        for (at, Found { entry, device }) in found.into_iter().enumerate() {
            let sha256 = match (entry.kind, hashed.get(&at)) {
                (EntryKind::File, Some(Hashed { digest, steady })) => {
                    if *steady {
                        fresh.put(device, &entry, *digest, now);
                    }
                    Some(*digest)
                }
                (EntryKind::File, None) => {
                    let Some(digest) = known[at] else {
                        manifest.warnings.add(format!("{}: vanished before it was read", entry.path));
                        continue;
                    };
                    fresh.put(device, &entry, digest, now);
                    Some(digest)
                }
                (EntryKind::HardLink, _) => match manifest.hard_link_digest(&entry) {
                    Some(digest) => Some(digest),
                    None => continue,
                },
                _ => None,
            };
            manifest.push(HostEntry { entry, sha256 });
        }
        *cache = fresh;
        Ok(manifest)
    }

    /// A manifest of these entries, in this order.
    #[cfg(test)]
    pub(super) fn from_entries(entries: impl IntoIterator<Item = HostEntry>) -> Self {
        let mut manifest = Self::default();
        entries.into_iter().for_each(|entry| manifest.push(entry));
        manifest
    }

    pub(super) fn push(&mut self, entry: HostEntry) {
        self.index.insert(entry.entry.path.clone(), self.entries.len());
        self.entries.push(entry);
    }

    pub(super) fn hard_link_digest(&self, link: &Entry) -> Option<Digest> {
        self.get(&TreePath::new(&link.target[..]).ok()?)?.sha256
    }

    /// All entries, folders before what is in them, files before their hard links.
    pub fn entries(&self) -> &[HostEntry] {
        &self.entries
    }

    /// What is at a path.
    pub fn get(&self, path: &TreePath) -> Option<&HostEntry> {
        self.entries.get(*self.index.get(path)?)
    }

    /// How many files were read for their digests.
    pub const fn hashed(&self) -> u64 {
        self.hashed
    }

    /// What was left out.
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }
}

struct Hashed {
    digest: Digest,
    /// It was the same before, after, and when it was found.
    steady: bool,
}

fn hash_all(
    source: &Source,
    found: &[Found],
    which: &[usize],
) -> Result<HashMap<usize, Hashed>, ManifestError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut done, mut buffer) = (Vec::new(), vec![0; PIECE_BYTES]);
        while let Some(at) = which.get(next.fetch_add(1, Ordering::Relaxed)) {
            let entry = &found[*at].entry;
            match hash(source, entry, &mut buffer) {
                Ok(hashed) => done.push((*at, hashed)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(ManifestError::Read { path: source.shown(&entry.path), source: error });
                }
            }
        }
        Ok(done)
    };
    if which.is_empty() {
        return Ok(HashMap::new());
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
        let mut all: HashMap<usize, Hashed> = work()?.into_iter().collect();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

fn hash(source: &Source, found: &Entry, buffer: &mut [u8]) -> io::Result<Hashed> {
    let mut file = source.open_file(&found.path)?;
    let before = source::entry(found.path.clone(), &rustix::fs::fstat(&file)?, true);
    let mut sha = Sha256::new();
    // Up to the size that was found, so that a file which keeps growing ends.
    let mut left = before.size_bytes;
    while left > 0 {
        let piece = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match file.read(&mut buffer[..piece]) {
            Ok(0) => break,
            Ok(length) => {
                sha.update(&buffer[..length]);
                left -= length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let after = source::entry(found.path.clone(), &rustix::fs::fstat(&file)?, true);
    let steady = left == 0 && is_same(found, &before) && is_same(&before, &after);
    Ok(Hashed { digest: sha.finalize().into(), steady })
}
