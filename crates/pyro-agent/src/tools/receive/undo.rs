//! The way back: each step of putting things in place is written down in the stage before it is taken, and taken back from the
//! last to the first if a later one fails, or by the next receive or start if this one is killed. This file must not go
//! forward.
//!
//! Links are made by the journal of the file system as renames are, in the order in which they are done: also when the machine
//! stops dead there is no rename on the disk without its way back. The content of files has no such place in that order, not
//! even where it is journalled.
//!
//! Taking back may be killed too, and is begun again then. So a step is struck out only after it was taken back, and one that
//! was never taken, or is taken back already, is found to be so by looking.

use super::super::beneath::Beneath;
use super::super::beneath::name;
use super::super::fault::Fallible;
use super::attributes::Attributes;
use super::attributes::Maker;
use super::step;
use super::step::Step;
use pyro_proto::message::WireError;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The steps so far.
#[derive(Debug)]
pub(super) struct Undo {
    stage: OwnedFd,
    steps: u64,
    /// The folder whose attributes were written down last.
    entered: Option<TreePath>,
}

impl Undo {
    /// Begins, for a root at `below` the folder its stages are in.
    pub(super) fn new(stage: &OwnedFd, below: &TreePath) -> Result<Self, Errno> {
        let stage = rustix::fs::openat(stage, ".", FOLDER, Mode::empty())?;
        let mut undo = Self { stage, steps: 0, entered: None };
        undo.step(below, &Step::Began, || Ok(()))?;
        Ok(undo)
    }

    /// Writes down how the folder that `path` is in looks, before something in it changes: its time changes with that.
    pub(super) fn enter(&mut self, path: &TreePath, folder: impl AsFd) -> Result<(), Errno> {
        let Some(path) = path.parent().filter(|parent| self.entered.as_ref() != Some(parent)) else {
            return Ok(());
        };
        let found = Attributes::found(&rustix::fs::fstat(folder)?);
        self.step(&path, &Step::Changed(found), || Ok(()))?;
        self.entered = Some(path);
        Ok(())
    }

    /// Writes a step down and takes it; one that fails was not taken.
    pub(super) fn step(
        &mut self,
        path: &TreePath,
        step: &Step,
        take: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        match step::write(&self.stage, self.steps, path, step).and_then(|()| take()) {
            Ok(()) => {
                self.steps += 1;
                Ok(())
            }
            Err(errno) => {
                step::strike(&self.stage, self.steps)?;
                Err(errno)
            }
        }
    }
}

/// There is no way back any more: what was put in place stays.
pub(super) fn forget(stage: &OwnedFd) -> Result<(), Errno> {
    step::strike(stage, 0)
}

/// The root that steps were taken in, as the way to it from where its stages are; `None` when none was taken.
pub(super) fn root(stage: &OwnedFd) -> Result<Option<TreePath>, Errno> {
    match step::read(stage, 0)? {
        None => Ok(None),
        Some((path, Step::Began)) => Ok(Some(path)),
        Some(_) => Err(Errno::UCLEAN),
    }
}

/// Takes back all steps that are written down. Those that cannot be taken back stay written down, and the others are taken
/// back all the same.
pub(super) fn take_back_all(stage: &OwnedFd, beneath: &mut Beneath) -> Fallible<()> {
    let root = TreePath::default();
    let numbers = step::numbers_down(stage).map_err(|errno| beneath.fault("taking back in", &root, errno))?;
    let mut failed = None;
    for number in numbers.into_iter().filter(|number| *number > 0) {
        beneath.forget();
        let taken_back = match step::read(stage, number) {
            Ok(Some((path, step))) => take_back(&Back { stage, number }, beneath, &path, &step)
                .and_then(|()| step::strike(stage, number))
                .map_err(|errno| beneath.fault("putting back", &path, errno)),
            Ok(None) => Err(beneath.fault("taking back in", &root, Errno::UCLEAN)),
            Err(errno) => Err(beneath.fault("taking back in", &root, errno)),
        };
        if let Err(error) = taken_back {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A step being taken back.
struct Back<'a> {
    stage: &'a OwnedFd,
    number: u64,
}

fn take_back(back: &Back<'_>, beneath: &mut Beneath, path: &TreePath, step: &Step) -> Result<(), Errno> {
    let parent = match (beneath.parent(path), step) {
        // Somebody else has removed what it is in, and this with it.
        (
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP),
            Step::Placed(_) | Step::Made | Step::Changed(_),
        ) => {
            return Ok(());
        }
        (parent, _) => parent?,
    };
    let (name, stage) = (name(path), back.stage);
    match step {
        Step::Began => Ok(()),
        Step::Placed(number) => {
            match rustix::fs::renameat_with(&parent, name, stage, number.to_string(), RenameFlags::NOREPLACE)
            {
                // It is in the stage, or somebody else has removed it.
                Err(Errno::EXIST | Errno::NOENT) => Ok(()),
                other => other,
            }
        }
        Step::Swapped(number, inode) => {
            let number = number.to_string();
            match rustix::fs::statat(stage, number.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if found.st_ino == *inode => return Ok(()),
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            match rustix::fs::renameat_with(stage, number.as_str(), &parent, name, RenameFlags::EXCHANGE) {
                Err(Errno::NOENT) => rustix::fs::renameat(stage, number, &parent, name),
                other => other,
            }
        }
        Step::Removed(number) => {
            match rustix::fs::renameat_with(stage, number.to_string(), &parent, name, RenameFlags::NOREPLACE)
            {
                // It is where it was. What is there meanwhile, if it is something else, is not overwritten.
                Err(Errno::NOENT) => Ok(()),
                other => other,
            }
        }
        Step::Made => match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            // Somebody else has put something into it or removed it.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(()),
            other => other,
        },
        Step::Unmade(attributes) => make_again(back, &parent, name, attributes),
        Step::Changed(attributes) => match beneath.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => Maker::new().finish(folder, attributes, None),
            // Somebody else has removed it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(errno),
        },
    }
}

/// Makes a folder that was removed, in the stage first: it must not be seen half made, which nobody could tell from one that
/// somebody else made.
fn make_again(back: &Back<'_>, parent: impl AsFd, name: &[u8], attributes: &Attributes) -> Result<(), Errno> {
    let aside = format!("again{}", back.number);
    match rustix::fs::unlinkat(back.stage, aside.as_str(), AtFlags::REMOVEDIR) {
        // One is left of a way back that was cut.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::mkdirat(back.stage, aside.as_str(), Mode::RWXU)?;
    let folder = rustix::fs::openat(back.stage, aside.as_str(), FOLDER, Mode::empty())?;
    Maker::new().finish(&folder, attributes, None)?;
    let place =
        || rustix::fs::renameat_with(back.stage, aside.as_str(), &parent, name, RenameFlags::NOREPLACE);
    let placed = match place() {
        // Only root may move a folder that its owner may not write to.
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(attributes.mode | 0o700))?;
            place().and_then(|()| rustix::fs::fchmod(&folder, Mode::from_raw_mode(attributes.mode)))
        }
        other => other,
    };
    match placed {
        // It is there, or somebody else has made it.
        Err(Errno::EXIST) => rustix::fs::unlinkat(back.stage, aside, AtFlags::REMOVEDIR),
        other => other,
    }
}

/// What to say when the way forward and the way back both failed.
pub(super) fn both_failed(forward: &WireError, back: &WireError, stage: &str) -> WireError {
    let message = format!(
        "{}; not everything could be put back ({}), what is missing is in '{stage}'",
        forward.message, back.message
    );
    WireError { message: crate::refusal::cut(message), ..forward.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let stage = rustix::fs::open(folder.path(), FOLDER, Mode::empty()).unwrap();
        let (below, path) = (TreePath::new("way/down").unwrap(), TreePath::new("a").unwrap());
        let mut undo = Undo::new(&stage, &below).unwrap();
        assert_eq!(undo.step(&path, &Step::Made, || Err(Errno::BUSY)), Err(Errno::BUSY));
        assert_eq!(step::numbers_down(&stage), Ok(vec![0]));
        let written =
            || step::read(&stage, 1).map(|found| assert_eq!(found, Some((path.clone(), Step::Made))));
        undo.step(&path, &Step::Made, written).unwrap();
        assert_eq!(root(&stage), Ok(Some(below)));
        forget(&stage).unwrap();
        assert_eq!((root(&stage), step::numbers_down(&stage)), (Ok(None), Ok(vec![1])));
    }
}
