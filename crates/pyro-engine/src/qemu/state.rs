//! The head of a snapshot's state file: what the guest looked like and how its memory was saved, so that a restore which
//! cannot work is refused in words instead of failing inside QEMU. What follows it is QEMU's own.

use crate::spec::Acceleration;
use crate::spec::GuestSpec;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Write as _;

/// The head is padded to this size, so that QEMU's part starts at a known place.
const HEAD_BYTES: usize = 512;

const SCHEMA: u32 = 1;

/// Where a snapshot's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedMemory {
    /// In the memory file, to be mapped.
    File,
    /// In the state file, behind the device state; the memory file is not used.
    Stream,
}

/// The parts of a machine that a snapshot must find unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    schema: u32,
    acceleration: Acceleration,
    vcpus: u8,
    mem_mib: u32,
    disks_read_only: Vec<bool>,
    pub(super) memory: SavedMemory,
}

impl Head {
    pub(super) fn new(acceleration: Acceleration, spec: &GuestSpec, memory: SavedMemory) -> Self {
        let disks_read_only = spec.disks.iter().map(|disk| disk.read_only).collect();
        Self {
            schema: SCHEMA,
            acceleration,
            vcpus: spec.vcpus,
            mem_mib: spec.mem_mib,
            disks_read_only,
            memory,
        }
    }

    pub(super) fn with_memory(&self, memory: SavedMemory) -> Self {
        Self { memory, ..self.clone() }
    }

    /// Why a guest of `wanted` cannot be restored from this, if so.
    pub(super) fn mismatch(&self, wanted: &Self) -> Option<String> {
        if self.schema != SCHEMA {
            return Some(format!("its state file has schema {}, not {SCHEMA}", self.schema));
        }
        let differing = [
            ("processors", self.vcpus != wanted.vcpus),
            ("memory size", self.mem_mib != wanted.mem_mib),
            ("disks", self.disks_read_only != wanted.disks_read_only),
            ("acceleration", self.acceleration != wanted.acceleration),
        ];
        let (what, _) = differing.into_iter().find(|(_, differs)| *differs)?;
        Some(format!("it was taken of a guest with different {what}"))
    }

    /// Writes the head; QEMU's part follows at the file's position.
    pub(super) fn write_to(&self, mut file: &File) -> io::Result<()> {
        let mut head = serde_json::to_vec(self)?;
        if head.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        head.resize(HEAD_BYTES, b' ');
        file.write_all(&head)
    }

    /// Reads the head and leaves the file's position at QEMU's part.
    pub(super) fn read_from(mut file: &File) -> io::Result<Self> {
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)?;
        Ok(serde_json::from_slice(&head)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek as _;

    fn head() -> Head {
        let (memory, acceleration) = (SavedMemory::File, Acceleration::Emulated);
        Head {
            schema: SCHEMA,
            acceleration,
            vcpus: 1,
            mem_mib: 256,
            disks_read_only: vec![true, false],
            memory,
        }
    }

    #[test]
    fn what_was_written_is_read_back_up_to_qemus_part() {
        let mut file = tempfile::tempfile().unwrap();
        head().write_to(&file).unwrap();
        file.write_all(b"QEVM").unwrap();
        file.rewind().unwrap();
        assert_eq!(Head::read_from(&file).unwrap(), head());
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "QEVM");
    }

    #[test]
    fn another_machine_is_refused_in_words() {
        assert_eq!(head().mismatch(&head()), None);
        let smaller = Head { mem_mib: 128, ..head() };
        assert!(head().mismatch(&smaller).unwrap().contains("memory size"));
        let newer = Head { schema: 2, ..head() };
        assert!(newer.mismatch(&head()).unwrap().contains("schema 2"));
        let damaged = tempfile::tempfile().unwrap();
        assert!(Head::read_from(&damaged).is_err());
    }

    /// Snapshots outlive releases: a state file of the first shape must stay readable.
    #[test]
    fn golden_shape() {
        let text = r#"{"schema":1,"acceleration":"emulated","vcpus":1,"mem_mib":256,"disks_read_only":[true,false],"memory":"file"}"#;
        assert_eq!(serde_json::to_string(&head()).unwrap(), text);
        assert_eq!(serde_json::from_str::<Head>(text).unwrap(), head());
    }
}
