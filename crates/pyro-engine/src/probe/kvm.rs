//! The KVM device file, looked at without running a guest.

use serde::Deserialize;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const DEVICE: &str = "/dev/kvm";

/// The state of `/dev/kvm` for this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KvmDevice {
    /// There is none.
    Missing,
    /// There is one that may not be opened for reading and writing.
    Refused {
        /// Why, in the system's words.
        reason: String,
    },
    /// It opens. This says nothing about whether guests run.
    Opens {
        /// Major device number.
        major: u32,
        /// Minor device number.
        minor: u32,
    },
}

impl KvmDevice {
    /// Looks at the device now.
    pub fn examine() -> Self {
        Self::examine_at(Path::new(DEVICE))
    }

    fn examine_at(path: &Path) -> Self {
        let device =
            match OpenOptions::new().read(true).write(true).open(path).and_then(|file| file.metadata()) {
                Ok(device) => device,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Missing,
                Err(error) => return Self::Refused { reason: error.to_string() },
            };
        if !device.file_type().is_char_device() {
            return Self::Refused { reason: "it is not a character device".to_owned() };
        }
        Self::Opens { major: rustix::fs::major(device.rdev()), minor: rustix::fs::minor(device.rdev()) }
    }

    pub(super) fn unusable_reason(&self) -> Option<String> {
        match self {
            Self::Missing => Some(format!("{DEVICE} does not exist")),
            Self::Refused { reason } => Some(format!("{DEVICE} cannot be opened: {reason}")),
            Self::Opens { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_opens_is_worth_a_guest() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(KvmDevice::examine_at(&folder.path().join("none")), KvmDevice::Missing);
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        assert!(matches!(KvmDevice::examine_at(&plain), KvmDevice::Refused { .. }));
        let null = KvmDevice::examine_at(Path::new("/dev/null"));
        assert_eq!(null, KvmDevice::Opens { major: 1, minor: 3 });
        assert_eq!(null.unusable_reason(), None);
    }
}
