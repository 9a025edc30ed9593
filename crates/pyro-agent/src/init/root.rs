//! The root file system: the environment's read-only base and the workspace's own disk, one over the other, and the
//! folders that lie on the workspace's disk directly. This file must not need anything inside the base.

use super::InitError;
use super::cmdline::Words;
use super::mounts::FIRST;
use super::mounts::make_folder;
use super::uevent::Events;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use std::path::Path;

const BASE: &str = "/base";
const RW: &str = "/rw";
const ROOT: &str = "/root.new";

/// Folders that lie on the workspace's disk, where they are seen, and their permissions when new.
const DIRECT: [(&str, &str, u32); 3] = [
    ("/rw/workspace", "/workspace", 0o755),
    ("/rw/tmp", "/tmp", 0o1777),
    ("/rw/docker", "/var/lib/docker", 0o710),
];

/// Puts the root together and makes it this process's.
pub(super) fn enter(words: &Words, events: &Events) -> Result<(), InitError> {
    for folder in [BASE, RW, ROOT] {
        make_folder(folder)?;
    }
    let failed = |target: &str| {
        let target = target.to_owned();
        move |errno: Errno| InitError::Mount { target, source: errno.into() }
    };
    wait_for_disk(&words.base, events)?;
    rustix::mount::mount(words.base.as_str(), BASE, "ext4", MountFlags::RDONLY, c"").map_err(failed(BASE))?;
    match &words.rw {
        Some(device) => {
            wait_for_disk(device, events)?;
            let options = c"noinit_itable";
            rustix::mount::mount(device.as_str(), RW, "ext4", MountFlags::NOATIME, options)
                .map_err(failed(RW))?;
        }
        None => {
            rustix::mount::mount("rw", RW, "tmpfs", MountFlags::empty(), c"mode=0755").map_err(failed(RW))?;
        }
    }
    make_folder("/rw/upper")?;
    make_folder("/rw/work")?;
    let layers = c"lowerdir=/base,upperdir=/rw/upper,workdir=/rw/work";
    rustix::mount::mount("root", ROOT, "overlay", MountFlags::empty(), layers).map_err(failed("/"))?;
    for (source, target, mode) in DIRECT {
        make_direct(source, mode)?;
        let inside = make_inside(target)?;
        rustix::mount::mount_bind(source, inside.as_str()).map_err(failed(target))?;
    }
    for target in FIRST {
        let inside = make_inside(target)?;
        rustix::mount::mount_move(target, inside.as_str()).map_err(failed(target))?;
    }
    // An identity is written there, whatever else the base lacks.
    make_inside("/etc")?;
    make_inside("/run")?;
    // The overlay and the binds hold both disks; their own places would be lost below the new root.
    for folder in [RW, BASE] {
        rustix::mount::unmount(folder, UnmountFlags::DETACH).map_err(failed(folder))?;
    }
    switch()
}

fn wait_for_disk(device: &str, events: &Events) -> Result<(), InitError> {
    events.wait_for(device, || Path::new(device).exists().then_some(()))
}

fn make_direct(path: &str, mode: u32) -> Result<(), InitError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        // The permissions asked for, whatever the mask; those of a folder that was there are its owner's business.
        Ok(()) => rustix::fs::chmod(path, Mode::from_raw_mode(mode)),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| InitError::Prepare { path: path.into(), source: errno.into() })
}

/// Makes a mount point in the new root, folder by folder, never through a link: the base is an image from somewhere, and
/// one that has a link in such a place gets a folder there instead.
fn make_inside(path: &str) -> Result<String, InitError> {
    let mut inside = ROOT.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        inside = format!("{inside}/{name}");
        let failed = |errno: Errno| InitError::Prepare { path: (&inside).into(), source: errno.into() };
        match rustix::fs::lstat(&*inside) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => continue,
            Ok(_) => rustix::fs::unlink(&*inside).map_err(failed)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        rustix::fs::mkdir(&*inside, Mode::from_raw_mode(0o755)).map_err(failed)?;
    }
    Ok(inside)
}

/// Makes the new root `/`, after freeing the memory the initrd took.
fn switch() -> Result<(), InitError> {
    let step = |step| move |errno: Errno| InitError::Step { step, source: errno.into() };
    let old = rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    empty(&old.map_err(step("opening the initrd"))?);
    rustix::process::chdir(ROOT).map_err(step("entering the root"))?;
    rustix::mount::mount_move(".", "/").map_err(step("moving the root"))?;
    rustix::process::chroot(".").map_err(step("changing the root"))?;
    rustix::process::chdir("/").map_err(step("entering the root"))
}

/// Removes what the initrd brought: files, and the files of its folders. Folders that hold mounts refuse to go, and what
/// cannot be removed only costs memory.
fn empty(folder: &impl std::os::fd::AsFd) {
    let Ok(entries) = rustix::fs::Dir::read_from(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." || ROOT.as_bytes().get(1..) == Some(name.to_bytes()) {
            continue;
        }
        if rustix::fs::unlinkat(folder, name, AtFlags::empty()) == Err(Errno::ISDIR) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = rustix::fs::openat(folder, name, flags, Mode::empty()) {
                empty(&inner);
            }
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
        }
    }
}
