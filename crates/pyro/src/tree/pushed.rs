//! What was pushed into a guest, and how the guest's files looked right after: so that a file which nobody has touched there
//! needs no digest taken in the guest. This file must not decide what to push.

use super::cache::Digest;
use super::document;
use super::document::DocumentError;
use super::manifest::HostManifest;
use pyro_proto::ByteString;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;

const SCHEMA: u32 = 1;

/// How a guest's file looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GuestStamp {
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
    inode: u64,
}

impl GuestStamp {
    const fn of(entry: &Entry) -> Self {
        Self { size: entry.size_bytes, mtime: entry.mtime, ctime: entry.ctime, inode: entry.inode }
    }
}

/// What is known of the files of one guest folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushedManifest {
    files: BTreeMap<TreePath, (GuestStamp, Digest)>,
}

/// `[path, digest, size, mtime s, ns, ctime s, ns, inode]`, all but the first two of the guest's file.
type Row = (ByteString, String, u64, i64, u32, i64, u32, u64);

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    files: Vec<Row>,
}

impl PushedManifest {
    /// Reads what was kept; nothing when it is missing, damaged or of another version: then the guest is asked for digests.
    pub fn load(path: &Path) -> Self {
        let document: Option<Document> = document::read(path);
        let rows = document.filter(|document| document.schema == SCHEMA).map(|document| document.files);
        let files = rows.into_iter().flatten().filter_map(|row| {
            let (path, digest, size, mtime_s, mtime_ns, ctime_s, ctime_ns, inode) = row;
            let digest = pyro_proto::bytes::from_hex(&digest)?.try_into().ok()?;
            let time = |s, ns| Timestamp { s, ns };
            let (mtime, ctime) = (time(mtime_s, mtime_ns), time(ctime_s, ctime_ns));
            Some((TreePath::new(path.0).ok()?, (GuestStamp { size, mtime, ctime, inode }, digest)))
        });
        Self { files: files.collect() }
    }

    /// Replaces what is kept.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn save(&self, path: &Path) -> Result<(), DocumentError> {
        let rows = self.files.iter().map(|(path, (stamp, digest))| {
            let GuestStamp { size, mtime, ctime, inode } = *stamp;
            let path = ByteString(path.as_bytes().to_vec());
            let digest = pyro_proto::bytes::to_hex(digest);
            (path, digest, size, mtime.s, mtime.ns, ctime.s, ctime.ns, inode)
        });
        document::write(path, &Document { schema: SCHEMA, files: rows.collect() })
    }

    /// What is known after everything in `host` was pushed and the guest was scanned again. A file is not known if it was
    /// `unsteady` while it was sent, or if the guest has touched it since: its time would not be the one that was sent.
    pub fn after_push(host: &HostManifest, guest_scan: &[Entry], unsteady: &HashSet<TreePath>) -> Self {
        let guest: HashMap<&TreePath, &Entry> = guest_scan.iter().map(|entry| (&entry.path, entry)).collect();
        let files = host.entries().iter().filter_map(|host| {
            let (path, there) = (&host.entry.path, guest.get(&host.entry.path)?);
            let same = there.size_bytes == host.entry.size_bytes && there.mtime == host.entry.mtime;
            let known = same && !unsteady.contains(path);
            known.then_some((path.clone(), (GuestStamp::of(there), host.sha256?)))
        });
        Self { files: files.collect() }
    }

    /// The digest of a guest's file, if it is as it was after the push.
    pub(super) fn digest(&self, guest: &Entry) -> Option<Digest> {
        let (stamp, digest) = self.files.get(&guest.path)?;
        (*stamp == GuestStamp::of(guest)).then_some(*digest)
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}
