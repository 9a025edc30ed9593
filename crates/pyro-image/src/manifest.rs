//! The documents beside what is installed: what it is, and the digests it must have. This file must not build anything.

use crate::digest::FileRecord;
use crate::digest::Sha256Hex;
use crate::error::At;
use crate::error::ImageError;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The shape of these documents; a document of another shape counts as not installed.
pub(crate) const SCHEMA: u32 = 1;
pub(crate) const ENVIRONMENT_FILE: &str = "environment.json";
pub(crate) const KERNEL_FILE: &str = "kernel.json";
/// The most that is read of a document.
const BYTES_MAX: u64 = 1 << 20;

/// `environment.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnvironmentManifest {
    pub(crate) schema: u32,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The digest of the definition it was built from.
    pub(crate) definition: Sha256Hex,
    pub(crate) platform: String,
    pub(crate) source: String,
    /// Seconds since 1970.
    pub(crate) installed_at: u64,
    pub(crate) rootfs: FileRecord,
    /// The folder of the kernel under `kernels/`.
    pub(crate) kernel: String,
}

/// `kernel.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KernelManifest {
    pub(crate) schema: u32,
    /// The Debian package it came from, and that package's version.
    pub(crate) package: String,
    pub(crate) package_version: String,
    /// What `uname -r` says.
    pub(crate) release: String,
    pub(crate) vmlinux: FileRecord,
    /// In an order in which each comes after those it depends on.
    pub(crate) modules: Vec<ModuleRecord>,
}

/// One kernel module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModuleRecord {
    pub(crate) name: String,
    pub(crate) depends: Vec<String>,
    /// Its file is relative to the kernel's folder.
    pub(crate) record: FileRecord,
}

/// Reads a document; `None` when there is none of the right shape.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    if value.get("schema")?.as_u64()? != u64::from(SCHEMA) {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// Whether a name out of a document is one component of a path, and so cannot lead elsewhere.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

impl EnvironmentManifest {
    /// Reads the manifest of an installation; `None` when it is broken.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let manifest: Self = read(&dir.join(ENVIRONMENT_FILE))?;
        (is_plain_name(&manifest.rootfs.file) && is_plain_name(&manifest.kernel)).then_some(manifest)
    }
}

impl KernelManifest {
    /// Reads the manifest of a kernel; `None` when it is broken.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let manifest: Self = read(&dir.join(KERNEL_FILE))?;
        let modules_are_plain = manifest.modules.iter().all(|module| {
            module.record.file.strip_prefix("modules/").is_some_and(is_plain_name)
                && is_plain_name(&module.name)
        });
        (is_plain_name(&manifest.vmlinux.file) && modules_are_plain).then_some(manifest)
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Writes a manifest into the folder of a build.
pub(crate) fn write(dir: &Path, file: &str, document: &impl Serialize) -> Result<(), ImageError> {
    let path = dir.join(file);
    let text = serde_json::to_vec_pretty(document).map_err(std::io::Error::from).at("encoding", &path)?;
    crate::atomic::write(&path, &[&text, b"\n"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Stamp;

    const GOLDEN: &str = include_str!("../tests/golden/environment-1.json");

    fn manifest() -> EnvironmentManifest {
        let digest = Sha256Hex::of(b"abc");
        let stamp = Stamp { size_bytes: 3, mtime_s: 4, mtime_ns: 5, inode: 6 };
        EnvironmentManifest {
            schema: SCHEMA,
            name: "debian:12".to_owned(),
            version: "1.0.0".to_owned(),
            definition: digest.clone(),
            platform: "linux-x86_64".to_owned(),
            source: "mmdebstrap:bookworm".to_owned(),
            installed_at: 7,
            rootfs: FileRecord { file: "rootfs.ext4".to_owned(), sha256: digest, stamp },
            kernel: "6.12.1-cloud-amd64-0123456789ab".to_owned(),
        }
    }

    #[test]
    fn the_released_shape_is_read_and_written() {
        assert_eq!(serde_json::from_str::<EnvironmentManifest>(GOLDEN).unwrap(), manifest());
        assert_eq!(serde_json::to_string_pretty(&manifest()).unwrap(), GOLDEN.trim_end());
    }

    #[test]
    fn broken_newer_and_hostile_documents_are_not_installations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ENVIRONMENT_FILE);
        assert!(EnvironmentManifest::read(dir.path()).is_none());
        for text in [
            String::new(),
            "{".to_owned(),
            GOLDEN.replace("\"schema\": 1", "\"schema\": 2"),
            GOLDEN.replace("rootfs.ext4", "../../etc/shadow"),
            GOLDEN.replace("6.12.1-cloud", "../6.12.1-cloud"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(EnvironmentManifest::read(dir.path()).is_none());
        }
        std::fs::write(&path, GOLDEN).unwrap();
        assert_eq!(EnvironmentManifest::read(dir.path()), Some(manifest()));
    }
}
