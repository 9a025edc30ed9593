//! Opens a guest's disks in this process, so that QEMU is handed descriptors and needs no right to any path.

use super::layers::PassedDisk;
use super::layers::PassedLayer;
use crate::engine::EngineError;
use crate::process::Launch;
use crate::spec::Disk;
use crate::spec::DiskFormat;
use crate::spec::DiskSource;
use crate::spec::Layer;
use rustix::fs::OFlags;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

const OPENING: &str = "opening a guest's disk";

/// Adds each layer's descriptor to what `launch` passes on.
pub(super) fn pass(disks: &[Disk], launch: &mut Launch) -> Result<Vec<PassedDisk>, EngineError> {
    disks.iter().enumerate().map(|(index, disk)| pass_one(index, disk, launch)).collect()
}

fn pass_one(index: usize, disk: &Disk, launch: &mut Launch) -> Result<PassedDisk, EngineError> {
    let Some(top) = disk.layers.len().checked_sub(1) else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it has no layers");
        return Err(EngineError::Host { operation: OPENING, path: unnamed(index), source });
    };
    let mut passed = PassedDisk {
        layers: Vec::with_capacity(disk.layers.len()),
        bytes: 0,
        read_only: disk.read_only,
        durability: disk.durability,
    };
    for (number, layer) in disk.layers.iter().enumerate() {
        let below = (number > 0).then_some(passed.bytes);
        let (file, bytes) = open_layer(index, layer, disk.read_only || number < top, below)?;
        passed.layers.push(PassedLayer { fd: launch.pass(file.into()), format: layer.format });
        passed.bytes = bytes;
    }
    Ok(passed)
}

/// A layer's file with exactly the access QEMU will ask for, and the size of what it holds; `below` is that of the layer below.
fn open_layer(
    disk: usize,
    layer: &Layer,
    read_only: bool,
    below: Option<u64>,
) -> Result<(File, u64), EngineError> {
    let (file, path) = match &layer.source {
        DiskSource::Path(path) => (open(path, read_only), path.clone()),
        DiskSource::File(file) => (with_access(file, read_only), unnamed(disk)),
    };
    let checked = file.and_then(|file| match layer.format {
        DiskFormat::Raw if below.is_some() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a raw image would hide the layers below it"))
        }
        DiskFormat::Raw => Ok((file.metadata()?.len(), file)),
        DiskFormat::Qcow2 => Ok((qcow2_bytes(&file)?, file)),
    });
    let (bytes, file) = checked
        .and_then(|(bytes, file)| same_size(bytes, below).map(|()| (bytes, file)))
        .map_err(|source| EngineError::Host { operation: OPENING, path, source })?;
    Ok((file, bytes))
}

/// The file of a layer that is to be put on a disk of `bytes` of a running guest.
pub(super) fn overlay(disk: usize, file: &File, bytes: u64) -> Result<File, EngineError> {
    let checked = with_access(file, false).and_then(|file| {
        same_size(qcow2_bytes(&file)?, Some(bytes))?;
        Ok(file)
    });
    checked.map_err(|source| EngineError::Host {
        operation: "opening a new layer of a guest's disk",
        path: unnamed(disk),
        source,
    })
}

/// QEMU does not mind a disk that changes its size with a layer; its guest would.
fn same_size(bytes: u64, below: Option<u64>) -> io::Result<()> {
    match below {
        Some(below) if below != bytes => {
            let what = format!("it is {bytes} bytes large, and what lies below it {below}");
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        _ => Ok(()),
    }
}

fn unnamed(disk: usize) -> PathBuf {
    PathBuf::from(format!("disk {disk}"))
}

fn open(path: &std::path::Path, read_only: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(!read_only).open(path)
}

/// The same file with exactly the access QEMU will ask for: it takes no descriptor that allows more.
fn with_access(file: &File, read_only: bool) -> io::Result<File> {
    let wanted = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    if rustix::fs::fcntl_getfl(file)? & OFlags::RWMODE == wanted {
        return file.try_clone();
    }
    open(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), read_only)
}

/// The fields of a qcow2 header that this file looks at: what they are, where, and the value they must have.
const MAGIC: &[u8] = b"QFI\xfb\0\0\0\x03";
const BACKING_AT: usize = 8;
const BYTES_AT: usize = 24;
const CRYPT_AT: usize = 32;
const INCOMPATIBLE_AT: usize = 72;
/// Clusters are allocated in parts. All other features that a reader must know are refused, above all data in another file.
const EXTENDED_L2: u64 = 1 << 4;

/// The size of the disk of which this image is a layer. An image may name other files, which QEMU would open by itself; and
/// a QEMU that was taken over by its guest writes what it likes into the layers it has, for the next one to read. So one
/// that does is refused.
fn qcow2_bytes(image: &File) -> io::Result<u64> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut head = [0; INCOMPATIBLE_AT + 8];
    image.read_exact_at(&mut head, 0).map_err(|_| refused("it is too short for a qcow2 image"))?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    if !head.starts_with(MAGIC) {
        return Err(refused("it is no qcow2 image of version 3"));
    }
    if number(BACKING_AT) != 0 {
        return Err(refused("its qcow2 header names a file to lie below it"));
    }
    // The upper half of what is read there is the method of encryption.
    if number(CRYPT_AT) >> 32 != 0 || number(INCOMPATIBLE_AT) & !EXTENDED_L2 != 0 {
        return Err(refused("its qcow2 header asks for features that are not used here"));
    }
    Ok(number(BYTES_AT))
}

#[cfg(test)]
mod tests {
    use super::super::layer_guest::DISK_BYTES;
    use super::super::layer_guest::qcow2;
    use super::*;

    #[test]
    fn a_layer_that_names_another_file_or_a_strange_feature_is_refused() {
        let image = tempfile::tempfile().unwrap();
        let refused = |bytes: &[u8]| {
            image.set_len(0).unwrap();
            image.write_all_at(bytes, 0).unwrap();
            qcow2_bytes(&image).unwrap_err().to_string()
        };
        let whole = qcow2();
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(refused(&with(BACKING_AT + 7, 112)).contains("below"));
        for (at, byte) in [(INCOMPATIBLE_AT + 7, 1 << 2 | 1 << 4), (INCOMPATIBLE_AT, 1), (CRYPT_AT + 3, 1)] {
            assert!(refused(&with(at, byte)).contains("features"));
        }
        assert!(refused(&with(0, 0)).contains("no qcow2"));
        assert!(refused(&with(7, 2)).contains("no qcow2"));
        assert!(refused(&whole[..60]).contains("short"));
        image.write_all_at(&whole, 0).unwrap();
        assert_eq!(qcow2_bytes(&image).unwrap(), DISK_BYTES);
    }

    #[test]
    fn a_writable_descriptor_becomes_read_only_for_a_read_only_disk() {
        let file = tempfile::tempfile().unwrap();
        let narrowed = with_access(&file, true).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&narrowed).unwrap() & OFlags::RWMODE, OFlags::RDONLY);
        let same = with_access(&file, false).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&same).unwrap() & OFlags::RWMODE, OFlags::RDWR);
    }
}
