//! The pristine writable disk of one size: made by mkfs once, kept in the store, copied for each guest. This file must not
//! write to a disk a guest has.

use super::copy::copy_sparse;
use crate::atomic;
use crate::cancel::Cancel;
use crate::child::Task;
use crate::config::Config;
use crate::digest::Sha256Hex;
use crate::error::At;
use crate::error::ImageError;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::program;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// The smallest and the largest disk, in MiB.
const SIZE_MIB_MIN: u64 = 64;
const SIZE_MIB_MAX: u64 = 4 << 20;
/// What the disk is made with; part of its identity. The tables are written when it is made, as holes: a guest that had to
/// initialise them would do so in the background of its first minute.
const OPTIONS: &[&str] = &[
    "-q",
    "-F",
    "-b",
    "4096",
    "-m",
    "0",
    "-L",
    "pyro-rw",
    "-I",
    "256",
    "-O",
    "^resize_inode",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=1,nodiscard,root_owner=0:0",
];

/// A pristine disk in the store.
#[derive(Debug)]
pub struct RwTemplate {
    path: PathBuf,
    file: File,
    _lease: Lock,
}

impl RwTemplate {
    /// The template for disks of `size_mib`, made if there is none.
    pub(crate) fn ensure(config: &Config, layout: &Layout, size_mib: u64) -> Result<Self, ImageError> {
        if !(SIZE_MIB_MIN..=SIZE_MIB_MAX).contains(&size_mib) {
            return Err(ImageError::DiskSize { size_mib, min_mib: SIZE_MIB_MIN, max_mib: SIZE_MIB_MAX });
        }
        let dir = layout.rw();
        let path = dir.join(file_name(config, size_mib)?);
        if let Some(template) = Self::open(&path)? {
            return Ok(template);
        }
        layout.make(&dir)?;
        make(config, &path, size_mib)?;
        Self::open(&path)?.ok_or(io::ErrorKind::NotFound).at("opening", &path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(path: &Path) -> Result<Option<Self>, ImageError> {
        let Some(lease) = Lock::try_shared(path)? else { return Ok(None) };
        let file = File::open(path).at("opening", path)?;
        Ok(Some(Self { path: path.to_owned(), file, _lease: lease }))
    }

    /// A new disk without a name in `dir`'s file system: it is gone when the last process that has it open is.
    ///
    /// # Errors
    /// [`ImageError::File`] when `dir` cannot take it.
    pub fn instantiate_unnamed(&self, dir: &Path) -> Result<File, ImageError> {
        copy_unnamed(&self.file, dir).at("making a disk in", dir)
    }

    /// A new disk at `path`, which must not exist.
    ///
    /// # Errors
    /// [`ImageError::File`]; nothing is then left at `path`.
    pub fn instantiate(&self, path: &Path) -> Result<File, ImageError> {
        let open = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = open.at("making", path)?;
        if let Err(error) = copy_sparse(&self.file, &file) {
            let _ = std::fs::remove_file(path);
            return Err(error).at("copying", &self.path);
        }
        Ok(file)
    }
}

/// A copy of a disk without a name in `dir`'s file system, its holes kept: it is gone when the last process that has it open
/// is.
///
/// # Errors
/// `dir` cannot take it.
pub fn copy_unnamed(from: &File, dir: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => File::from(fd),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => unlinked(dir)?,
        Err(error) => return Err(error.into()),
    };
    copy_sparse(from, &file)?;
    Ok(file)
}

/// For file systems without unnamed files: a file that loses its name at once.
fn unlinked(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".disk-{}-{:p}", std::process::id(), &dir));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The name under which a disk made by this mkfs with these options is kept.
pub(crate) fn file_name(config: &Config, size_mib: u64) -> Result<String, ImageError> {
    Ok(format!("rw-{size_mib}m-{}.ext4", key(config)?.short()))
}

/// Identifies the program and its options. The program's stamp stands for its version: running it to ask takes longer than
/// all else here.
pub(crate) fn key(config: &Config) -> Result<Sha256Hex, ImageError> {
    let mkfs = program::MKFS.find(config)?;
    let metadata = std::fs::metadata(&mkfs).at("examining", &mkfs)?;
    let stamp = crate::digest::Stamp::of(&metadata);
    let program = format!("{} {}.{}", stamp.size_bytes, stamp.mtime_s, stamp.mtime_ns);
    Ok(Sha256Hex::of(format!("{program}\n{}", OPTIONS.join("\n")).as_bytes()))
}

fn make(config: &Config, path: &Path, size_mib: u64) -> Result<(), ImageError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let (made, sparse) = (tempfile_in(parent)?, tempfile_in(parent)?);
    let outcome = fill(config, &made, size_mib).and_then(|()| {
        // mkfs has its tables allocated though nothing was written to them: of the copy, only what was written is left.
        let from = File::open(&made).at("opening", &made)?;
        let to = OpenOptions::new().write(true).open(&sparse).at("opening", &sparse)?;
        copy_sparse(&from, &to).at("copying", &made)?;
        to.sync_all().at("syncing", &sparse)?;
        std::fs::rename(&sparse, path).at("renaming", &sparse)?;
        atomic::sync_dir(parent)
    });
    for aside in [made, sparse] {
        // Neither is there any more, or something else is told to the caller.
        let _ = std::fs::remove_file(aside);
    }
    outcome
}

/// A new empty file beside the templates; one that is left behind is removed by the next prune.
fn tempfile_in(dir: &Path) -> Result<PathBuf, ImageError> {
    for number in 0..1000 {
        let path = dir.join(format!("rw.{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).at("making", &path),
        }
    }
    Err(io::ErrorKind::AlreadyExists).at("making a file in", dir)
}

fn fill(config: &Config, path: &Path, size_mib: u64) -> Result<(), ImageError> {
    let journal_mib = if size_mib < 512 { 4 } else { 16 };
    let mut command = program::MKFS.command(config)?;
    command.args(OPTIONS).args(["-J", &format!("size={journal_mib}")]);
    command.arg(path).arg(format!("{size_mib}M"));
    let cancel = Cancel::new().at("opening an event for", path)?;
    Task::new("making a writable disk", command, &cancel).run(&mut |_| {}).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    #[test]
    fn a_disk_is_sparse_clean_and_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let layout = Layout::new(dir.path());
        let template = RwTemplate::ensure(&config, &layout, 2048).unwrap();
        let path = dir.path().join("mine.ext4");
        let mine = template.instantiate(&path).unwrap();
        let metadata = mine.metadata().unwrap();
        assert_eq!(metadata.len(), 2 << 30);
        assert!(metadata.blocks() * 512 < 4 << 20, "{} KiB are allocated", metadata.blocks() / 2);
        let check = Command::new("/sbin/e2fsck").arg("-fn").arg(&path).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        assert!(template.instantiate(&path).is_err(), "a disk is never overwritten");
        let unnamed = template.instantiate_unnamed(dir.path()).unwrap();
        assert_eq!(unnamed.metadata().unwrap().len(), 2 << 30);
        assert_eq!(unnamed.metadata().unwrap().nlink(), 0);
    }

    #[test]
    fn one_template_serves_every_disk_of_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let layout = Layout::new(dir.path());
        let first = RwTemplate::ensure(&config, &layout, 64).unwrap();
        let second = RwTemplate::ensure(&config, &layout, 64).unwrap();
        assert_eq!(first.file.metadata().unwrap().ino(), second.file.metadata().unwrap().ino());
        assert!(first.file.metadata().unwrap().blocks() * 512 < 8 << 20, "the template is sparse itself");
        assert_eq!(std::fs::read_dir(layout.rw()).unwrap().count(), 1, "nothing is left beside it");
        let other = RwTemplate::ensure(&config, &layout, 65).unwrap();
        assert_ne!(first.path, other.path);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        for size_mib in [0, 1, u64::MAX] {
            let error = RwTemplate::ensure(&config, &Layout::new(dir.path()), size_mib).unwrap_err();
            assert_eq!(error.code(), "disk_size_invalid");
        }
    }
}
