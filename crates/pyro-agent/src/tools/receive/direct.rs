//! Receiving straight into the tree, for trees that nobody has seen yet: as few calls for each file as there can be, and what
//! was written stays when the rest does not come. This file must not look at the order of records.

use super::super::beneath::Beneath;
use super::super::beneath::FOLDER_MODE;
use super::super::beneath::Folder;
use super::super::beneath::name;
use super::super::fault::Fallible;
use super::super::remove;
use super::super::remove::Removed;
use super::Target;
use super::attributes::Attributes;
use super::attributes::Maker;
use super::attributes::times;
use super::file::NewFile;
use super::report::Report;
use crate::refusal::refuse;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tree::Entry;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::rc::Rc;

/// Most bytes of folders' paths that are kept until the end, when nothing changes their times any more. A tree with more
/// folders than that gets some of their times from what came into them later.
const LATER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A folder whose attributes are still to be set.
#[derive(Debug)]
struct Later {
    path: TreePath,
    wanted: Attributes,
    /// Made here, with this mode; one that was there before may have any.
    made: Option<u32>,
}

/// A receive in place.
#[derive(Debug)]
pub(super) struct Direct<'s> {
    beneath: Beneath,
    maker: Maker,
    done: ReceiveDone,
    later: Vec<Later>,
    later_bytes: usize,
    report: Report<'s>,
}

impl<'s> Direct<'s> {
    pub(super) fn new(beneath: Beneath, report: Report<'s>) -> Self {
        Self {
            beneath,
            maker: Maker::new(),
            done: ReceiveDone::default(),
            later: Vec::new(),
            later_bytes: 0,
            report,
        }
    }

    fn parent(&mut self, path: &TreePath) -> Fallible<Rc<Folder>> {
        let mkdir =
            |folder: &TreePath, parent: &Folder| rustix::fs::mkdirat(parent, name(folder), FOLDER_MODE);
        self.beneath.make_parents(path, mkdir)
    }

    /// Calls `make` until nothing is in the way.
    fn make<T>(
        &mut self,
        path: &TreePath,
        mut make: impl FnMut(&Folder, &[u8]) -> Result<T, Errno>,
    ) -> Fallible<T> {
        let parent = self.parent(path)?;
        match make(&parent, name(path)) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(|errno| self.beneath.fault("making", path, errno)),
        }
        if self.remove(path, &parent)? == Removed::Folder {
            self.done.deleted += 1;
        }
        // What was removed may have been the folder itself, by another way.
        let parent = self.parent(path)?;
        make(&parent, name(path)).map_err(|errno| self.beneath.fault("making", path, errno))
    }

    fn remove(&mut self, path: &TreePath, parent: &Folder) -> Fallible<Removed> {
        match remove::thing(parent, name(path)) {
            Ok(removed) => {
                self.beneath.forget();
                Ok(removed)
            }
            Err(errno) => Err(self.beneath.fault("removing", path, errno)),
        }
    }

    fn settle_later(&mut self, later: Later) -> Fallible<()> {
        self.later_bytes += later.path.as_bytes().len() + size_of::<Later>();
        if self.later_bytes > LATER_BYTES_MAX {
            return self.settle(&later);
        }
        self.later.push(later);
        Ok(())
    }

    fn settle(&mut self, later: &Later) -> Fallible<()> {
        let Later { path, wanted, made } = later;
        let settled = if *made == Some(wanted.mode) && !self.maker.must_give(wanted) && !path.is_root() {
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            self.beneath
                .parent(path)
                .and_then(|parent| rustix::fs::utimensat(parent, name(path), &times(wanted.mtime), nofollow))
        } else {
            self.beneath
                .open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
                .and_then(|folder| self.maker.finish(folder, wanted, *made))
        };
        match settled {
            // A later entry took its place.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(self.beneath.fault("setting the attributes of", path, errno)),
        }
    }
}

impl Target for Direct<'_> {
    fn folder(&mut self, entry: Entry) -> Fallible<()> {
        let wanted = Attributes::of(&entry);
        self.done.entries += 1;
        if entry.path.is_root() {
            return self.settle_later(Later { path: entry.path, wanted, made: None });
        }
        // This process must get into it, whatever nobody else may do.
        let mode = (wanted.mode & 0o1777) | 0o700;
        let parent = self.parent(&entry.path)?;
        let made = self.make(&entry.path, |parent, name| {
            match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
                Err(Errno::EXIST) => {
                    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    match FileType::from_raw_mode(found.st_mode) {
                        FileType::Directory => Ok(None),
                        _ => Err(Errno::EXIST),
                    }
                }
                other => other.map(|()| Some(mode)),
            }
        })?;
        let made = if parent.gives_group() { None } else { made };
        self.settle_later(Later { path: entry.path, wanted, made })
    }

    fn begin(&mut self, entry: Entry) -> Fallible<NewFile> {
        let path = entry.path.clone();
        let wanted = Attributes::of(&entry);
        self.make(&path, |parent, name| NewFile::make(parent, name, path.clone(), wanted))
    }

    fn end(&mut self, file: NewFile) -> Fallible<()> {
        let parent = self.parent(file.path())?;
        let inherits = parent.gives_group();
        self.done.entries += 1;
        self.done.bytes += file.bytes();
        file.finish(self.maker, inherits)?;
        self.report.tell(file.path(), || file.look())
    }

    fn link(&mut self, entry: Entry) -> Fallible<()> {
        let wanted = Attributes::of(&entry);
        let maker = self.maker;
        self.done.entries += 1;
        self.make(&entry.path, |parent, name| {
            rustix::fs::symlinkat(entry.target.as_slice(), parent, name)?;
            maker.finish_link(parent, name, &wanted)
        })
    }

    fn hard_link(&mut self, entry: Entry) -> Fallible<()> {
        let target = hard_link_target(&entry)?;
        let from = self.beneath.parent(&target);
        let from = from.map_err(|errno| self.beneath.fault("linking to", &target, errno))?;
        self.done.entries += 1;
        if target == entry.path {
            return Ok(());
        }
        self.make(&entry.path, |parent, into| {
            rustix::fs::linkat(&from, name(&target), parent, into, AtFlags::empty())
        })?;
        let look = || rustix::fs::statat(&from, name(&target), AtFlags::SYMLINK_NOFOLLOW);
        self.report.tell(&target, look)?;
        self.report.tell(&entry.path, look)
    }

    fn delete(&mut self, path: TreePath) -> Fallible<()> {
        match self.beneath.parent(&path) {
            Ok(parent) => {
                let removed = self.remove(&path, &parent)?;
                self.done.deleted += u64::from(removed != Removed::Nothing);
                Ok(())
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(self.beneath.fault("removing", &path, errno)),
        }
    }

    fn expect(&mut self, _: Entry) -> Fallible<()> {
        Err(refuse(ErrorCode::BadRequest, "only a staged receive can expect something"))
    }

    fn prune(&mut self, _: TreePath) -> Fallible<()> {
        Err(refuse(ErrorCode::BadRequest, "only a staged receive can remove what is empty"))
    }

    fn finish(mut self: Box<Self>) -> Fallible<ReceiveDone> {
        for later in std::mem::take(&mut self.later) {
            self.settle(&later)?;
        }
        rustix::fs::syncfs(self.beneath.root())
            .map_err(|errno| self.beneath.fault("flushing", &TreePath::default(), errno))?;
        Ok(self.done)
    }
}

/// The path of the file that a hard link is another name of.
pub(super) fn hard_link_target(entry: &Entry) -> Fallible<TreePath> {
    let target = TreePath::new(entry.target.as_slice());
    target
        .map_err(|error| super::super::fault::malformed("reading a link", &error))
        .and_then(|target| super::check_path(&target).map(|()| target))
}
