//! The kernel's own file systems. This file must not mount disks.

use super::InitError;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CStr;
use std::path::PathBuf;

/// Where the control groups are.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";

struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static CStr,
}

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);

/// Those needed before there is a root, which move into it.
pub(super) const FIRST: [&str; 3] = ["/proc", "/sys", "/dev"];

const FIRST_MOUNTS: [Mount; 3] = [
    Mount { kind: "proc", target: "/proc", flags: QUIET, data: c"" },
    Mount { kind: "sysfs", target: "/sys", flags: QUIET, data: c"" },
    Mount { kind: "devtmpfs", target: "/dev", flags: MountFlags::NOSUID, data: c"mode=0755" },
];

const REST: [Mount; 4] = [
    Mount {
        kind: "devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: c"mode=0620,gid=5,ptmxmode=0666",
    },
    Mount {
        kind: "tmpfs",
        target: "/dev/shm",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=1777",
    },
    Mount {
        kind: "tmpfs",
        target: "/run",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=0755",
    },
    Mount { kind: "cgroup2", target: CGROUPS, flags: QUIET, data: c"" },
];

/// Links every program expects in `/dev`, which the kernel does not make.
const LINKS: [(&CStr, &CStr); 4] = [
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
];

/// Mounts what everything else needs.
pub(super) fn first() -> Result<(), InitError> {
    FIRST_MOUNTS.iter().try_for_each(Mount::mount)
}

/// Mounts the rest in the final root.
pub(super) fn rest() -> Result<(), InitError> {
    REST.iter().try_for_each(Mount::mount)?;
    for (target, link) in LINKS {
        match rustix::fs::symlink(target, link) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                let path = PathBuf::from(link.to_string_lossy().into_owned());
                return Err(InitError::Prepare { path, source: errno.into() });
            }
        }
    }
    Ok(())
}

impl Mount {
    fn mount(&self) -> Result<(), InitError> {
        make_folder(self.target)?;
        match rustix::mount::mount(self.kind, self.target, self.kind, self.flags, self.data) {
            // A kernel may have mounted its device file system already.
            Ok(()) | Err(Errno::BUSY) => Ok(()),
            Err(errno) => Err(InitError::Mount { target: self.target.to_owned(), source: errno.into() }),
        }
    }
}

/// Makes a folder unless something is there.
pub(super) fn make_folder(path: &str) -> Result<(), InitError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(InitError::Prepare { path: PathBuf::from(path), source: errno.into() }),
    }
}
