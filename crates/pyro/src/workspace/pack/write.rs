//! Packing a workspace. One that runs is packed as it is at the beginning: its disk gets another layer, as for a snapshot,
//! and what is below that does not change. All files are opened first, so that nothing is kept for the pack by a name that
//! would stay if it were killed. This file must not change what it packs.

use super::MAGIC;
use super::PART_END;
use super::PIECE_BYTES;
use super::SCHEMA;
use super::error::PackError;
use super::manifest::Manifest;
use super::manifest::Of;
use super::manifest::Part;
use crate::machine::Snapshot;
use crate::work::Work;
use crate::workspace::advance::Advance;
use crate::workspace::advance::Counted;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::Request;
use crate::workspace::disk::Access;
use crate::workspace::disk::Output;
use crate::workspace::disk::blocking;
use crate::workspace::document::Document;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::handle::Workspace;
use crate::workspace::layers::Chain;
use crate::workspace::snapshots;
use rustix::fs::SeekFrom;
use serde_json::Value;
use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;
use std::fs::File;
use std::io;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Instant;

/// A workspace to be packed.
#[derive(Clone, Debug)]
pub struct PackSpec {
    /// Where to; there must be nothing.
    pub output: PathBuf,
    /// Its snapshots too, beside the baseline.
    pub snapshots: bool,
    /// Memory and processes too.
    pub memory: bool,
}

/// What a pack holds.
#[derive(Clone, Debug)]
pub struct PackReport {
    /// The workspace.
    pub workspace_id: String,
    /// Where the pack is.
    pub output_path: PathBuf,
    /// Layers in it.
    pub layers: usize,
    /// Snapshots in it.
    pub snapshots: usize,
    /// Whether memory is in it.
    pub memory: bool,
    /// Bytes before they were compressed.
    pub data_bytes: u64,
    /// Bytes of the pack.
    pub bytes_written: u64,
}

impl PackReport {
    /// As one document.
    pub fn describe(&self) -> Value {
        json!({
            "workspace_id": self.workspace_id,
            "output_path": self.output_path.to_string_lossy(),
            "layers": self.layers,
            "snapshots": self.snapshots,
            "memory": self.memory,
            "data_bytes": self.data_bytes,
            "bytes_written": self.bytes_written,
        })
    }
}

/// What is packed as the workspace's own disk and memory.
struct Now {
    chain: Chain,
    memory: Option<(Snapshot, PathBuf)>,
}

/// Everything that goes into a pack, each part's file open: it may lose its name from here on.
struct Ready {
    manifest: Manifest,
    files: Vec<File>,
}

impl Workspace {
    /// Packs the workspace, whether or not it runs.
    ///
    /// # Errors
    /// [`WorkspaceError`]; nothing is then left at the output.
    pub fn pack(&self, spec: PackSpec, told: Advance) -> Work<'_, Result<PackReport, WorkspaceError>> {
        Box::pin(async move {
            let output = Output::create(&spec.output)?;
            match self.access_stopped().await {
                Ok(access) => {
                    let (began, detail) = (Instant::now(), spec.memory.then(|| "with memory".to_owned()));
                    let packed = self.pack_stopped(spec, output, access, told).await;
                    self.note("pack", detail, packed.as_ref().err(), began);
                    packed
                }
                Err(WorkspaceError::Running { .. } | WorkspaceError::Busy { .. }) => {
                    self.pack_running(spec, output, told).await
                }
                Err(error) => Err(error),
            }
        })
    }

    async fn pack_stopped(
        &self,
        spec: PackSpec,
        output: Output,
        access: Access,
        told: Advance,
    ) -> Result<PackReport, WorkspaceError> {
        let document = access.document().clone();
        let memory = document.suspended.clone().map(|snapshot| (snapshot, self.folder.suspended()));
        let now = Now { chain: document.chain.clone(), memory };
        let ready = self.gather(&spec, document, now).await?;
        let packed = write_pack(spec, output, ready, told).await;
        drop(access);
        packed
    }

    async fn pack_running(
        &self,
        spec: PackSpec,
        output: Output,
        told: Advance,
    ) -> Result<PackReport, WorkspaceError> {
        let request = Request::Freeze { memory: spec.memory };
        let (sender, mut receiver) = connection::ask(&self.config, &self.folder, request).await?;
        let snapshot = loop {
            match receiver.next().await? {
                Incoming::Event(Event::Frozen { snapshot }) => break *snapshot,
                Incoming::Done(_) => return Err(self.not_running()),
                Incoming::Event(_) | Incoming::Bytes(..) => {}
            }
        };
        let folder = snapshots::partial(&self.folder, &snapshot.name);
        let memory = snapshot.memory.map(|memory| (memory, folder));
        let now = Now { chain: snapshot.chain, memory };
        let ready = self.gather(&spec, self.folder.load()?, now).await;
        // Every file is open; the supervisor lets go of their names.
        drop(sender);
        receiver.closed().await;
        write_pack(spec, output, ready?, told).await
    }

    async fn gather(
        &self,
        spec: &PackSpec,
        mut document: Document,
        now: Now,
    ) -> Result<Ready, WorkspaceError> {
        if spec.memory && now.memory.is_none() {
            return Err(PackError::NoMemory.into());
        }
        let mut all = snapshots::list(&self.folder)?;
        all.retain(|snapshot| spec.snapshots || snapshot.name.is_baseline());
        if !spec.memory {
            all.iter_mut().for_each(|snapshot| snapshot.memory = None);
        }
        document.chain = now.chain;
        document.fresh_from = None;
        let memory = now.memory.filter(|_| spec.memory);
        let (suspended, memory_folder) = memory.unzip();
        document.suspended = suspended;
        let has_memory = document.suspended.is_some() || all.iter().any(|snapshot| snapshot.memory.is_some());
        let engine = if has_memory { Some(super::unpack::fingerprint(&self.config).await?) } else { None };
        let folder = self.folder.clone();
        blocking(move || {
            let sources = Sources { folder: &folder, memory: memory_folder };
            let parts = Manifest::needed(&document, &all).into_iter().map(|of| sources.part(of));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            let (parts, files) = parts.into_iter().unzip();
            Ok(Ready { manifest: Manifest { document, snapshots: all, parts, engine }, files })
        })
        .await
    }
}

async fn write_pack(
    spec: PackSpec,
    output: Output,
    ready: Ready,
    told: Advance,
) -> Result<PackReport, WorkspaceError> {
    blocking(move || {
        let manifest = &ready.manifest;
        write(&ready, &output.file, Counted::new(manifest.data_bytes(), told))?;
        let bytes_written = output.file.metadata().map_or(0, |metadata| metadata.len());
        output.keep()?;
        let is_layer = |part: &&Part| matches!(part.of, Of::Layer(_));
        Ok(PackReport {
            workspace_id: manifest.document.workspace_id.to_string(),
            output_path: spec.output,
            layers: manifest.parts.iter().filter(is_layer).count(),
            snapshots: manifest.snapshots.len(),
            memory: manifest.engine.is_some(),
            data_bytes: manifest.data_bytes(),
            bytes_written,
        })
    })
    .await
}

/// Where the files of a workspace are.
struct Sources<'a> {
    folder: &'a Folder,
    memory: Option<PathBuf>,
}

impl Sources<'_> {
    fn open(&self, of: &Of) -> Result<File, PackError> {
        let path = match of {
            Of::Layer(name) => self.folder.layers().path(name),
            Of::Memory(Some(snapshot), file) => self.folder.snapshot(snapshot).join(file.name()),
            Of::Memory(None, file) => {
                self.memory.clone().unwrap_or_else(|| self.folder.suspended()).join(file.name())
            }
        };
        File::open(path).map_err(PackError::file(format!("opening {of}")))
    }

    fn part(&self, of: Of) -> Result<(Part, File), PackError> {
        let failed = PackError::file(format!("reading {of}"));
        let measure = |file: &File| {
            let data = extents(file)?.iter().map(|extent| extent.end - extent.start).sum();
            Ok((file.metadata()?.len(), data))
        };
        let file = self.open(&of)?;
        let (size_bytes, data_bytes) = measure(&file).map_err(failed)?;
        Ok((Part { of, size_bytes, data_bytes }, file))
    }
}

/// What of a file is no hole.
fn extents(file: &File) -> io::Result<Vec<Range<u64>>> {
    let (size, mut position, mut found) = (file.metadata()?.len(), 0, Vec::new());
    while position < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
        found.push(start..end);
        position = end;
    }
    Ok(found)
}

/// Everything that goes into the pack, with the digests of a part and of all.
struct Digested<W> {
    out: W,
    part: Sha256,
    all: Sha256,
}

impl<W: Write> Digested<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part.update(bytes);
        self.all.update(bytes);
        self.out.write_all(bytes)
    }

    fn end_part(&mut self) -> io::Result<()> {
        let digest = std::mem::take(&mut self.part).finalize();
        self.all.update(digest);
        self.out.write_all(&digest)
    }
}

fn write(ready: &Ready, output: &File, mut counted: Counted) -> Result<(), PackError> {
    let manifest = &ready.manifest;
    let failed = || PackError::file("writing the pack");
    let json = serde_json::to_vec(manifest).map_err(|error| failed()(error.into()))?;
    let length = u32::try_from(json.len()).map_err(|_| PackError::invalid("its manifest is too long"))?;
    let begin = || {
        let mut out = io::BufWriter::new(output);
        out.write_all(MAGIC)?;
        out.write_all(&SCHEMA.to_le_bytes())?;
        let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Digested { out: encoder, part: Sha256::new(), all: Sha256::new() })
    };
    let mut out = begin().map_err(failed())?;
    let header = [&length.to_le_bytes()[..], &json].concat();
    out.put(&header).and_then(|()| out.end_part()).map_err(failed())?;
    for (part, file) in manifest.parts.iter().zip(&ready.files) {
        write_part(&mut out, file, part, &mut counted)
            .map_err(PackError::file(format!("packing {}", part.of)))?;
    }
    let end = || {
        let digest = out.all.finalize();
        out.out.write_all(&digest)?;
        out.out.finish()?.flush()?;
        output.sync_all()
    };
    end().map_err(failed())
}

fn write_part<W: Write>(
    out: &mut Digested<W>,
    file: &File,
    part: &Part,
    counted: &mut Counted,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    for extent in extents(file)? {
        let mut at = extent.start;
        out.put(&extent.start.to_le_bytes())?;
        out.put(&(extent.end - extent.start).to_le_bytes())?;
        while at < extent.end {
            let wanted = usize::try_from(extent.end - at).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact_at(&mut buffer[..wanted], at)?;
            out.put(&buffer[..wanted])?;
            at += wanted as u64;
            counted.add(wanted as u64);
        }
    }
    out.put(&PART_END.to_le_bytes())?;
    out.put(&part.size_bytes.to_le_bytes())?;
    out.end_part()
}
