//! A snapshot's state file: a head of ours (what the guest looked like, and a digest), then the device state as QEMU wrote it.
//! A restore that cannot work is refused here, in words, instead of failing inside QEMU; what QEMU's part means is not known.

use crate::spec::Acceleration;
use crate::spec::GuestSpec;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The head is padded to this size, so that QEMU's part starts at a known place.
const HEAD_BYTES: usize = 512;

/// Largest device state that is read, in bytes; a guest's is some ten thousand.
const DEVICES_BYTES_MAX: u64 = 16 * 1024 * 1024;

const SCHEMA: u32 = 2;

/// The parts of a machine that a snapshot must find unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    acceleration: Acceleration,
    vcpus: u8,
    mem_mib: u32,
    disks_read_only: Vec<bool>,
}

impl Shape {
    pub(super) fn of(acceleration: Acceleration, spec: &GuestSpec) -> Self {
        let disks_read_only = spec.disks.iter().map(|disk| disk.read_only).collect();
        Self { acceleration, vcpus: spec.vcpus, mem_mib: spec.mem_mib, disks_read_only }
    }

    /// Why a guest of shape `wanted` cannot be restored from this, if so.
    pub(super) fn mismatch(&self, wanted: &Self) -> Option<String> {
        let differing = [
            ("processors", self.vcpus != wanted.vcpus),
            ("memory size", self.mem_mib != wanted.mem_mib),
            ("disks", self.disks_read_only != wanted.disks_read_only),
            ("acceleration", self.acceleration != wanted.acceleration),
        ];
        let (what, _) = differing.into_iter().find(|(_, differs)| *differs)?;
        Some(format!("it was taken of a guest with different {what}"))
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    schema: u32,
    #[serde(flatten)]
    shape: Shape,
    devices_bytes: u64,
    /// SHA-256 in hexadecimal digits.
    devices_sha256: String,
}

/// Only what every version of a head has.
#[derive(Deserialize)]
struct AnyHead {
    schema: u32,
}

/// A state file that is being written. Until [`Self::finish`] it has no head, so that half a state is never taken for one.
#[derive(Debug)]
pub(super) struct NewState {
    file: File,
    /// QEMU takes no descriptor that allows more than it asks for.
    write_only: File,
}

impl NewState {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut write_only = OpenOptions::new().write(true).open(path)?;
        write_only.seek(SeekFrom::Start(HEAD_BYTES as u64))?;
        Ok(Self { file, write_only })
    }

    /// Where QEMU writes to: the descriptor's position is where its part begins.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.write_only.as_fd()
    }

    /// Completes the file once QEMU has written its part.
    pub(super) fn finish(self, shape: Shape) -> io::Result<()> {
        let devices = devices(&self.file)?;
        let (devices_bytes, devices_sha256) = (devices.len() as u64, sha256(&devices));
        let mut head = serde_json::to_vec(&Head { schema: SCHEMA, shape, devices_bytes, devices_sha256 })?;
        if head.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        head.resize(HEAD_BYTES, b' ');
        self.file.write_all_at(&head, 0)
    }
}

/// Opens a state file and proves it undamaged. Its position is left where QEMU's part begins.
pub(super) fn open(path: &Path) -> io::Result<(File, Shape)> {
    let mut file = File::open(path)?;
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).map_err(|_| damaged("it is too short"))?;
    let any: AnyHead = serde_json::from_slice(&head).map_err(|_| damaged("it has no head"))?;
    if any.schema != SCHEMA {
        return Err(damaged(&format!("it has schema {}, not {SCHEMA}", any.schema)));
    }
    let head: Head = serde_json::from_slice(&head).map_err(|_| damaged("its head is malformed"))?;
    let devices = devices(&file)?;
    if devices.len() as u64 != head.devices_bytes || sha256(&devices) != head.devices_sha256 {
        return Err(damaged("its content is not what was saved"));
    }
    file.seek(SeekFrom::Start(HEAD_BYTES as u64))?;
    Ok((file, head.shape))
}

fn devices(file: &File) -> io::Result<Vec<u8>> {
    let bytes = file.metadata()?.len().saturating_sub(HEAD_BYTES as u64);
    if bytes > DEVICES_BYTES_MAX {
        return Err(damaged("it is too large"));
    }
    let mut devices = vec![0; usize::try_from(bytes).map_err(|_| damaged("it is too large"))?];
    file.read_exact_at(&mut devices, HEAD_BYTES as u64)?;
    Ok(devices)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::io::Write as _;
    use std::path::PathBuf;

    fn shape() -> Shape {
        let acceleration = Acceleration::Emulated;
        Shape { acceleration, vcpus: 1, mem_mib: 256, disks_read_only: vec![true, false] }
    }

    /// A state file as QEMU and this crate write one together.
    fn written(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("state");
        let state = NewState::create(&path).unwrap();
        // As QEMU does it: through a copy of the descriptor, with which it shares the position.
        File::from(state.fd().try_clone_to_owned().unwrap()).write_all(b"QEVM").unwrap();
        state.finish(shape()).unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read_back_up_to_qemus_part() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, found) = open(&written(&folder)).unwrap();
        assert_eq!(found, shape());
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "QEVM");
    }

    #[test]
    fn a_damaged_file_is_told_from_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(&folder);
        let whole = std::fs::read(&path).unwrap();
        let flipped: Vec<u8> = [&whole[..HEAD_BYTES], b"QEVN"].concat();
        let longer = [&whole[..], b"!"].concat();
        for (bytes, reason) in [
            (&whole[..HEAD_BYTES + 2], "content"),
            (&flipped, "content"),
            (&longer, "content"),
            (&whole[..7], "short"),
            (&vec![0; 2 * HEAD_BYTES], "no head"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn another_schema_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut head = br#"{"schema":1,"memory":"stream"}"#.to_vec();
        head.resize(HEAD_BYTES, b' ');
        std::fs::write(&path, head).unwrap();
        assert_eq!(open(&path).unwrap_err().to_string(), "it has schema 1, not 2");
    }

    #[test]
    fn an_unfinished_state_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = NewState::create(&path).unwrap();
        File::from(state.fd().try_clone_to_owned().unwrap()).write_all(b"QEVM").unwrap();
        drop(state);
        assert!(open(&path).is_err());
    }

    #[test]
    fn another_machine_is_refused_in_words() {
        assert_eq!(shape().mismatch(&shape()), None);
        let smaller = Shape { mem_mib: 128, ..shape() };
        assert!(shape().mismatch(&smaller).unwrap().contains("memory size"));
    }

    /// Snapshots outlive releases: a head of this shape must stay readable.
    #[test]
    fn golden_shape() {
        let text = r#"{"schema":2,"acceleration":"emulated","vcpus":1,"mem_mib":256,"disks_read_only":[true,false],"devices_bytes":4,"devices_sha256":"00ff"}"#;
        let head =
            Head { schema: SCHEMA, shape: shape(), devices_bytes: 4, devices_sha256: "00ff".to_owned() };
        assert_eq!(serde_json::to_string(&head).unwrap(), text);
        assert_eq!(serde_json::from_str::<Head>(text).unwrap(), head);
    }
}
