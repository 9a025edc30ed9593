//! SHA-256 of bytes and files, and the cheap stamp that says a file has not been touched. This file must not know what the
//! files are for.

use crate::cancel::Cancel;
use crate::error::At;
use crate::error::ImageError;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;
use std::fmt::Write;
use std::fs::File;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A SHA-256 in 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sha256Hex(String);

impl Sha256Hex {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    pub(crate) fn from_hex(hex: &str) -> Self {
        Self(hex.to_owned())
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in hasher.finalize() {
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// Reads a file whole; `on_bytes` is told how much was read so far.
    pub(crate) fn of_file(
        path: &Path,
        cancel: &Cancel,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Self, ImageError> {
        let mut file = File::open(path).at("opening", path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut done = 0;
        loop {
            let count = file.read(&mut buffer).at("reading", path)?;
            if count == 0 {
                return Ok(Self::finish(hasher));
            }
            if cancel.is_cancelled() {
                return Err(ImageError::Cancelled);
            }
            hasher.update(&buffer[..count]);
            done += count as u64;
            on_bytes(done);
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: enough to name a folder. A damaged document may hold fewer.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// What of a file changes when anybody writes to it or puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) mtime_s: i64,
    pub(crate) mtime_ns: i64,
    pub(crate) inode: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size_bytes: metadata.size(),
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
            inode: metadata.ino(),
        }
    }
}

/// What is recorded about a file of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Its name inside the folder the record is in.
    pub(crate) file: String,
    pub(crate) sha256: Sha256Hex,
    pub(crate) stamp: Stamp,
}

impl FileRecord {
    /// Reads a finished file and records it.
    pub(crate) fn of_file(
        dir: &Path,
        file: &str,
        cancel: &Cancel,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Self, ImageError> {
        let path = dir.join(file);
        let sha256 = Sha256Hex::of_file(&path, cancel, on_bytes)?;
        let stamp = Stamp::of(&std::fs::metadata(&path).at("examining", &path)?);
        Ok(Self { file: file.to_owned(), sha256, stamp })
    }

    /// Whether the file still has the recorded stamp; an error names what is wrong with it before its bytes are read.
    pub(crate) fn is_untouched(&self, dir: &Path, environment: &str) -> Result<bool, ImageError> {
        let path = dir.join(&self.file);
        let corrupt = |reason: String| ImageError::Corrupt {
            environment: environment.to_owned(),
            path: path.clone(),
            reason,
        };
        let metadata = std::fs::symlink_metadata(&path).map_err(|error| corrupt(error.to_string()))?;
        if !metadata.is_file() {
            return Err(corrupt("it is not a file".to_owned()));
        }
        let stamp = Stamp::of(&metadata);
        if stamp.size_bytes != self.stamp.size_bytes {
            return Err(corrupt(format!(
                "it has {} bytes instead of {}",
                stamp.size_bytes, self.stamp.size_bytes
            )));
        }
        Ok(stamp == self.stamp)
    }

    /// Reads the file whole and compares.
    pub(crate) fn verify(
        &self,
        dir: &Path,
        environment: &str,
        cancel: &Cancel,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), ImageError> {
        self.is_untouched(dir, environment)?;
        let path = dir.join(&self.file);
        let found = Sha256Hex::of_file(&path, cancel, on_bytes)?;
        if found == self.sha256 {
            return Ok(());
        }
        let reason = format!("its SHA-256 begins {} instead of {}", found.short(), self.sha256.short());
        Err(ImageError::Corrupt { environment: environment.to_owned(), path, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_file_is_seen_and_a_changed_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        let cancel = Cancel::new().unwrap();
        let record = FileRecord::of_file(dir.path(), "f", &cancel, &mut |_| {}).unwrap();
        assert_eq!(
            record.sha256.as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(record.is_untouched(dir.path(), "e").unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(dir.path().join("g"), b"other inode").unwrap();
        std::fs::write(&path, b"abd").unwrap();
        let error = record.verify(dir.path(), "e", &cancel, &mut |_| {}).unwrap_err();
        assert_eq!(error.code(), "image_corrupt");
        std::fs::write(&path, b"abcd").unwrap();
        assert_eq!(record.is_untouched(dir.path(), "e").unwrap_err().code(), "image_corrupt");
    }
}
