//! Digests of the host's files that are known from before, by what the file system says of them. A file that may have changed
//! without the file system showing it is not in here. This file must not read files but its own.

use super::document;
use super::document::DocumentError;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

const SCHEMA: u32 = 1;

/// A change within so short a time after another may leave the same times behind: the clock of file systems ticks coarsely.
const TICK: Duration = Duration::from_millis(50);

/// SHA-256 of a file's content.
pub(super) type Digest = [u8; 32];

/// What tells that a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl Stamp {
    const fn of(entry: &Entry) -> Self {
        Self { size: entry.size_bytes, mtime: entry.mtime, ctime: entry.ctime }
    }
}

/// Known digests, by device and inode.
#[derive(Debug, Default)]
pub struct HashCache {
    known: HashMap<(u64, u64), (Stamp, Digest)>,
}

/// `[device, inode, size, mtime s, ns, ctime s, ns, digest]`.
type Row = (u64, u64, u64, i64, u32, i64, u32, String);

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    files: Vec<Row>,
}

impl HashCache {
    /// Reads a cache; one that is missing, damaged or of another version is empty.
    pub fn load(path: &Path) -> Self {
        let document: Option<Document> = document::read(path);
        let rows = document.filter(|document| document.schema == SCHEMA).map(|document| document.files);
        let known = rows.into_iter().flatten().filter_map(|row| {
            let (device, inode, size, mtime_s, mtime_ns, ctime_s, ctime_ns, digest) = row;
            let digest = pyro_proto::bytes::from_hex(&digest)?.try_into().ok()?;
            let time = |s, ns| Timestamp { s, ns };
            let stamp = Stamp { size, mtime: time(mtime_s, mtime_ns), ctime: time(ctime_s, ctime_ns) };
            Some(((device, inode), (stamp, digest)))
        });
        Self { known: known.collect() }
    }

    /// Replaces the cache on disk.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn save(&self, path: &Path) -> Result<(), DocumentError> {
        let rows = self.known.iter().map(|((device, inode), (stamp, digest))| {
            let Stamp { size, mtime, ctime } = *stamp;
            let digest = pyro_proto::bytes::to_hex(digest);
            (*device, *inode, size, mtime.s, mtime.ns, ctime.s, ctime.ns, digest)
        });
        document::write(path, &Document { schema: SCHEMA, files: rows.collect() })
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn get(&self, device: u64, entry: &Entry) -> Option<Digest> {
        let (stamp, digest) = self.known.get(&(device, entry.inode))?;
        (*stamp == Stamp::of(entry)).then_some(*digest)
    }

    /// Keeps a digest of a file that was as `entry` says before and after it was read, unless it changed so shortly before
    /// `read_at` that it could change again unnoticed.
    pub(super) fn put(&mut self, device: u64, entry: &Entry, digest: Digest, read_at: SystemTime) {
        let changed = u64::try_from(entry.ctime.s).ok().and_then(|s| {
            UNIX_EPOCH.checked_add(Duration::from_secs(s) + Duration::from_nanos(entry.ctime.ns.into()))
        });
        let settled = changed.and_then(|changed| read_at.duration_since(changed).ok());
        if settled.is_some_and(|settled| settled > TICK) {
            self.known.insert((device, entry.inode), (Stamp::of(entry), digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_proto::tree::EntryKind;
    use pyro_proto::tree::TreePath;

    fn entry() -> Entry {
        let mut entry = Entry::new(TreePath::new("a").unwrap(), EntryKind::File);
        entry.inode = 7;
        entry.size_bytes = 3;
        entry.ctime = Timestamp { s: 1000, ns: 5 };
        entry
    }

    #[test]
    fn a_file_is_known_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.json");
        let mut cache = HashCache::load(&path);
        cache.put(1, &entry(), [9; 32], UNIX_EPOCH + Duration::from_secs(2000));
        cache.save(&path).unwrap();
        let cache = HashCache::load(&path);
        assert_eq!(cache.get(1, &entry()), Some([9; 32]));
        assert_eq!(cache.get(2, &entry()), None);
        let changed = Entry { ctime: Timestamp { s: 1000, ns: 6 }, ..entry() };
        assert_eq!(cache.get(1, &changed), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_trusted() {
        let mut cache = HashCache::default();
        cache.put(1, &entry(), [9; 32], UNIX_EPOCH + Duration::from_secs(1000));
        assert!(cache.is_empty());
    }

    #[test]
    fn a_damaged_or_foreign_cache_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.json");
        let row = r#"[1,7,3,0,0,1000,5,"0909090909090909090909090909090909090909090909090909090909090909"]"#;
        let cases = [
            ("{".to_owned(), 0),
            (format!(r#"{{"schema":2,"files":[{row}]}}"#), 0),
            (format!(r#"{{"schema":1,"files":[{row},[1,8,3,0,0,1,1,"zz"]]}}"#), 1),
        ];
        for (text, known) in cases {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(HashCache::load(&path).len(), known, "{text}");
        }
    }
}
