//! The folder that a staged receive collects everything in: on the same mount, so that a rename is all it takes
//! to put a thing in place. This file must not change anything outside of it but by way of `undo`.
//!
//! One that a killed receive left behind is put right by the next one: what was put in place is taken back, and the folder
//! goes. A lock tells those from one that is in use.

use super::super::beneath::Beneath;
use super::super::beneath::Folder;
use super::super::fault;
use super::super::fault::Fallible;
use super::super::remove;
use super::attributes::Attributes;
use super::attributes::times;
use super::home::Alone;
use super::home::Home;
use super::undo;
use pyro_proto::tree::STAGE_PREFIX;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::rc::Rc;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Tries at a name that nothing has yet.
const NAMES_MAX: u32 = 16;

/// A folder to collect things in; removed with all that is left in it when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    home: Rc<Folder>,
    name: Vec<u8>,
    /// The folder; holds the lock.
    pub(super) folder: OwnedFd,
    numbered: u64,
    /// What is in it is needed although the receive is over.
    keep: bool,
    /// The time of the folder it is in, which its coming and going must not change.
    home_time: Option<Timestamp>,
}

impl Stage {
    pub(super) fn new(beneath: &Beneath, home: &Home) -> Fallible<Self> {
        let home_time = time(&home.folder);
        let (name, folder) = make(&home.folder)
            .map_err(|errno| beneath.fault("collecting things for", &TreePath::default(), errno))?;
        Ok(Self { home: Rc::clone(&home.folder), name, folder, numbered: 0, keep: false, home_time })
    }

    /// A name for one more thing in it.
    pub(super) const fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// How the folder it is in looked before.
    pub(super) fn home_before(&self) -> Result<Attributes, Errno> {
        let found = Attributes::found(&rustix::fs::fstat(&self.home)?);
        Ok(Attributes { mtime: self.home_time.unwrap_or(found.mtime), ..found })
    }

    /// What people find it by.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// What has been done to the tree by now stays.
    pub(super) fn settle(&mut self) {
        self.home_time = time(&self.home);
    }

    /// Leaves it where it is.
    pub(super) const fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is removed by the next receive.
            let _ = remove::thing(&self.home, &self.name);
            if let Some(mtime) = self.home_time {
                // Nobody's data depends on it.
                let _ = rustix::fs::futimens(&self.home, &times(mtime));
            }
        }
    }
}

fn time(folder: &Folder) -> Option<Timestamp> {
    rustix::fs::fstat(folder).ok().map(|stat| Attributes::found(&stat).mtime)
}

fn make(home: &Folder) -> Result<(Vec<u8>, OwnedFd), Errno> {
    let pid = rustix::process::getpid().as_raw_nonzero();
    for _ in 0..NAMES_MAX {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let mut name = STAGE_PREFIX.to_vec();
        name.extend_from_slice(format!("{pid:x}-{:x}", now.tv_sec ^ (now.tv_nsec << 20)).as_bytes());
        match rustix::fs::mkdirat(home, name.as_slice(), Mode::RWXU) {
            Err(Errno::EXIST) => continue,
            other => other?,
        }
        // Until it is locked another receive takes it for one that was left behind, and removes it.
        let folder = match rustix::fs::openat(home, name.as_slice(), FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => continue,
            other => other?,
        }
        if rustix::fs::fstat(&folder)?.st_nlink == 0 {
            continue;
        }
        // A root that gives its group to what is made in it has given it to this folder too.
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
        return Ok((name, folder));
    }
    Err(Errno::EXIST)
}

/// Puts right what killed receives left behind. What cannot be put right stays and is tried again next time.
pub(super) fn clear_stale(home: &Home, _: &Alone) -> Fallible<()> {
    let mut failed = None;
    for name in stages(&home.folder).unwrap_or_default() {
        let Ok(folder) = rustix::fs::openat(&*home.folder, name.as_slice(), FOLDER, Mode::empty()) else {
            continue;
        };
        // A program of the guest may make a folder of such a name, and say in it what it likes.
        if !is_own(&folder) || rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match take_back(home, &folder) {
            Ok(()) => {
                let home_time = time(&home.folder);
                let _ = remove::thing(&*home.folder, &name);
                if let Some(mtime) = home_time {
                    let _ = rustix::fs::futimens(&*home.folder, &times(mtime));
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Whether nobody but who this process runs as can have made the folder, or put something into it. It may have a bit beyond
/// the permissions from the folder it is in.
fn is_own(folder: &OwnedFd) -> bool {
    let owner = rustix::process::geteuid().as_raw();
    rustix::fs::fstat(folder).is_ok_and(|found| found.st_uid == owner && found.st_mode & 0o777 == 0o700)
}

/// Takes back what had been put in place from a stage, in whatever root that was.
fn take_back(home: &Home, stage: &OwnedFd) -> Fallible<()> {
    let below =
        undo::root(stage).map_err(|errno| fault::at("reading what was done from", b"a stage", errno))?;
    let Some(below) = below else { return Ok(()) };
    let reached = Beneath::inside(&home.folder, &below);
    let mut beneath = reached.map_err(|errno| fault::at("reaching", below.as_bytes(), errno))?;
    undo::take_back_all(stage, &mut beneath)
}

fn stages(home: &Folder) -> Result<Vec<Vec<u8>>, Errno> {
    // Its own place in the list: the root's descriptor is used for other things.
    let folder = rustix::fs::openat(home, ".", FOLDER, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name.starts_with(STAGE_PREFIX) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::step::Step;
    use super::super::undo::Undo;
    use super::*;
    use rustix::fs::RenameFlags;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;

    fn clear(beneath: &Beneath) {
        let home = Home::of(beneath, false);
        clear_stale(&home, &home.alone().unwrap()).unwrap();
    }

    fn path(path: &str) -> TreePath {
        TreePath::new(path.as_bytes()).unwrap()
    }

    /// What a receive had done when it was killed, after so many steps and perhaps in the middle of the next one.
    fn killed_after(root: &std::path::Path, steps: usize, noted: bool) {
        let beneath = Beneath::open(root.as_os_str().as_bytes()).unwrap();
        let mut stage = Stage::new(&beneath, &Home::of(&beneath, false)).unwrap();
        stage.keep();
        let inside = root.join(stage.shown());
        std::fs::write(inside.join("1"), "new a").unwrap();
        std::fs::write(inside.join("2"), "new b").unwrap();
        let new = std::fs::metadata(inside.join("1")).unwrap().ino();
        let mut undo = Undo::new(&stage.folder, &TreePath::default()).unwrap();
        let folder = &stage.folder;
        let root_folder = beneath.root();
        let move_to =
            |from: &str, to: &str, flags| rustix::fs::renameat_with(folder, from, &root_folder, to, flags);
        type Take<'a> = Box<dyn Fn() -> Result<(), Errno> + 'a>;
        let plan: [(&str, Step, Take<'_>); 4] = [
            ("a", Step::Swapped(1, new), Box::new(|| move_to("1", "a", RenameFlags::EXCHANGE))),
            ("b", Step::Placed(2), Box::new(|| move_to("2", "b", RenameFlags::NOREPLACE))),
            ("c", Step::Removed(3), Box::new(|| rustix::fs::renameat(&root_folder, "c", folder, "3"))),
            ("c", Step::Made, Box::new(|| rustix::fs::mkdirat(&root_folder, "c", Mode::RWXU))),
        ];
        for (at, (name, step, take)) in plan.iter().enumerate() {
            if at < steps {
                undo.step(&path(name), step, take).unwrap();
            } else if at == steps && noted {
                undo.step(&path(name), step, || Ok(())).unwrap();
            }
        }
    }

    #[test]
    fn what_a_killed_receive_began_is_undone_wherever_it_was_killed() {
        for (steps, noted) in (0..5).flat_map(|steps| [(steps, false), (steps, true)]) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            std::fs::write(root.join("a"), "old a").unwrap();
            std::fs::create_dir(root.join("c")).unwrap();
            std::fs::write(root.join("c/inner"), "old c").unwrap();
            killed_after(root, steps, noted);
            let beneath = Beneath::open(root.as_os_str().as_bytes()).unwrap();
            clear(&beneath);
            let read = |at: &str| std::fs::read_to_string(root.join(at)).unwrap();
            assert_eq!((read("a"), read("c/inner")), ("old a".into(), "old c".into()), "{steps} {noted}");
            assert_eq!(std::fs::read_dir(root).unwrap().count(), 2, "{steps} {noted}");
        }
    }

    #[test]
    fn a_stage_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(folder.path().as_os_str().as_bytes()).unwrap();
        let stage = Stage::new(&beneath, &Home::of(&beneath, false)).unwrap();
        clear(&beneath);
        assert!(folder.path().join(stage.shown()).exists());
        drop(stage);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
