//! What must hold for any bytes that arrive as a stream of records: the decoder never panics, never holds more than one
//! record, says the same however the bytes were cut, lets no path leave its root, and what it accepts means the same when it
//! is written again. It must not depend on a fuzzer: tests run it on the seeds.

use pyro_proto::limits::PATH_BYTES_MAX;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use pyro_proto::tree::TreeError;
use pyro_proto::tree::TreePath;

/// The first byte says how the rest is cut.
pub(crate) fn body(input: &[u8]) {
    let Some((&how, wire)) = input.split_first() else { return };
    let records = decode(wire, wire.len().max(1));
    assert_eq!(records, decode(wire, usize::from(how) + 1), "the cut of the stream changed what it says");
    for record in records.into_iter().flatten() {
        stays_inside(&record);
        let mut wire = Vec::new();
        record.encode(&mut wire);
        assert_eq!(decode(&wire, wire.len()), [Ok(record)], "a record changed on its way");
    }
}

fn decode(wire: &[u8], cut: usize) -> Vec<Result<Record, TreeError>> {
    let mut decoder = TreeDecoder::new();
    let mut records = Vec::new();
    for piece in wire.chunks(cut) {
        decoder.push(piece);
        while let Some(record) = decoder.next_record().transpose() {
            let failed = record.is_err();
            records.push(record);
            if failed {
                return records;
            }
        }
    }
    records
}

fn stays_inside(record: &Record) {
    match record {
        Record::Entry(entry) => {
            check(&entry.path);
            assert!(entry.mode <= 0o7777 && entry.mtime.ns < 1_000_000_000, "bits that are no attributes");
            assert!(
                !entry.target.contains(&0) && entry.target.len() < PATH_BYTES_MAX,
                "a target that is none"
            );
            if entry.kind == EntryKind::HardLink {
                assert!(TreePath::new(entry.target.as_slice()).is_ok(), "a hard link to outside");
            }
        }
        Record::Delete(path) | Record::Path(path) | Record::Digest(path, _) => check(path),
        Record::Data(bytes) => assert!(bytes.len() <= DATA_BYTES_MAX, "more content than a record holds"),
        _ => {}
    }
}

fn check(path: &TreePath) {
    let bytes = path.as_bytes();
    assert!(!bytes.starts_with(b"/") && !bytes.contains(&0) && bytes.len() < PATH_BYTES_MAX, "{path}");
    let harmless = |name: &[u8]| !name.is_empty() && name != b"." && name != b"..";
    assert!(bytes.is_empty() || bytes.split(|byte| *byte == b'/').all(harmless), "{path}");
}
