//! What must hold for any bytes that are given as an archive: reading never panics and says the same however the bytes
//! arrive; what comes out is a proper tree within the limits, in which nothing lies below a file or a link.
//! It must not depend on a fuzzer: tests run it on the seeds.

use pyro::tree::Encoder;
use pyro::tree::IntakeLimits;
use pyro::tree::Stop;
use pyro::tree::read_tar;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::io::Read;

const LIMITS: IntakeLimits = IntakeLimits {
    entries_max: 200,
    bytes_max: 1 << 20,
    ratio_max: 50,
    ratio_free_bytes: 1 << 16,
    header_bytes_max: 1 << 15,
    link_bytes_max: 1 << 12,
};

/// The first byte says in what pieces the rest arrives.
pub(crate) fn body(input: &[u8]) {
    let Some((&how, archive)) = input.split_first() else { return };
    let (outcome, wire) = read(archive, archive.len().max(1));
    let (in_pieces, _) = read(archive, usize::from(how) + 1);
    assert_eq!(outcome.is_ok(), in_pieces.is_ok(), "the pieces changed the outcome");
    let records = decoded(&wire);
    check(&records, outcome.is_ok());
    if let Ok(entries) = outcome {
        let found = records.iter().filter(|record| matches!(record, Record::Entry(_))).count();
        assert_eq!(entries, found as u64, "the report counts other entries");
    }
}

fn read(archive: &[u8], piece: usize) -> (Result<u64, String>, Vec<u8>) {
    let mut wire = Vec::new();
    let mut sink = |bytes: Vec<u8>| {
        wire.extend_from_slice(&bytes);
        Ok::<(), Stop>(())
    };
    let mut encoder = Encoder::new(&mut sink);
    let outcome = read_tar(Pieces { rest: archive, piece }, &LIMITS, &mut encoder);
    let flushed = encoder.flush();
    assert!(flushed.is_ok(), "the sink never stops");
    drop(encoder);
    (outcome.map(|report| report.entries).map_err(|error| error.to_string()), wire)
}

struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, place: &mut [u8]) -> std::io::Result<usize> {
        let length = place.len().min(self.piece).min(self.rest.len());
        place[..length].copy_from_slice(&self.rest[..length]);
        self.rest = &self.rest[length..];
        Ok(length)
    }
}

fn decoded(wire: &[u8]) -> Vec<Record> {
    let mut decoder = TreeDecoder::new();
    decoder.push(wire);
    let mut records = Vec::new();
    while let Some(record) = decoder.next_record().transpose() {
        assert!(record.is_ok(), "the stream is malformed: {record:?}");
        records.extend(record);
    }
    assert!(!decoder.is_cut(), "the stream ends in a record");
    records
}

fn check(records: &[Record], whole: bool) {
    let mut there: HashMap<TreePath, EntryKind> = HashMap::new();
    let mut open: Option<u64> = None;
    let mut total = 0;
    for record in records {
        match record {
            Record::Entry(entry) => {
                assert!(open.is_none(), "an entry inside of a file");
                place(&mut there, entry);
                open = (entry.kind == EntryKind::File).then_some(entry.size_bytes);
            }
            Record::Data(bytes) => {
                total += bytes.len() as u64;
                open = open.and_then(|left| left.checked_sub(bytes.len() as u64));
                assert!(open.is_some(), "more content than was said");
            }
            Record::Hole(bytes) => {
                total += bytes;
                open = open.and_then(|left| left.checked_sub(*bytes));
                assert!(open.is_some(), "more holes than were said");
            }
            Record::End => {
                assert_eq!(open, Some(0), "less content than was said");
                open = None;
            }
            other => assert!(matches!(other, Record::End), "no such record belongs here: {other:?}"),
        }
    }
    assert!(total <= LIMITS.bytes_max && there.len() as u64 <= LIMITS.entries_max, "a limit was passed");
    assert!(!whole || open.is_none(), "the last file has no end");
}

/// Places an entry as a receiver would, which follows nothing.
fn place(there: &mut HashMap<TreePath, EntryKind>, entry: &Entry) {
    let mut above = entry.path.parent();
    while let Some(folder) = above {
        let kind = there.get(&folder);
        assert!(matches!(kind, None | Some(EntryKind::Directory)), "{} lies below {folder}", entry.path);
        above = folder.parent();
    }
    assert!(entry.kind != EntryKind::Special, "{} is special", entry.path);
    match entry.kind {
        EntryKind::HardLink => {
            let target = TreePath::new(entry.target.clone()).ok();
            let kind = target.as_ref().and_then(|target| there.get(target));
            assert!(
                matches!(kind, Some(EntryKind::File | EntryKind::HardLink))
                    && target.as_ref() != Some(&entry.path),
                "{} is a hard link to no file",
                entry.path
            );
        }
        EntryKind::Symlink => assert!(!entry.target.is_empty(), "{} points nowhere", entry.path),
        EntryKind::File | EntryKind::Directory | EntryKind::Special => {}
    }
    let has_children = there.keys().any(|path| path.parent().as_ref() == Some(&entry.path));
    assert!(entry.kind == EntryKind::Directory || !has_children, "{} replaces a folder", entry.path);
    there.insert(entry.path.clone(), entry.kind);
}
