//! Reads archives (`.tar`, `.tar.gz`, `.tar.zst`; told apart by their bytes) as a tree, one member after the other, without
//! unpacking anything onto the host or holding a member's content. Archives are hostile: what would leave the tree, pass
//! through a link, or grow without bound is refused with the member's name. This file must not write files.

use super::decompress::Fault;
use super::decompress::Meter;
use super::decompress::Packing;
use super::decompress::Unpacked;
use super::encode::Encoder;
use super::intake::IntakeLimits;
use super::member;
use super::member::Placed;
use super::member::Refusal;
use super::member::Seen;
use super::pax::Pax;
use super::tar_error::At;
use super::tar_error::TarError;
use super::warnings::Warnings;
use pyro_proto::limits::PATH_BYTES_MAX;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::Timestamp;
use std::io;
use std::io::Read;
use tar::EntryType;

/// Most characters of a member's name in a message.
const SHOWN_CHARS_MAX: usize = 200;

/// What was read of an archive.
#[derive(Clone, Debug, Default)]
pub struct TarReport {
    /// Members that became entries.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// What was left out.
    pub warnings: Warnings,
}

/// Reads an archive and encodes it as a tree; everything is root's. The stream is not ended.
///
/// # Errors
/// [`TarError`]: what was encoded so far must then not be put in place.
pub fn read_tar(
    reader: impl Read,
    limits: &IntakeLimits,
    encoder: &mut Encoder<'_>,
) -> Result<TarReport, TarError> {
    let meter = Meter::new(*limits);
    let (unpacked, packing) = Unpacked::open(reader, &meter).map_err(TarError::Read)?;
    match packing {
        Packing::Empty => return Err(TarError::Empty),
        Packing::Other(name) => return Err(TarError::Packing(name)),
        Packing::None | Packing::Gzip | Packing::Zstd => {}
    }
    let mut archive = tar::Archive::new(unpacked);
    let mut intake = Intake {
        meter: &meter,
        limits,
        encoder,
        seen: Seen::new(limits.entries_max),
        at: At::Start,
        members: 0,
        report: TarReport::default(),
    };
    intake.members(&mut archive)?;
    intake.rest(archive.into_inner())?;
    Ok(intake.report)
}

struct Intake<'a, 'e, 's> {
    meter: &'a Meter,
    limits: &'a IntakeLimits,
    encoder: &'e mut Encoder<'s>,
    seen: Seen,
    at: At,
    members: u64,
    report: TarReport,
}

impl Intake<'_, '_, '_> {
    fn members<R: Read>(&mut self, archive: &mut tar::Archive<R>) -> Result<(), TarError> {
        let mut members = archive.entries().map_err(|error| self.failed(error))?;
        loop {
            self.meter.begin_header();
            let Some(member) = members.next() else { break };
            let mut member = member.map_err(|error| self.failed(error))?;
            self.meter.end_header();
            self.members += 1;
            if self.members > self.limits.entries_max {
                return Err(TarError::TooMany { entries_max: self.limits.entries_max });
            }
            let pax =
                self.meter.blocks_before(member.raw_header_position()).and_then(|blocks| Pax::read(&blocks));
            let pax = pax.ok_or_else(|| self.failed(io::ErrorKind::InvalidData.into()))?;
            let raw = pax.path.clone().unwrap_or_else(|| member.path_bytes().into_owned());
            let shown = shown(&raw);
            self.at = At::In(shown.clone());
            self.member(&mut member, &raw, &pax, &shown)?;
            // What is left of a member must not count as a description of the next.
            self.skip(&mut member)?;
            self.at = At::After(shown);
        }
        // The end is marked by a block of zeros; without it nobody knows what is missing.
        if self.meter.ended.get() { Err(TarError::Truncated { at: self.at.clone() }) } else { Ok(()) }
    }

    /// Reads on to the end: the checksums are there, and whoever writes into a pipe wants to get rid of it all.
    fn rest(&mut self, mut unpacked: impl Read) -> Result<(), TarError> {
        self.meter.end_header();
        self.skip(&mut unpacked)
    }

    fn skip(&mut self, rest: &mut impl Read) -> Result<(), TarError> {
        io::copy(rest, &mut io::sink()).map(drop).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> TarError {
        let (limits, at) = (self.limits, self.at.clone());
        match self.meter.fault.get() {
            Some(Fault::Bytes) => TarError::TooLarge { bytes_max: limits.bytes_max, at },
            Some(Fault::Ratio) => TarError::Bomb { ratio_max: limits.ratio_max, at },
            Some(Fault::Header) => TarError::Header { header_bytes_max: limits.header_bytes_max, at },
            None if self.meter.is_cut(&error) => TarError::Truncated { at },
            None => TarError::Damaged { at, source: error },
        }
    }

    fn member<R: Read>(
        &mut self,
        member: &mut tar::Entry<'_, R>,
        raw: &[u8],
        pax: &Pax,
        shown: &str,
    ) -> Result<(), TarError> {
        let entries_max = self.limits.entries_max;
        let refused = |refusal| match refusal {
            Refusal::TooMany => TarError::TooMany { entries_max },
            refusal => TarError::Refused { member: shown.to_owned(), refusal },
        };
        let kind = match member.header().entry_type() {
            // Archives from before there were types say it with a slash.
            EntryType::Regular if raw.last() == Some(&b'/') => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Link => EntryKind::HardLink,
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.report.warnings.add(format!("{shown}: a device or FIFO, left out"));
                return Ok(());
            }
            _ => {
                self.report.warnings.add(format!("{shown}: of an unknown kind, left out"));
                return Ok(());
            }
        };
        let path = member::path(raw).map_err(refused)?;
        let mut entry = Entry::new(path, kind);
        self.attributes(&mut entry, member, pax, shown)?;
        let link = pax.link.clone().unwrap_or_else(|| link_name(member));
        match kind {
            EntryKind::Directory => self.seen.place(&entry.path, Placed::Folder).map_err(refused)?,
            EntryKind::Symlink => self.symlink(&mut entry, &link).map_err(refused)?,
            EntryKind::HardLink => self.hard_link(&mut entry, &link).map_err(refused)?,
            EntryKind::File | EntryKind::Special => {
                self.seen.place(&entry.path, Placed::File).map_err(refused)?;
                entry.size_bytes = member.size();
            }
        }
        self.report.entries += 1;
        self.encoder.record(&Record::Entry(entry))?;
        if kind == EntryKind::File {
            self.content(member)?;
            self.encoder.record(&Record::End)?;
        }
        Ok(())
    }

    fn symlink(&mut self, entry: &mut Entry, target: &[u8]) -> Result<(), Refusal> {
        if target.is_empty() || target.len() >= PATH_BYTES_MAX || target.contains(&0) {
            return Err(Refusal::Target);
        }
        self.seen.place(&entry.path, Placed::Link)?;
        self.seen.remember_target(&entry.path, target, self.limits);
        entry.target = target.to_vec();
        Ok(())
    }

    fn hard_link(&mut self, entry: &mut Entry, target: &[u8]) -> Result<(), Refusal> {
        let unknown = || Refusal::HardLink(shown(target));
        let path = member::path(target)?;
        match self.seen.resolve(&path) {
            Some(None) if path != entry.path => {
                self.seen.place(&entry.path, Placed::File)?;
                entry.target = path.into_bytes();
                Ok(())
            }
            Some(Some(target)) => {
                let target = target.to_vec();
                entry.kind = EntryKind::Symlink;
                self.symlink(entry, &target)
            }
            Some(None) | None => Err(unknown()),
        }
    }

    fn attributes<R: Read>(
        &mut self,
        entry: &mut Entry,
        member: &tar::Entry<'_, R>,
        pax: &Pax,
        shown: &str,
    ) -> Result<(), TarError> {
        entry.mode = member.header().mode().map_err(|error| self.failed(error))? & 0o7777;
        let mtime = member.header().mtime().map_err(|error| self.failed(error))?;
        entry.mtime.s = i64::try_from(mtime).unwrap_or(0);
        entry.mtime = pax.mtime.as_deref().and_then(pax_time).unwrap_or(entry.mtime);
        let unsupported = |what| TarError::Unsupported { member: shown.to_owned(), what };
        if pax.sparse {
            return Err(unsupported("a sparse file in the PAX format"));
        }
        // Whoever reads such an archive differently would see other members in it.
        if pax.size.is_some_and(|size| size != member.size()) && !member.header().entry_type().is_gnu_sparse()
        {
            return Err(unsupported("of two sizes at once"));
        }
        Ok(())
    }

    fn content<R: Read>(&mut self, member: &mut tar::Entry<'_, R>) -> Result<(), TarError> {
        let size = member.size();
        if self.report.bytes.saturating_add(size) > self.limits.bytes_max {
            return Err(TarError::TooLarge { bytes_max: self.limits.bytes_max, at: self.at.clone() });
        }
        if member.header().entry_type().is_gnu_sparse() {
            self.sparse(member)?;
            self.report.bytes += size;
            return Ok(());
        }
        let mut left = size;
        while left > 0 {
            match self.encoder.data(left, |place| member.read(place))? {
                Ok(0) => return Err(TarError::Truncated { at: self.at.clone() }),
                Ok(length) => left -= length as u64,
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.report.bytes += size;
        Ok(())
    }

    /// The zeros between the pieces of a sparse file come as zeros: whole pieces of them are holes again.
    fn sparse<R: Read>(&mut self, member: &mut tar::Entry<'_, R>) -> Result<(), TarError> {
        let (mut piece, mut hole) = (Vec::with_capacity(DATA_BYTES_MAX), 0);
        loop {
            piece.clear();
            let read = member.by_ref().take(DATA_BYTES_MAX as u64).read_to_end(&mut piece);
            read.map_err(|error| self.failed(error))?;
            if !piece.is_empty() && piece.iter().all(|byte| *byte == 0) {
                hole += piece.len() as u64;
                continue;
            }
            if hole > 0 {
                self.encoder.record(&Record::Hole(std::mem::take(&mut hole)))?;
            }
            if piece.is_empty() {
                return if self.meter.ended.get() {
                    Err(TarError::Truncated { at: self.at.clone() })
                } else {
                    Ok(())
                };
            }
            self.encoder.record(&Record::Data(std::mem::take(&mut piece)))?;
        }
    }
}

fn link_name<R: Read>(member: &tar::Entry<'_, R>) -> Vec<u8> {
    member.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(SHOWN_CHARS_MAX)]).into_owned()
}

/// Seconds, perhaps negative, perhaps with a fraction.
fn pax_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let s: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let ns: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && ns > 0 {
        return Some(Timestamp { s: s.checked_sub(1)?, ns: 1_000_000_000 - ns });
    }
    Some(Timestamp { s, ns })
}

#[cfg(test)]
mod tests;
