//! Where the receives into a root collect things. In a guest that is at the top of the mount the root is on, whatever the
//! root: then the next start knows where to look for what killed receives left behind. On a host, where nobody looks, and
//! whose other folders are nobody's business, it is the root itself. This file must not change anything.

use super::super::beneath::Beneath;
use super::super::beneath::Folder;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::StatxFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::rc::Rc;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The right to put things in place on a mount, or to take them back: nobody else has it meanwhile.
#[derive(Debug)]
pub(super) struct Alone {
    /// Holds the lock until it is closed.
    _folder: OwnedFd,
}

/// A folder for stages, on the same mount as the root they are for.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The folder.
    pub(super) folder: Rc<Folder>,
    /// The way from it to the root.
    pub(super) below: TreePath,
}

impl Home {
    /// The home of a root's stages.
    pub(super) fn of(beneath: &Beneath, guest: bool) -> Self {
        let top = if guest { top_of_mount(&beneath.root()) } else { None };
        top.unwrap_or_else(|| Self { folder: beneath.root(), below: TreePath::default() })
    }

    /// Waits until nobody else puts things in place on this mount, or takes them back: ways back that cross lead nowhere.
    pub(super) fn alone(&self) -> Result<Alone, Errno> {
        let folder = rustix::fs::openat(&*self.folder, ".", FOLDER, Mode::empty())?;
        rustix::fs::flock(&folder, FlockOperation::LockExclusive)?;
        Ok(Alone { _folder: folder })
    }
}

/// The top of a folder's mount, with the way back down proved; `None` when there is no such way.
fn top_of_mount(root: &Folder) -> Option<Home> {
    let mount = mount(root)?;
    let mut top = rustix::fs::openat(root, ".", FOLDER, Mode::empty()).ok()?;
    loop {
        let above = rustix::fs::openat(&top, "..", FOLDER, Mode::empty()).ok()?;
        if self::mount(&above)? != mount || is_same(&above, &top) {
            break;
        }
        top = above;
    }
    let inner = path(&rustix::fs::openat(root, ".", FOLDER, Mode::empty()).ok()?)?;
    let below = inner.strip_prefix(path(&top)?.as_slice())?.to_vec();
    let below = TreePath::new(below.strip_prefix(b"/").unwrap_or(&below)).ok()?;
    let folder = Folder::new(top);
    let again = Beneath::inside(&folder, &below).ok()?;
    is_same(again.root(), root).then(|| Home { folder: Rc::new(folder), below })
}

fn mount(folder: impl AsFd) -> Option<u64> {
    let found = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    Some(found.stx_mnt_id)
}

fn is_same(a: impl AsFd, b: impl AsFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// Where the kernel says an open folder is.
fn path(folder: &OwnedFd) -> Option<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
    rustix::fs::readlink(link, Vec::new()).ok().map(std::ffi::CString::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn the_top_of_a_mount_knows_the_way_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        std::fs::create_dir_all(&root).unwrap();
        let beneath = Beneath::open(root.as_os_str().as_bytes()).unwrap();
        let home = Home::of(&beneath, true);
        assert!(home.below.as_bytes().ends_with(b"a/b") && !is_same(&*home.folder, &*beneath.root()));
        let again = Beneath::inside(&home.folder, &home.below).unwrap();
        assert!(is_same(again.root(), beneath.root()));
        let here = Home::of(&beneath, false);
        assert!(here.below.is_root() && is_same(here.folder, beneath.root()));
    }
}
