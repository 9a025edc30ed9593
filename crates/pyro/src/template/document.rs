//! The document beside a template's files: what it is of, and how to tell that the files are as they were made.

use crate::machine::Size;
use crate::machine::Snapshot;
use pyro_proto::bytes::to_hex;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

const NAME: &str = "template.json";
/// Raised when the document's shape changes; older ones are then made again.
const SCHEMA: u32 = 1;
/// Larger documents than this are damaged.
const BYTES_MAX: u64 = 64 * 1024;

/// What a template is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) schema: u32,
    pub(super) key: String,
    pub(super) environment: String,
    pub(super) rootfs_digest: String,
    pub(super) initrd_digest: String,
    pub(super) engine: String,
    pub(super) size: Size,
    pub(super) snapshot: Snapshot,
    pub(super) state_sha256: String,
    pub(super) files: Vec<Stamp>,
}

/// How a file looked when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    name: String,
    inode: u64,
    size_bytes: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (inode, size_bytes) = (metadata.ino(), metadata.len());
        Ok(Self { name, inode, size_bytes, mtime_s: metadata.mtime(), mtime_ns: metadata.mtime_nsec() })
    }
}

impl Document {
    /// Seals the files of a finished template: whatever changes in them from here on is damage.
    pub(super) fn seal(
        folder: &Path,
        plan: &crate::machine::Plan,
        key: &str,
        snapshot: Snapshot,
    ) -> io::Result<Self> {
        let paths = crate::machine::snapshot_files(folder);
        for path in &paths {
            File::open(path)?.sync_data()?;
        }
        let document = Self {
            schema: SCHEMA,
            key: key.to_owned(),
            environment: plan.installed.name.clone(),
            rootfs_digest: plan.installed.digest.clone(),
            initrd_digest: plan.installed.initrd_digest.clone(),
            engine: plan.engine.fingerprint(),
            size: plan.size,
            snapshot,
            state_sha256: digest(&paths[0])?,
            files: paths.iter().map(|path| Stamp::of(path)).collect::<io::Result<_>>()?,
        };
        let text = serde_json::to_vec_pretty(&document).map_err(io::Error::other)?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(NAME))?;
        file.write_all(&text)?;
        file.sync_all()?;
        Ok(document)
    }

    /// The document in `folder`; nothing when it is not there, not whole, or of another shape.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let path = folder.join(NAME);
        if fs::metadata(&path).ok()?.len() > BYTES_MAX {
            return None;
        }
        let document: Self = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        (document.schema == SCHEMA).then_some(document)
    }

    /// Whether the files are as they were made. The device state is read whole; memory and disk, which nobody but a guest's
    /// private mapping and a copy ever opens, are compared by their stamps.
    pub(super) fn matches(&self, folder: &Path) -> bool {
        let paths = crate::machine::snapshot_files(folder);
        let stamps: io::Result<Vec<Stamp>> = paths.iter().map(|path| Stamp::of(path)).collect();
        stamps.is_ok_and(|stamps| stamps == self.files)
            && digest(&paths[0]).is_ok_and(|digest| digest == self.state_sha256)
    }
}

/// Notes that the template was used now, for the collector.
pub(super) fn touch(folder: &Path) {
    // A cache that cannot be written to is still good to read.
    let _ = File::open(folder.join(NAME)).and_then(|file| file.set_modified(SystemTime::now()));
}

/// When the template was last used.
pub(super) fn last_used(folder: &Path) -> SystemTime {
    fs::metadata(folder.join(NAME)).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn digest(path: &Path) -> io::Result<String> {
    Ok(to_hex(&Sha256::digest(fs::read(path)?)))
}
