//! Work on one thing that the host names by its absolute path: reading it, describing it, renaming it, removing it. This file
//! must not write content.

use super::fault;
use super::fault::Fallible;
use super::listing::describe;
use super::remove;
use super::remove::Removed;
use super::sink::Sink;
use super::walk::Step;
use crate::refusal::refuse;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use pyro_proto::tool::ReadDone;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::fs::StatxAttributes;
use rustix::fs::StatxFlags;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// A thing by the folder it is in: that one is resolved as any program would, the thing itself is not.
pub(super) struct Named {
    pub(super) folder: OwnedFd,
    pub(super) name: Vec<u8>,
}

impl Named {
    /// Splits an absolute path.
    pub(super) fn open(path: &[u8]) -> Fallible<Self> {
        let (parent, name) = split(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(parent, flags, Mode::empty())
            .map_err(|errno| fault::at("opening the directory of", path, errno))?;
        Ok(Self { folder, name: name.to_vec() })
    }
}

/// A path's folder and its last component, which must be a name: no tool is about the root itself.
pub(super) fn split(path: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut trimmed = path;
    while let [rest @ .., b'/'] = trimmed {
        trimmed = rest;
    }
    let slash = trimmed.iter().rposition(|byte| *byte == b'/');
    let (Some(slash), true) = (slash, path.starts_with(b"/")) else {
        return Err(fault::at(
            "using",
            path,
            if path.starts_with(b"/") { Errno::BUSY } else { Errno::INVAL },
        ));
    };
    let (parent, name) = (&trimmed[..=slash], &trimmed[slash + 1..]);
    match name {
        b"." | b".." => Err(fault::at("using", path, Errno::INVAL)),
        _ => Ok((parent, name)),
    }
}

pub(super) fn read(path: &[u8], offset: u64, length: u64, sink: &mut Sink) -> Fallible<ReadDone> {
    let failed = |errno| fault::at("reading", path, errno);
    let step = Step::root(path);
    // Opening a FIFO or a device may do something.
    match FileType::from_raw_mode(step.look().map_err(failed)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(failed(Errno::ISDIR)),
        _ => {
            let text = format!("'{}' is a socket, FIFO or device", crate::names::shown(path));
            return Err(refuse(ErrorCode::BadRequest, text));
        }
    }
    let file = step.open(OFlags::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    let entry = describe(TreePath::default(), &stat);
    let mut done = ReadDone { size_bytes: entry.size_bytes, bytes: 0 };
    sink.record(&Record::Entry(entry))?;
    // To the end, whatever the size: the kernel's own files say that they have none.
    while done.bytes < length {
        let Some(at) = offset.checked_add(done.bytes).filter(|at| i64::try_from(*at).is_ok()) else { break };
        match sink.content(&file, at, length - done.bytes)? {
            // Some of the kernel's own files have no end, and nothing more for now.
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(count) => done.bytes += count as u64,
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(done)
}

pub(super) fn stat(path: &[u8], sink: &mut Sink) -> Fallible<()> {
    let failed = |errno| fault::at("looking at", path, errno);
    let found = rustix::fs::lstat(path).map_err(failed)?;
    let mut entry = describe(TreePath::default(), &found);
    if entry.kind == EntryKind::Symlink {
        entry.target = rustix::fs::readlink(path, Vec::new()).map_err(failed)?.into_bytes();
    }
    sink.record(&Record::Entry(entry))
}

pub(super) fn rename(from: &[u8], to: &[u8], replace: bool) -> Fallible<()> {
    let (source, target) = (Named::open(from)?, Named::open(to)?);
    let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    let renamed = rustix::fs::renameat_with(
        &source.folder,
        source.name.as_slice(),
        &target.folder,
        target.name.as_slice(),
        flags,
    );
    renamed.map_err(|errno| {
        // What stands in the way is at the target, what is missing is not.
        let blamed = match errno {
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR => to,
            _ => from,
        };
        fault::at("renaming", blamed, errno)
    })?;
    // What was told to be done must not be undone by a guest that dies.
    flush(&target, to).and_then(|()| flush(&source, from))
}

pub(super) fn flush(named: &Named, path: &[u8]) -> Fallible<()> {
    match rustix::fs::fsync(&named.folder) {
        // Not every file system can, and those that cannot keep nothing.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(fault::at("flushing the directory of", path, errno)),
    }
}

pub(super) fn delete(path: &[u8], recursive: bool) -> Fallible<()> {
    let failed = |errno| fault::at("removing", path, errno);
    let named = Named::open(path)?;
    let name = named.name.as_slice();
    if is_mount(&named).map_err(failed)? {
        return Err(failed(Errno::BUSY));
    }
    if recursive {
        return match remove::thing(&named.folder, name).map_err(failed)? {
            Removed::Nothing => Err(failed(Errno::NOENT)),
            Removed::File | Removed::Folder => flush(&named, path),
        };
    }
    let found = rustix::fs::statat(&named.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err(failed(Errno::ISDIR));
    }
    rustix::fs::unlinkat(&named.folder, name, AtFlags::empty()).map_err(failed)?;
    flush(&named, path)
}

/// Whether something else is mounted there; the kernel would only say so after what is in it was removed.
pub(super) fn is_mount(named: &Named) -> Result<bool, Errno> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statx(&named.folder, named.name.as_slice(), nofollow, StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Flushes everything, whichever file system it is on.
pub(super) fn sync() -> Fallible<()> {
    for path in ["/workspace", "/"] {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            // On a host there is no such folder.
            Err(Errno::NOENT) => Ok(()),
            opened => opened.and_then(rustix::fs::syncfs),
        };
        synced.map_err(|errno| fault::at("flushing", path.as_bytes(), errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_in_a_folder_can_be_worked_on() {
        assert_eq!(split(b"/a/b/").unwrap(), (&b"/a/"[..], &b"b"[..]));
        assert_eq!(split(b"/a").unwrap(), (&b"/"[..], &b"a"[..]));
        for bad in ["/", "//", "", "a", "a/b", "/a/..", "/.", "/a/./"] {
            assert!(split(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
