//! Receiving all at once: everything is written beside the tree, and a plan of what goes where; when all of it has come, the
//! plan is carried out by renames, each of which can be taken back. This file must not write into the tree before that.

use super::super::beneath::Beneath;
use super::super::beneath::FOLDER_MODE;
use super::super::beneath::Folder;
use super::super::beneath::name;
use super::super::fault::Fallible;
use super::super::walk::list;
use super::Target;
use super::attributes::Attributes;
use super::attributes::Maker;
use super::direct::hard_link_target;
use super::expect;
use super::file::NewFile;
use super::home::Home;
use super::plan::Plan;
use super::report::Report;
use super::stage;
use super::stage::Stage;
use super::step::Step;
use super::undo;
use super::undo::Undo;
use pyro_proto::message::WireError;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::rc::Rc;

/// A staged receive.
#[derive(Debug)]
pub(super) struct Staged<'s> {
    beneath: Beneath,
    home: Home,
    maker: Maker,
    stage: Stage,
    plan: Plan,
    done: ReceiveDone,
    /// What the file that is being written is in the plan.
    writing: Option<Entry>,
    report: Report<'s>,
}

impl<'s> Staged<'s> {
    pub(super) fn new(beneath: Beneath, home: Home, report: Report<'s>) -> Fallible<Self> {
        let stage = Stage::new(&beneath, &home)?;
        let plan = Plan::new(&stage.folder)
            .map_err(|errno| beneath.fault("collecting in", &TreePath::default(), errno))?;
        let (maker, done) = (Maker::new(), ReceiveDone::default());
        Ok(Self { beneath, home, maker, stage, plan, done, writing: None, report })
    }

    fn plan(&mut self, record: &Record) -> Fallible<()> {
        self.plan
            .add(record)
            .map_err(|errno| self.beneath.fault("collecting in", &TreePath::default(), errno))
    }

    fn plan_entry(&mut self, entry: Entry) -> Fallible<()> {
        self.done.entries += 1;
        self.plan(&Record::Entry(entry))
    }

    /// An entry as the plan has it: under its number in the stage.
    fn numbered(&mut self, mut entry: Entry) -> Entry {
        entry.inode = self.stage.number();
        entry
    }
}

impl Target for Staged<'_> {
    fn folder(&mut self, entry: Entry) -> Fallible<()> {
        let entry = self.numbered(entry);
        self.plan_entry(entry)
    }

    fn begin(&mut self, entry: Entry) -> Fallible<NewFile> {
        let entry = self.numbered(entry);
        let (number, wanted) = (entry.inode.to_string(), Attributes::of(&entry));
        let made = NewFile::make(&self.stage.folder, number.as_bytes(), entry.path.clone(), wanted);
        let file = made.map_err(|errno| self.beneath.fault("making", &entry.path, errno))?;
        self.writing = Some(entry);
        Ok(file)
    }

    fn end(&mut self, file: NewFile) -> Fallible<()> {
        self.done.bytes += file.bytes();
        file.finish(self.maker, false)?;
        self.writing.take().map_or(Ok(()), |entry| self.plan_entry(entry))
    }

    fn link(&mut self, entry: Entry) -> Fallible<()> {
        let entry = self.numbered(entry);
        let (number, wanted) = (entry.inode.to_string(), Attributes::of(&entry));
        rustix::fs::symlinkat(entry.target.as_slice(), &self.stage.folder, number.as_str())
            .and_then(|()| self.maker.finish_link(&self.stage.folder, number.as_bytes(), &wanted))
            .map_err(|errno| self.beneath.fault("making", &entry.path, errno))?;
        self.plan_entry(entry)
    }

    fn hard_link(&mut self, entry: Entry) -> Fallible<()> {
        hard_link_target(&entry)?;
        let entry = self.numbered(entry);
        self.plan_entry(entry)
    }

    fn delete(&mut self, path: TreePath) -> Fallible<()> {
        self.plan(&Record::Delete(path))
    }

    fn expect(&mut self, entry: Entry) -> Fallible<()> {
        self.plan(&Record::Expect(entry))
    }

    fn prune(&mut self, path: TreePath) -> Fallible<()> {
        self.plan(&Record::Prune(path))
    }

    fn finish(mut self: Box<Self>) -> Fallible<ReceiveDone> {
        let root = TreePath::default();
        // Nothing is put in place that is not on the disk: a machine that stops dead must not leave empty files.
        let ready = self.plan.end().and_then(|()| rustix::fs::syncfs(&self.stage.folder));
        let ready = ready.and_then(|()| {
            let alone = self.home.alone()?;
            // Whoever was killed meanwhile put something in place before this: it could not be taken back after this.
            let _ = stage::clear_stale(&self.home, &alone);
            let mut undo = Undo::new(&self.stage.folder, &self.home.below)?;
            if self.home.below.is_root() {
                undo.step(&root, &Step::Changed(self.stage.home_before()?), || Ok(()))?;
            }
            Ok((alone, undo))
        });
        let (_alone, undo) = ready.map_err(|errno| self.beneath.fault("collecting in", &root, errno))?;
        let mut commit = Commit { all: &mut self, undo };
        if let Err(error) = commit.run() {
            return Err(self.take_back(error));
        }
        if let Err(errno) = undo::forget(&self.stage.folder) {
            let error = self.beneath.fault("putting everything in place in", &root, errno);
            return Err(self.take_back(error));
        }
        let Self { beneath, mut stage, done, .. } = *self;
        stage.settle();
        drop(stage);
        rustix::fs::syncfs(beneath.root()).map_err(|errno| beneath.fault("flushing", &root, errno))?;
        Ok(done)
    }
}

impl Staged<'_> {
    /// Puts everything back; what to tell the host.
    fn take_back(&mut self, error: WireError) -> WireError {
        match undo::take_back_all(&self.stage.folder, &mut self.beneath) {
            Ok(()) => error,
            Err(back) => {
                self.stage.keep();
                undo::both_failed(&error, &back, &self.stage.shown())
            }
        }
    }
}

/// The plan being carried out.
struct Commit<'a, 's> {
    all: &'a mut Staged<'s>,
    undo: Undo,
}

impl Commit<'_, '_> {
    fn run(&mut self) -> Fallible<()> {
        let mut steps = self.all.plan.reader();
        while let Some(record) = steps.next()? {
            match record {
                Record::Entry(entry) if entry.kind == EntryKind::Directory => self.folder(&entry)?,
                Record::Entry(entry) => {
                    self.place(&entry)?;
                    self.report(&entry)?;
                }
                Record::Delete(path) => self.delete(&path)?,
                Record::Expect(entry) => expect::check(&mut self.all.beneath, &entry)?,
                Record::Prune(path) => self.prune(&path)?,
                _ => {}
            }
        }
        // Nothing changes the folders' times from here on.
        let mut steps = self.all.plan.reader();
        while let Some(record) = steps.next()? {
            if let Record::Entry(entry) = record
                && entry.kind == EntryKind::Directory
            {
                self.change(&entry)?;
            }
        }
        Ok(())
    }

    fn fault(&self, doing: &str, path: &TreePath, errno: Errno) -> WireError {
        self.all.beneath.fault(doing, path, errno)
    }

    fn parent(&mut self, path: &TreePath) -> Fallible<Rc<Folder>> {
        let Self { all, undo } = self;
        all.beneath.make_parents(path, |folder, parent| {
            undo.enter(folder, parent)?;
            undo.step(folder, &Step::Made, || rustix::fs::mkdirat(parent, name(folder), FOLDER_MODE))
        })
    }

    fn folder(&mut self, entry: &Entry) -> Fallible<()> {
        let path = &entry.path;
        if path.is_root() {
            return Ok(());
        }
        let parent = self.parent(path)?;
        match self.found(&parent, path)? {
            Some(found) if is(&found, FileType::Directory) => return Ok(()),
            Some(_) => self.remove(&parent, path)?,
            None => {}
        }
        let made = self.undo.enter(path, &*parent).and_then(|()| {
            self.undo.step(path, &Step::Made, || rustix::fs::mkdirat(&parent, name(path), FOLDER_MODE))
        });
        made.map_err(|errno| self.fault("making", path, errno))
    }

    /// Puts a thing of the stage in place.
    fn place(&mut self, entry: &Entry) -> Fallible<()> {
        let (path, number) = (&entry.path, entry.inode.to_string());
        if entry.kind == EntryKind::HardLink {
            let target = hard_link_target(entry)?;
            if target == *path {
                return Ok(());
            }
            self.link_in_stage(&target, &number)?;
        }
        let parent = self.parent(path)?;
        let Some(found) = self.found(&parent, path)? else {
            let put = self.put(entry, &parent, &number);
            return put.map_err(|errno| self.fault("putting in place", path, errno));
        };
        let stage = &self.all.stage.folder;
        let swapped = self.undo.enter(path, &*parent).and_then(|()| {
            let new = rustix::fs::statat(stage, number.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            self.undo.step(path, &Step::Swapped(entry.inode, new.st_ino), || {
                rustix::fs::renameat_with(stage, number.as_str(), &parent, name(path), RenameFlags::EXCHANGE)
            })
        });
        match swapped {
            Ok(()) => {}
            Err(Errno::XDEV) => {
                self.remove(&parent, path)?;
                self.put(entry, &parent, &number).map_err(|errno| self.fault("replacing", path, errno))?;
            }
            Err(errno) => return Err(self.fault("replacing", path, errno)),
        }
        if is(&found, FileType::Directory) {
            self.all.done.deleted += 1;
            self.all.beneath.forget();
        }
        Ok(())
    }

    /// Tells how what was put in place lies there; a name more changes the file that has it.
    fn report(&mut self, entry: &Entry) -> Fallible<()> {
        let Staged { beneath, report, .. } = &mut *self.all;
        let mut tell = |path: &TreePath| {
            report.tell(path, || {
                let parent = beneath.parent(path)?;
                rustix::fs::statat(&parent, name(path), AtFlags::SYMLINK_NOFOLLOW)
            })
        };
        match entry.kind {
            EntryKind::File => tell(&entry.path),
            EntryKind::HardLink => tell(&hard_link_target(entry)?).and_then(|()| tell(&entry.path)),
            _ => Ok(()),
        }
    }

    /// Puts a thing of the stage where nothing is.
    fn put(&mut self, entry: &Entry, parent: &Folder, number: &str) -> Result<(), Errno> {
        let (stage, name) = (&self.all.stage.folder, name(&entry.path));
        self.undo.enter(&entry.path, parent)?;
        self.undo.step(&entry.path, &Step::Placed(entry.inode), || {
            rustix::fs::renameat_with(stage, number, parent, name, RenameFlags::NOREPLACE)
        })
    }

    fn link_in_stage(&mut self, target: &TreePath, number: &str) -> Fallible<()> {
        let stage = &self.all.stage.folder;
        let linked = self
            .all
            .beneath
            .parent(target)
            .and_then(|folder| rustix::fs::linkat(folder, name(target), stage, number, AtFlags::empty()));
        linked.map_err(|errno| self.fault("linking to", target, errno))
    }

    fn delete(&mut self, path: &TreePath) -> Fallible<()> {
        let parent = match self.all.beneath.parent(path) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(self.fault("removing", path, errno)),
        };
        if self.found(&parent, path)?.is_some() {
            self.remove(&parent, path)?;
            self.all.done.deleted += 1;
        }
        Ok(())
    }

    fn remove(&mut self, parent: &Folder, path: &TreePath) -> Fallible<()> {
        let number = self.all.stage.number();
        let stage = &self.all.stage.folder;
        let removed = self.undo.enter(path, parent).and_then(|()| {
            self.undo.step(path, &Step::Removed(number), || {
                rustix::fs::renameat_with(
                    parent,
                    name(path),
                    stage,
                    number.to_string(),
                    RenameFlags::NOREPLACE,
                )
            })
        });
        match removed {
            Ok(()) => {}
            Err(Errno::XDEV) => self.dissolve(parent, path)?,
            Err(errno) => return Err(self.fault("removing", path, errno)),
        }
        self.all.beneath.forget();
        Ok(())
    }

    /// Removes a folder that cannot be moved, because it is of a layer below an overlay: what is in it can be.
    fn dissolve(&mut self, parent: &Folder, path: &TreePath) -> Fallible<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(parent, name(path), flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => Err(Errno::XDEV),
            other => other,
        };
        let listed = opened.and_then(|folder| {
            let (found, names) = (rustix::fs::fstat(&folder)?, list(&folder)?);
            Ok((Folder::new(folder), Attributes::found(&found), names))
        });
        let (folder, attributes, names) = listed.map_err(|errno| self.fault("removing", path, errno))?;
        for (inner, _) in names {
            let inner = path.join(&inner).map_err(|_| self.fault("removing", path, Errno::NAMETOOLONG))?;
            self.remove(&folder, &inner)?;
        }
        let removed = self.undo.enter(path, parent).and_then(|()| {
            self.undo.step(path, &Step::Unmade(attributes), || {
                rustix::fs::unlinkat(parent, name(path), AtFlags::REMOVEDIR)
            })
        });
        removed.map_err(|errno| self.fault("removing", path, errno))
    }

    /// Removes a folder that is empty; the kernel looks and removes at once, so nothing that comes into it meanwhile is lost.
    fn prune(&mut self, path: &TreePath) -> Fallible<()> {
        let open = self.all.beneath.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let found = match open.and_then(rustix::fs::fstat) {
            Ok(stat) => Attributes::found(&stat),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(self.fault("looking at", path, errno)),
        };
        let parent = self.parent(path)?;
        let pruned = self.undo.enter(path, &*parent).and_then(|()| {
            self.undo.step(path, &Step::Unmade(found), || {
                rustix::fs::unlinkat(&parent, name(path), AtFlags::REMOVEDIR)
            })
        });
        match pruned {
            Ok(()) => {
                self.all.beneath.forget();
                self.all.done.deleted += 1;
                Ok(())
            }
            // Something is in it, is mounted there, or it is gone.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(self.fault("removing", path, errno)),
        }
    }

    /// Gives a folder its attributes, whether it was made here or not.
    fn change(&mut self, entry: &Entry) -> Fallible<()> {
        let path = &entry.path;
        let folder = match self.all.beneath.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            // A later entry took its place.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(self.fault("opening", path, errno)),
        };
        let wanted = Attributes::of(entry);
        let maker = self.all.maker;
        let changed = rustix::fs::fstat(&folder).and_then(|found| {
            let found = Attributes::found(&found);
            if found == wanted {
                return Ok(());
            }
            self.undo.step(path, &Step::Changed(found), || maker.finish(&folder, &wanted, None))
        });
        changed.map_err(|errno| self.fault("setting the attributes of", path, errno))
    }

    fn found(&self, parent: &Folder, path: &TreePath) -> Fallible<Option<Stat>> {
        match rustix::fs::statat(parent, name(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fault("looking at", path, errno)),
        }
    }
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}
