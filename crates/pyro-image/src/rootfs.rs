//! Turns a user's tar archive of a root file system into an image. This file must not trust the archive.
//!
//! We decompress, and count; GNU tar unpacks, in namespaces of its own where the only file systems are the host's programs,
//! read-only, and the folder it unpacks into. Its root is a subordinate id of this user's, or of root's where root pulls: what
//! the archive holds never becomes a file of host root's.

mod stream;

use crate::child::Task;
use crate::error::At;
use crate::error::ImageError;
use crate::image;
use crate::image::Tree;
use crate::namespace;
use crate::namespace::Ids;
use crate::program;
use crate::progress::Phase;
use crate::pull::Work;
use crate::space;
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// What stays free on the disk whatever an archive unpacks to.
const RESERVE_MIB: u64 = 256;
/// The largest archive, unpacked, in MiB.
const ARCHIVE_MIB_MAX: u64 = 64 << 10;

/// Shows tar the host's programs and one folder, and nothing else. Device nodes are left out: a guest brings its own.
const UNPACK: &str = r#"set -e
mount -t tmpfs -o mode=755,size=1m tmpfs /mnt
mkdir /mnt/usr /mnt/target root
for name in bin sbin lib lib64; do
  if [ -L "/$name" ]; then ln -s "usr/$name" "/mnt/$name"
  elif [ -d "/$name" ]; then mkdir "/mnt/$name"; mount --bind "/$name" "/mnt/$name"; mount -o remount,bind,ro "/mnt/$name"
  fi
done
mount --bind /usr /mnt/usr
mount -o remount,bind,ro /mnt/usr
mount -c --bind /proc/self/cwd /mnt/target
mount -o remount,bind,nodev,nosuid /mnt/target
cd /mnt
chroot /mnt tar -x -f - -C /target/root --numeric-owner --anchored --exclude='./dev/?*' --exclude='dev/?*' \
  --xattrs --xattrs-include=security.capability --xattrs-include='user.*'
for name in bin usr/bin; do [ -d "/mnt/target/root/$name" ] && exit 0; done
echo 'tar: it has no /bin: not a root file system' >&2
exit 1"#;

/// Unpacks `archive` under `partial` and writes the image there.
pub(crate) fn import(
    work: &Work<'_>,
    archive: &Path,
    partial: &Path,
    image: &Path,
) -> Result<(), ImageError> {
    work.progress.phase(Phase::Install);
    let dir = partial.join("work");
    work.layout.make(&dir)?;
    // Within a folder that is private to us, another of our own ids must be able to write.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).at("opening up", &dir)?;
    unpack(work, archive, &dir)?;
    image::write(work, &Tree { dir: &dir, ids: Ids::Subordinate })?;
    let made = dir.join(image::FILE);
    if namespace::is_root() {
        std::os::unix::fs::chown(&made, Some(0), Some(0)).at("owning", &made)?;
    }
    std::fs::rename(&made, image).at("renaming", &made)?;
    namespace::remove_tree(work.config, &dir)
}

fn unpack(work: &Work<'_>, archive: &Path, dir: &Path) -> Result<(), ImageError> {
    let bad = |reason: String| ImageError::Rootfs { path: archive.to_owned(), reason };
    let free_mib = space::free_mib(dir)?.saturating_sub(RESERVE_MIB);
    let input = File::open(archive).map_err(|error| bad(error.to_string()))?;
    let (read_end, write_end) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at("opening a pipe for", archive)?;
    let mut command = namespace::with_ids(work.config, program::SH, Ids::Subordinate)?;
    command.args(["-c", UNPACK]).current_dir(dir).stdin(Stdio::from(read_end));
    let operation = "unpacking the root file system";
    let task = Task::new(operation, command, work.cancel).lend(&work.lent);
    let limit = free_mib.min(ARCHIVE_MIB_MAX) << 20;
    let (ended, streamed) = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || stream::copy(input, File::from(write_end), limit));
        let ended = task.end(&mut |_| {});
        (ended, feeder.join())
    });
    let ended = ended?;
    // What is wrong with the archive explains what tar then says of it, unless tar stopped first.
    match streamed {
        Ok(Err(stream::Failed::Archive(reason))) => return Err(bad(reason)),
        Ok(Err(stream::Failed::TooLarge)) if free_mib < ARCHIVE_MIB_MAX => {
            return Err(ImageError::DiskFull { path: dir.to_owned(), needed_mib: None, free_mib: None });
        }
        Ok(Err(stream::Failed::TooLarge)) => {
            return Err(bad(format!("it unpacks to more than {ARCHIVE_MIB_MAX} MiB")));
        }
        Ok(Err(stream::Failed::Pipe) | Ok(())) | Err(_) => {}
    }
    if ended.status.success() {
        return Ok(());
    }
    match crate::kernel::failure(dir, operation, &ended) {
        ImageError::Step { tail, .. } if tail.contains("tar: ") => Err(bad(tail)),
        other => Err(other),
    }
}
