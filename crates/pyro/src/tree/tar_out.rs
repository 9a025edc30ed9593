//! Writes a tree as a tar archive, plain or compressed: a stream in, a stream out, and the same tree gives the same bytes. A
//! file that turns out shorter or longer than was said is filled up or cut, with a warning. This file must not open files.

use super::extract::ExtractOptions;
use super::extract::refusal;
use super::tar_header;
use super::tar_header::BLOCK_BYTES;
use super::tar_header::padding;
use super::warnings::Warnings;
use crate::code;
use crate::code::Coded;
use flate2::write::GzEncoder;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use pyro_proto::tree::TreeError;
use pyro_proto::tree::TreePath;
use std::io;
use std::io::Write;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip does by default.
    Gzip,
    /// As zstd does by default.
    Zstd,
}

/// Why an archive was not written.
#[derive(Debug, thiserror::Error)]
pub enum TarOutError {
    /// The output takes no more.
    #[error("writing the archive")]
    Write(#[source] io::Error),
    /// There are too many bytes in it.
    #[error("the tree holds more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// There are too many entries in it.
    #[error("the tree holds more than {entries_max} files and folders")]
    TooMany {
        /// The limit.
        entries_max: u64,
    },
    /// What arrives is no tree.
    #[error("the guest sent no proper tree: {0}")]
    Stream(#[from] TreeError),
    /// A record came where it cannot be.
    #[error("the guest sent no proper tree: {0} out of place")]
    Order(&'static str),
    /// It ended early.
    #[error("the guest's tree is cut off")]
    Cut,
    /// The guest says why it could not send it.
    #[error("the guest could not send the tree: {0}")]
    Guest(String),
}

impl Coded for TarOutError {
    fn code(&self) -> &'static str {
        match self {
            Self::Write(source) if source.kind() == io::ErrorKind::StorageFull => code::DISK_FULL,
            Self::Write(_) => code::OUTPUT_FAILED,
            Self::TooLarge { .. } | Self::TooMany { .. } => code::QUOTA_EXCEEDED,
            Self::Stream(_) | Self::Order(_) | Self::Cut => code::GUEST_PROTOCOL,
            Self::Guest(_) => code::GUEST_REFUSED,
        }
    }

    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct TarWritten {
    /// Members.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// What was left out or looked odd.
    pub warnings: Warnings,
    /// The document at the stream's end.
    pub done: Vec<u8>,
}

enum Output<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Output<W> {
    fn new(out: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(out),
            Compression::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<W> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out.finish()?,
            Self::Zstd(out) => out.finish()?,
        };
        out.flush()?;
        Ok(out)
    }
}

/// A member whose content is under way.
struct Member {
    path: TreePath,
    size: u64,
    left: u64,
    cut: bool,
}

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct TarLimits {
    /// Most bytes of content, holes included.
    pub bytes_max: u64,
    /// Most entries.
    pub entries_max: u64,
}

impl Default for TarLimits {
    fn default() -> Self {
        let ExtractOptions { bytes_max, entries_max, .. } = ExtractOptions::default();
        Self { bytes_max, entries_max }
    }
}

/// Writes an archive, record by record.
pub struct TarWriter<W: Write> {
    out: Output<W>,
    /// What the tree's root is called; empty for `.`.
    name: Vec<u8>,
    limits: TarLimits,
    header: Vec<u8>,
    member: Option<Member>,
    decoder: TreeDecoder,
    report: TarWritten,
    done: bool,
}

impl<W: Write> TarWriter<W> {
    /// An archive of a tree that it calls `name`; members of a nameless tree begin at the archive's root.
    ///
    /// # Errors
    /// [`TarOutError::Write`].
    pub fn new(
        out: W,
        compression: Compression,
        name: &[u8],
        limits: TarLimits,
    ) -> Result<Self, TarOutError> {
        Ok(Self {
            out: Output::new(out, compression).map_err(TarOutError::Write)?,
            name: name.to_vec(),
            limits,
            header: Vec::new(),
            member: None,
            decoder: TreeDecoder::new(),
            report: TarWritten::default(),
            done: false,
        })
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`TarOutError`]; the archive is then of no use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TarOutError> {
        self.decoder.push(bytes);
        while let Some(record) = self.decoder.next_record()? {
            self.record(record)?;
        }
        Ok(())
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`TarOutError`]; the archive is then of no use.
    pub fn record(&mut self, record: Record) -> Result<(), TarOutError> {
        if self.done {
            return Err(TarOutError::Order("a record after the end"));
        }
        match record {
            Record::Entry(_) | Record::Done(_) if self.member.is_some() => {
                Err(TarOutError::Order("a record inside of a file"))
            }
            Record::Entry(entry) => self.entry(entry),
            Record::Data(bytes) => self.data(&bytes),
            Record::Hole(bytes) => self.hole(bytes),
            Record::End => self.end(),
            Record::Warning(text) => {
                self.report.warnings.add(text);
                Ok(())
            }
            Record::Done(document) => {
                self.done = true;
                self.report.done = document;
                Ok(())
            }
            Record::Failed(json) => Err(TarOutError::Guest(refusal(&json))),
            Record::Delete(_) | Record::Path(_) | Record::Digest(..) => {
                Err(TarOutError::Order("a deletion, path or digest"))
            }
            Record::Expect(_) | Record::Prune(_) => Err(TarOutError::Order("a condition")),
        }
    }

    fn entry(&mut self, entry: Entry) -> Result<(), TarOutError> {
        if entry.kind == EntryKind::Special {
            self.report.warnings.add(format!("{}: a socket, FIFO or device, left out", entry.path));
            return Ok(());
        }
        let TarLimits { entries_max, .. } = self.limits;
        if self.report.entries >= entries_max {
            return Err(TarOutError::TooMany { entries_max });
        }
        let folder = entry.kind == EntryKind::Directory;
        let link = match entry.kind {
            EntryKind::HardLink => self.called(&entry.target, false),
            _ => entry.target.clone(),
        };
        let name = self.called(entry.path.as_bytes(), folder);
        self.header.clear();
        tar_header::write(&mut self.header, &entry, &name, &link);
        self.out.write(&self.header).map_err(TarOutError::Write)?;
        self.report.entries += 1;
        if entry.kind == EntryKind::File {
            let size = entry.size_bytes;
            let total = self.report.bytes.saturating_add(size);
            let TarLimits { bytes_max, .. } = self.limits;
            if total > bytes_max {
                return Err(TarOutError::TooLarge { bytes_max });
            }
            self.report.bytes = total;
            self.member = Some(Member { path: entry.path, size, left: size, cut: false });
        }
        Ok(())
    }

    /// What a path is called in the archive.
    fn called(&self, path: &[u8], folder: bool) -> Vec<u8> {
        let name = match (self.name.is_empty(), path.is_empty()) {
            (true, true) => b".".to_vec(),
            (true, false) => path.to_vec(),
            (false, true) => self.name.clone(),
            (false, false) => [&self.name[..], b"/", path].concat(),
        };
        if folder { [&name[..], b"/"].concat() } else { name }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), TarOutError> {
        let Some(member) = &mut self.member else {
            return Err(TarOutError::Order("content outside of a file"));
        };
        let fits = usize::try_from(member.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        member.cut |= fits < bytes.len();
        member.left -= fits as u64;
        self.out.write(&bytes[..fits]).map_err(TarOutError::Write)
    }

    fn hole(&mut self, bytes: u64) -> Result<(), TarOutError> {
        let Some(member) = &mut self.member else {
            return Err(TarOutError::Order("a hole outside of a file"));
        };
        let mut fits = bytes.min(member.left);
        member.cut |= fits < bytes;
        member.left -= fits;
        while fits > 0 {
            let piece = usize::try_from(fits).map_or(ZEROS.len(), |fits| fits.min(ZEROS.len()));
            self.out.write(&ZEROS[..piece]).map_err(TarOutError::Write)?;
            fits -= piece as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TarOutError> {
        let Some(member) = &self.member else { return Err(TarOutError::Order("the end of no file")) };
        let (path, size, left, cut) = (member.path.to_string(), member.size, member.left, member.cut);
        if left > 0 {
            self.hole(left)?;
            self.report
                .warnings
                .add(format!("{path}: was {left} bytes shorter than expected, filled with zeros"));
        }
        if cut {
            self.report.warnings.add(format!("{path}: grew while it was read, cut to {size} bytes"));
        }
        self.member = None;
        self.out.write(&ZEROS[..padding(size)]).map_err(TarOutError::Write)
    }

    /// Ends the archive and gives back what it was written to.
    ///
    /// # Errors
    /// [`TarOutError`].
    pub fn finish(mut self) -> Result<(W, TarWritten), TarOutError> {
        if !self.done || self.decoder.is_cut() {
            return Err(TarOutError::Cut);
        }
        let end = usize::try_from(2 * BLOCK_BYTES).unwrap_or(0);
        self.out.write(&ZEROS[..end]).map_err(TarOutError::Write)?;
        let out = self.out.finish().map_err(TarOutError::Write)?;
        Ok((out, self.report))
    }
}

impl<W: Write> std::fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarWriter").field("report", &self.report).finish_non_exhaustive()
    }
}
