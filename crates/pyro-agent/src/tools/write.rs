//! Replacing one file's content as a whole: written aside, flushed, renamed, so that whoever reads it sees the old content or
//! the new. This file must not leave a file without a name, or half a one, behind.

use super::fault;
use super::fault::Fallible;
use super::single::Named;
use super::single::split;
use super::source::Source;
use super::source::cut_short;
use crate::refusal::refuse;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use pyro_proto::tool::WriteDone;
use pyro_proto::tree::Record;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::fs::Uid;
use rustix::io::Errno;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;

/// Most links that are followed to the file.
const LINKS_MAX: usize = 40;

/// Permissions of a new file that nobody said more of.
const MODE_DEFAULT: u32 = 0o644;

/// How a write is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) mode: Option<u32>,
    pub(super) make_parents: bool,
    pub(super) create_new: bool,
}

pub(super) fn run(path: &[u8], how: How, source: &mut Source) -> Fallible<WriteDone> {
    let failed = |errno| fault::at("writing", path, errno);
    if how.mode.is_some_and(|mode| mode & !0o7777 != 0) {
        return Err(refuse(ErrorCode::BadRequest, "a mode has more than permission bits"));
    }
    if how.make_parents {
        make_parents(path)?;
    }
    let path = if how.create_new { path.to_vec() } else { follow(path)? };
    let named = Named::open(&path)?;
    let old = look(&named).map_err(failed)?;
    check(&path, old.as_ref(), how)?;
    let mut aside = Aside::make(&named).map_err(failed)?;
    let bytes = take_content(&aside.file, &path, source)?;
    let finished = aside.attributes(old.as_ref(), how).and_then(|()| rustix::fs::fsync(&aside.file));
    finished.and_then(|()| aside.put_in_place(how.create_new)).map_err(failed)?;
    // The name is as important as the content.
    rustix::fs::fsync(&named.folder).map_err(failed)?;
    Ok(WriteDone { bytes, created: old.is_none() })
}

fn check(path: &[u8], old: Option<&Stat>, how: How) -> Result<(), WireError> {
    let Some(old) = old else { return Ok(()) };
    match FileType::from_raw_mode(old.st_mode) {
        _ if how.create_new => Err(fault::at("making", path, Errno::EXIST)),
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(fault::at("writing", path, Errno::ISDIR)),
        _ => {
            let text = format!("'{}' is a socket, FIFO or device", crate::names::shown(path));
            Err(refuse(ErrorCode::BadRequest, text))
        }
    }
}

fn make_parents(path: &[u8]) -> Fallible<()> {
    let (parent, _) = split(path)?;
    let folder = std::path::Path::new(std::ffi::OsStr::from_bytes(parent));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    made.map_err(|error| match Errno::from_io_error(&error) {
        // Something that is no folder is where one is needed.
        None | Some(Errno::EXIST) => fault::at("making", parent, Errno::NOTDIR),
        Some(errno) => fault::at("making", parent, errno),
    })
}

/// The path of the file itself, whatever links lead to it, and even if the last one leads nowhere yet.
fn follow(path: &[u8]) -> Fallible<Vec<u8>> {
    let mut path = path.to_vec();
    for _ in 0..LINKS_MAX {
        let (parent, _) = split(&path)?;
        match rustix::fs::readlink(path.as_slice(), Vec::new()) {
            Ok(target) => {
                let target = target.into_bytes();
                path = if target.starts_with(b"/") { target } else { [parent, &target].concat() };
            }
            // No link, or nothing there, which whoever opens it will find too.
            Err(_) => return Ok(path),
        }
    }
    Err(fault::at("following", &path, Errno::LOOP))
}

fn look(named: &Named) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(&named.folder, named.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn take_content(file: &OwnedFd, path: &[u8], source: &mut Source) -> Fallible<u64> {
    let failed = |errno| fault::at("writing", path, errno);
    let mut end = 0_u64;
    while let Some(record) = source.next()? {
        match record {
            Record::Data(bytes) => end = write_at(file, &bytes, end).map_err(failed)?,
            Record::Hole(bytes) => {
                end = end.checked_add(bytes).ok_or_else(|| failed(Errno::FBIG))?;
                rustix::fs::ftruncate(file, end).map_err(failed)?;
            }
            Record::Done(_) => return Ok(end),
            _ => return Err(refuse(ErrorCode::BadRequest, "a file's content holds something else")),
        }
    }
    Err(cut_short())
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<u64, Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(at)
}

/// A file that is written aside: without a name where the file system has such files, so that nothing is left of it
/// whatever happens.
struct Aside<'a> {
    file: OwnedFd,
    named: &'a Named,
    /// Its name for now, while it has one.
    name: Option<String>,
}

impl<'a> Aside<'a> {
    fn make(named: &'a Named) -> Result<Self, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&named.folder, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => return Ok(Self { file, named, name: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
        let name = unused_name();
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::openat(&named.folder, name.as_str(), flags, mode)?;
        Ok(Self { file, named, name: Some(name) })
    }

    fn attributes(&self, old: Option<&Stat>, how: How) -> Result<(), Errno> {
        if let Some(old) = old {
            let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            match rustix::fs::fchown(&self.file, Some(uid), Some(gid)) {
                // Only root can give things away, and tools of a guest are root.
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        let mode = how.mode.or_else(|| old.map(|old| old.st_mode & 0o7777)).unwrap_or(MODE_DEFAULT);
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))
    }

    fn put_in_place(&mut self, create_new: bool) -> Result<(), Errno> {
        let (folder, name) = (&self.named.folder, self.named.name.as_slice());
        if create_new {
            return match self.name.take() {
                None => self.link(name),
                Some(aside) => {
                    let flags = rustix::fs::RenameFlags::NOREPLACE;
                    let renamed = rustix::fs::renameat_with(folder, aside.as_str(), folder, name, flags);
                    self.name = renamed.is_err().then_some(aside);
                    renamed
                }
            };
        }
        if self.name.is_none() {
            let aside = unused_name();
            self.link(aside.as_bytes())?;
            self.name = Some(aside);
        }
        if let Some(aside) = &self.name {
            rustix::fs::renameat(folder, aside.as_str(), folder, name)?;
        }
        self.name = None;
        Ok(())
    }

    /// Gives a file without a name one.
    fn link(&self, name: &[u8]) -> Result<(), Errno> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, own, &self.named.folder, name, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The failure that led here is the one to tell.
            let _ = rustix::fs::unlinkat(&self.named.folder, name.as_str(), AtFlags::empty());
        }
    }
}

fn unused_name() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let pid = rustix::process::getpid().as_raw_nonzero();
    format!(".pyro-write-{pid:x}-{:x}", now.tv_sec ^ (now.tv_nsec << 20))
}
