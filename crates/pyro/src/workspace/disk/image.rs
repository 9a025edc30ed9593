//! The disk of a stopped workspace, or of a snapshot, as one raw ext4 image on the host, plain or compressed. This file must
//! not overwrite anything.

use super::error::FilesError;
use crate::host_path::HostPath;
use crate::state::unnamed_file;
use crate::work::Work;
use crate::workspace::advance::Advance;
use crate::workspace::advance::Counted;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::id::SnapshotName;
use pyro_image::disk::BuildError;
use pyro_image::disk::Built;
use pyro_image::disk::build_image;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::Value;
use serde_json::json;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What is read at once of an image that is compressed.
const PIECE_BYTES: usize = 1 << 20;

/// A disk to be exported.
#[derive(Clone, Debug)]
pub struct DiskExportSpec {
    /// Where to; there must be nothing.
    pub output: HostPath,
    /// Compressed with zstd.
    pub zstd: bool,
    /// The snapshot to export; nothing for the workspace as it is.
    pub snapshot: Option<SnapshotName>,
}

/// What an export of a disk made.
#[derive(Clone, Debug)]
pub struct DiskExport {
    /// The workspace.
    pub workspace_id: String,
    /// Where it is.
    pub output_path: PathBuf,
    /// Bytes of the image.
    pub size_bytes: u64,
    /// Bytes that it takes on the host.
    pub bytes_written: u64,
    /// Files, folders, links and other things in it.
    pub entries: u64,
    /// Whether it is compressed.
    pub zstd: bool,
}

impl DiskExport {
    /// As the contract shows it.
    pub fn describe(&self) -> Value {
        json!({
            "workspace_id": self.workspace_id,
            "output_path": self.output_path.to_string_lossy(),
            "disk_format": "ext4",
            "compression": if self.zstd { Value::from("zstd") } else { Value::Null },
            "size_bytes": self.size_bytes,
            "bytes_written": self.bytes_written,
            "entry_count": self.entries,
        })
    }
}

impl Workspace {
    /// Writes the whole disk, environment and changes as one, to an image.
    ///
    /// # Errors
    /// [`WorkspaceError::Running`] unless a snapshot is named; [`FilesError`]. Nothing is then left at the output.
    pub fn disk_export(
        &self,
        spec: DiskExportSpec,
        told: Advance,
    ) -> Work<'_, Result<DiskExport, WorkspaceError>> {
        Box::pin(async move {
            let began = Instant::now();
            let detail = spec.snapshot.as_ref().map(|name| format!("the snapshot {name}"));
            let exported = self.export_disk(spec, told).await;
            self.note("disk_export", detail, exported.as_ref().err(), began);
            exported
        })
    }

    async fn export_disk(&self, spec: DiskExportSpec, told: Advance) -> Result<DiskExport, WorkspaceError> {
        let id = uuid()?;
        // Before anything is read: what cannot be written to is refused at once.
        let output = Output::create(spec.output.clone())?;
        let zstd = spec.zstd;
        let (built, output) = self
            .on_disk(spec.snapshot.as_ref(), move |root| {
                let write = |source| FilesError::Build(BuildError::Write { source });
                let mut building = |done, all| told(done, Some(all));
                let built = if zstd {
                    let aside = output.aside().map_err(write)?;
                    let built = build_image(root, &aside, id, &mut building)?;
                    compress(&aside, &output.file, built.size_bytes, &told).map_err(write)?;
                    built
                } else {
                    build_image(root, &output.file, id, &mut building)?
                };
                output.file.sync_all().map_err(write)?;
                Ok((built, output))
            })
            .await?;
        self.exported(built, output, spec)
    }

    fn exported(
        &self,
        built: Built,
        output: Output,
        spec: DiskExportSpec,
    ) -> Result<DiskExport, WorkspaceError> {
        let DiskExportSpec { output: path, zstd, .. } = spec;
        let metadata = output.file.metadata();
        let metadata =
            metadata.map_err(|source| WorkspaceError::Output { path: path.shown().to_owned(), source })?;
        output.keep()?;
        Ok(DiskExport {
            workspace_id: self.id().to_string(),
            output_path: path.shown().to_owned(),
            size_bytes: built.size_bytes,
            bytes_written: metadata.blocks() * 512,
            entries: built.entries,
            zstd,
        })
    }
}

fn uuid() -> Result<[u8; 16], WorkspaceError> {
    let mut id = [0; 16];
    let filled = File::open("/dev/urandom").and_then(|mut random| io::Read::read_exact(&mut random, &mut id));
    filled.map_err(crate::workspace::error::StoreError::Random)?;
    // Version 4, and the variant that everybody uses.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Ok(id)
}

fn compress(from: &File, to: &File, size_bytes: u64, told: &Advance) -> io::Result<()> {
    use std::io::Seek as _;
    let mut from = from;
    from.rewind()?;
    let counted = Counted::new(size_bytes, Arc::clone(told));
    let mut from = CountedReader { from: io::BufReader::with_capacity(PIECE_BYTES, from), counted };
    let mut encoder =
        zstd::stream::write::Encoder::new(io::BufWriter::new(to), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.long_distance_matching(true)?;
    io::copy(&mut from, &mut encoder)?;
    io::Write::flush(&mut encoder.finish()?)
}

struct CountedReader<R> {
    from: R,
    counted: Counted,
}

impl<R: io::Read> io::Read for CountedReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(bytes)?;
        self.counted.add(count as u64);
        Ok(count)
    }
}

/// A new file, which has no name until it is kept: nothing is left of it should this process be killed. Where the file system
/// has no such files it has its name at once, and loses it unless it is kept.
#[derive(Debug)]
pub(in crate::workspace) struct Output {
    pub(in crate::workspace) file: File,
    path: HostPath,
    /// To be removed with it.
    named: bool,
}

impl Output {
    pub(in crate::workspace) fn create(path: impl Into<HostPath>) -> Result<Self, WorkspaceError> {
        let given = path.into();
        let path = given.path();
        let failed = |source| WorkspaceError::Output { path: given.shown().to_owned(), source };
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, named) = match rustix::fs::open(parent(path), flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let opened =
                    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
                (opened.map_err(failed)?, true)
            }
            opened => (File::from(opened.map_err(|errno| failed(errno.into()))?), false),
        };
        Ok(Self { file, path: given, named })
    }

    /// A file without a name beside it.
    fn aside(&self) -> io::Result<File> {
        unnamed_file(parent(self.path.path()))
    }

    /// Gives it its name, unless somebody else has taken that meanwhile.
    pub(in crate::workspace) fn keep(mut self) -> Result<(), WorkspaceError> {
        if !std::mem::take(&mut self.named) {
            let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let linked = rustix::fs::linkat(CWD, descriptor, CWD, self.path.path(), AtFlags::SYMLINK_FOLLOW);
            linked.map_err(|errno| WorkspaceError::Output {
                path: self.path.shown().to_owned(),
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.named {
            let _ = std::fs::remove_file(self.path.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;
    use crate::code::Coded as _;
    use std::io::Write as _;

    #[test]
    fn a_file_is_there_when_it_is_kept_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut output = Output::create(&path).unwrap();
        output.file.write_all(b"whole").unwrap();
        // What a kill would leave now.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        output.keep().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(Output::create(&path).unwrap_err().code(), code::OUTPUT_EXISTS);
    }

    #[test]
    fn what_somebody_else_made_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let output = Output::create(&path).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert_eq!(output.keep().unwrap_err().code(), code::OUTPUT_EXISTS);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
    }
}
