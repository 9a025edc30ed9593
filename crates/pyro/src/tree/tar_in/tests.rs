//! Archives by the real tar, by our own writer, and by people who mean harm.

use super::super::Compression;
use super::super::ExtractOptions;
use super::super::Extractor;
use super::super::Stop;
use super::super::TarLimits;
use super::super::TarOutError;
use super::super::TarWriter;
use super::super::fixture;
use super::*;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::TreeDecoder;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

fn read(bytes: &[u8], limits: &IntakeLimits) -> Result<(TarReport, Vec<u8>), TarError> {
    let mut outcome = None;
    let wire = fixture::encode(|encoder| outcome = Some(read_tar(bytes, limits, encoder)));
    outcome.unwrap().map(|report| (report, wire))
}

fn entries(wire: &[u8]) -> Vec<Entry> {
    let records = fixture::decoded(wire).into_iter();
    records.filter_map(|record| if let Record::Entry(entry) = record { Some(entry) } else { None }).collect()
}

/// Runs the real tar on a folder.
fn tar(folder: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    let output = command.arg("-C").arg(folder).args(options).args(["-cf", "-", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a stream makes of a new folder.
fn contents(wire: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let to = tempfile::tempdir().unwrap();
    let target = to.path().join("t");
    let mut extractor = Extractor::create(&target, ExtractOptions::default()).unwrap();
    extractor.push(wire).unwrap();
    extractor.finish().unwrap();
    let contents = fixture::contents(&target);
    fixture::unlock(&target);
    contents
}

#[test]
fn archives_of_the_real_tar_hold_what_the_folder_holds() {
    let from = tempfile::tempdir().unwrap();
    fixture::zoo(from.path());
    let expected = fixture::contents(from.path());
    let whole_seconds = || {
        let mut expected = expected.clone();
        expected.iter_mut().for_each(|(entry, _)| entry.mtime.ns = 0);
        expected
    };
    let cases: [(&[&str], bool); 6] = [
        (&["--format=gnu", "--sort=name"], false),
        (&["--format=gnu", "--sort=name", "--sparse"], false),
        (&["--format=posix", "--sort=name"], true),
        (&["--format=gnu", "--sort=name", "-z"], false),
        (&["--format=posix", "--sort=name", "--zstd"], true),
        (&["--format=posix", "--sort=name", "--use-compress-program=zstd -3 --long=27"], true),
    ];
    for (options, exact) in cases {
        let archive = tar(from.path(), options);
        let (report, wire) = read(&archive, &IntakeLimits::default()).unwrap();
        assert!(report.warnings.is_empty());
        let found = contents(&wire);
        assert!(found == if exact { expected.clone() } else { whole_seconds() }, "{options:?}");
        assert_eq!(report.entries as usize, found.len());
    }
    fixture::unlock(from.path());
}

#[test]
fn holes_of_sparse_members_are_holes_again() {
    let from = tempfile::tempdir().unwrap();
    let file = fs::File::create(from.path().join("sparse")).unwrap();
    file.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 5 << 20).unwrap();
    let (report, wire) = read(&tar(from.path(), &["--format=gnu", "-S"]), &IntakeLimits::default()).unwrap();
    assert_eq!(report.bytes, 10 << 20);
    assert!(wire.len() < 1 << 20, "{}", wire.len());
    let error = read(&tar(from.path(), &["--format=posix", "-S"]), &IntakeLimits::default()).unwrap_err();
    assert!(matches!(error, TarError::Unsupported { .. }), "{error}");
}

#[test]
fn our_archives_are_read_by_us_and_by_the_real_tar() {
    let from = tempfile::tempdir().unwrap();
    fixture::zoo(from.path());
    let expected = fixture::contents(from.path());
    let wire = fixture::encoded(from.path());
    let mut archives = Vec::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let write = |name: &[u8]| {
            let mut writer = TarWriter::new(Vec::new(), compression, name, TarLimits::default()).unwrap();
            wire.chunks(9999).for_each(|piece| writer.push(piece).unwrap());
            let (archive, written) = writer.finish().unwrap();
            assert!(written.warnings.is_empty());
            assert_eq!(written.entries as usize, expected.len());
            archive
        };
        let archive = write(b"");
        assert_eq!(archive, write(b""), "the same tree gave another archive");
        let (_, wire) = read(&archive, &IntakeLimits::default()).unwrap();
        assert!(contents(&wire) == expected, "{compression:?}");
        archives.push(write(b"project"));
    }
    for archive in archives {
        let to = tempfile::tempdir().unwrap();
        let path = to.path().join("archive");
        fs::write(&path, archive).unwrap();
        let mut command = Command::new("tar");
        let output = command.arg("-C").arg(to.path()).arg("-xpf").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(fixture::contents(&to.path().join("project")) == expected);
        fixture::unlock(&to.path().join("project"));
    }
    fixture::unlock(from.path());
}

#[test]
fn a_file_that_is_not_as_long_as_it_said_keeps_the_archive_whole() {
    let limits = TarLimits { bytes_max: 1000, entries_max: 3 };
    let mut writer = TarWriter::new(Vec::new(), Compression::None, b"f", limits).unwrap();
    let mut entry = Entry::new(Default::default(), EntryKind::File);
    entry.size_bytes = 10;
    for record in [Record::Entry(entry.clone()), Record::Data(vec![b'x'; 4]), Record::End] {
        writer.record(record).unwrap();
    }
    for record in [Record::Entry(entry.clone()), Record::Data(vec![b'y'; 14]), Record::Hole(9), Record::End] {
        writer.record(record).unwrap();
    }
    entry.size_bytes = 990;
    let error = writer.record(Record::Entry(entry.clone())).unwrap_err();
    assert!(matches!(error, TarOutError::TooLarge { bytes_max: 1000 }));
    let error = writer.record(Record::Entry(entry)).unwrap_err();
    assert!(matches!(error, TarOutError::TooMany { entries_max: 3 }) && error.code() == code::QUOTA_EXCEEDED);
    writer.record(Record::Done(Vec::new())).unwrap();
    let (archive, written) = writer.finish().unwrap();
    assert_eq!(written.warnings.count(), 2);
    let mut archive = tar::Archive::new(&archive[..]);
    let mut contents = Vec::new();
    for member in archive.entries().unwrap().take(2) {
        let mut content = String::new();
        member.unwrap().read_to_string(&mut content).unwrap();
        contents.push(content);
    }
    assert_eq!(contents, ["xxxx\0\0\0\0\0\0", "yyyyyyyyyy"]);
}

/// An archive of members with any names at all.
#[derive(Default)]
struct Forge(Vec<u8>);

impl Forge {
    fn member(mut self, kind: EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        let (name, link) = (self.long(b'L', name), self.long(b'K', link));
        header.as_old_mut().name[..name.len()].copy_from_slice(&name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(&link);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.raw(&header, content)
    }

    fn raw(mut self, header: &tar::Header, content: &[u8]) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn long(&mut self, kind: u8, text: &[u8]) -> Vec<u8> {
        if text.len() <= 100 {
            return text.to_vec();
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(text.len() as u64);
        header.set_cksum();
        *self = std::mem::take(self).raw(&header, text);
        text[..100].to_vec()
    }

    fn file(self, name: &[u8]) -> Self {
        self.member(EntryType::Regular, name, b"", b"content")
    }

    fn link(self, name: &[u8], target: &[u8]) -> Self {
        self.member(EntryType::Symlink, name, target, b"")
    }

    fn hard(self, name: &[u8], target: &[u8]) -> Self {
        self.member(EntryType::Link, name, target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

#[test]
fn hostile_archives_are_refused_with_the_members_name() {
    let long = "x/".repeat(2100) + "end";
    let name = "n".repeat(200);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("/etc/passwd", Forge::default().file(b"/etc/passwd").end()),
        ("a/../../b", Forge::default().file(b"a/../../b").end()),
        ("..", Forge::default().link(b"..", b"x").end()),
        ("l/x", Forge::default().link(b"l", b"/etc").file(b"l/x").end()),
        ("./l//x/y", Forge::default().link(b"l", b".").file(b"./l//x/y").end()),
        ("f/x", Forge::default().file(b"f").file(b"f/x").end()),
        ("d", Forge::default().file(b"d/x").link(b"d", b"/etc").end()),
        ("h", Forge::default().hard(b"h", b"none").end()),
        ("h", Forge::default().hard(b"h", b"/etc/passwd").end()),
        ("h", Forge::default().hard(b"h", b"../x").end()),
        ("h", Forge::default().file(b"h").hard(b"h", b"h").end()),
        ("h", Forge::default().file(b"d/x").hard(b"h", b"d").end()),
        ("h/x", Forge::default().link(b"l", b"/etc").hard(b"h", b"l").file(b"h/x").end()),
        ("empty", Forge::default().link(b"empty", b"").end()),
        ("t", Forge::default().link(b"t", "y".repeat(4096).as_bytes()).end()),
        (".", Forge::default().link(b".", b"x").end()),
        (&long[..200], Forge::default().file(long.as_bytes()).end()),
        (&name, Forge::default().file("n".repeat(256).as_bytes()).end()),
    ];
    for (member, archive) in cases {
        let error = read(&archive, &IntakeLimits::default()).map(|_| ()).expect_err(member);
        assert_eq!(error.code(), code::ARCHIVE_REFUSED, "{member}: {error}");
        assert!(
            matches!(&error, TarError::Refused { member: named, .. } if named == member),
            "{member}: {error}"
        );
    }
}

#[test]
fn what_only_looks_hostile_is_taken() {
    let archive = Forge::default()
        .member(
            EntryType::XGlobalHeader,
            b"pax_global_header",
            b"",
            b"52 comment=0123456789012345678901234567890123456789\n",
        )
        .link(b"d", b"elsewhere")
        .file(b"d")
        .member(EntryType::Directory, b"d/", b"", b"")
        .file(b"d/f")
        .file(b"d/F")
        .file(b"d/f")
        .link(b"bin", b"/usr/bin")
        .hard(b"bin2", b"bin")
        .hard(b"d/g", b"./d//f")
        .member(EntryType::Char, b"/dev/null", b"", b"")
        .member(EntryType::Fifo, b"fifo", b"", b"")
        .member(EntryType::new(b'V'), b"volume", b"", b"")
        .file(b"...")
        .end();
    let (report, wire) = read(&archive, &IntakeLimits::default()).unwrap();
    let shown: Vec<(String, EntryKind, Vec<u8>)> =
        entries(&wire).into_iter().map(|entry| (entry.path.to_string(), entry.kind, entry.target)).collect();
    let expected = [
        ("d", EntryKind::Symlink, "elsewhere"),
        ("d", EntryKind::File, ""),
        ("d", EntryKind::Directory, ""),
        ("d/f", EntryKind::File, ""),
        ("d/F", EntryKind::File, ""),
        ("d/f", EntryKind::File, ""),
        ("bin", EntryKind::Symlink, "/usr/bin"),
        ("bin2", EntryKind::Symlink, "/usr/bin"),
        ("d/g", EntryKind::HardLink, "d/f"),
        ("...", EntryKind::File, ""),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(path, kind, target)| ((*path).to_owned(), *kind, target.as_bytes().to_vec()))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(report.warnings.count(), 3);
}

#[test]
fn limits_hold() {
    let limits =
        IntakeLimits { entries_max: 2, bytes_max: 3000, header_bytes_max: 3000, ..IntakeLimits::default() };
    let three = Forge::default().file(b"a").file(b"b").file(b"c").end();
    assert!(matches!(
        read(&three, &IntakeLimits { bytes_max: 1 << 20, ..limits }),
        Err(TarError::TooMany { .. })
    ));
    let large = Forge::default().member(EntryType::Regular, b"large", b"", &[1; 4000]).end();
    let error = read(&large, &limits).unwrap_err();
    assert!(matches!(&error, TarError::TooLarge { at: At::In(member), .. } if member == "large"), "{error}");
    // What is left out counts as well.
    let device = Forge::default().member(EntryType::Fifo, b"fifo", b"", &[1; 4000]).end();
    assert!(matches!(read(&device, &limits), Err(TarError::TooLarge { .. })));
    let name = Forge::default().file(b"a").file(&[b'n'; 5000]).end();
    let error = read(&name, &IntakeLimits { bytes_max: 1 << 20, ..limits }).unwrap_err();
    assert!(matches!(&error, TarError::Header { at: At::After(member), .. } if member == "a"), "{error}");
}

#[test]
fn bombs_are_noticed_by_their_ratio() {
    let zeros = Forge::default().member(EntryType::Regular, b"zeros", b"", &vec![0; 8 << 20]).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    let packed = [gzip.finish().unwrap(), zstd::encode_all(&zeros[..], 3).unwrap()];
    for archive in packed {
        let limits = IntakeLimits { ratio_free_bytes: 1 << 20, ratio_max: 100, ..IntakeLimits::default() };
        let error = read(&archive, &limits).unwrap_err();
        assert!(matches!(error, TarError::Bomb { .. }), "{error}");
        assert_eq!(error.code(), code::ARCHIVE_REFUSED);
        read(&archive, &IntakeLimits::default()).unwrap();
    }
}

#[test]
fn archives_that_are_cut_off_are_noticed_wherever_that_is() {
    let whole = Forge::default().file(b"first").member(EntryType::Regular, b"second", b"", &[7; 2000]).end();
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let limits = IntakeLimits::default();
    read(&whole, &limits).unwrap();
    for cut in (6..whole.len() - 1024).step_by(37).chain([512, 1024, 1536]) {
        let error = read(&whole[..cut], &limits).unwrap_err();
        assert!(matches!(error, TarError::Truncated { .. }), "{cut}: {error}");
    }
    let error = read(&whole[..2000], &limits).unwrap_err();
    assert!(error.to_string().contains("in 'second'"), "{error}");
    for packed in [gzip(&whole), zstd::encode_all(&whole[..], 3).unwrap()] {
        for cut in (6..packed.len() - 1).step_by(5) {
            assert_eq!(read(&packed[..cut], &limits).unwrap_err().code(), code::ARCHIVE_INVALID, "{cut}");
        }
    }
}

#[test]
fn damage_and_other_formats_are_named() {
    let limits = IntakeLimits::default();
    assert!(matches!(read(b"", &limits), Err(TarError::Empty)));
    let text =
        read("no archive at all, but a text that is longer than a block. ".repeat(20).as_bytes(), &limits);
    assert!(matches!(text, Err(TarError::Damaged { at: At::Start, .. })));
    let error = read(&[0xfd, b'7', b'z', b'X', b'Z', 0, 1, 2], &limits).unwrap_err();
    assert!(error.to_string().contains("xz"), "{error}");
    assert!(!error.hints().is_empty());
    let whole = Forge::default().file(b"first").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&whole).unwrap();
    let mut packed = gzip.finish().unwrap();
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert!(matches!(read(&packed, &limits), Err(TarError::Damaged { .. } | TarError::Truncated { .. })));
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&whole).unwrap();
    let mut packed = encoder.finish().unwrap();
    *packed.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&packed, &limits), Err(TarError::Damaged { .. } | TarError::Truncated { .. })));
}

/// Zstd files may have several frames, and some to be skipped.
#[test]
fn all_frames_of_a_zstd_file_are_read() {
    let whole = Forge::default().file(b"first").file(b"second").end();
    let mut packed = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    whole.chunks(700).for_each(|piece| packed.extend(zstd::encode_all(piece, 3).unwrap()));
    let (report, _) = read(&packed, &IntakeLimits::default()).unwrap();
    assert_eq!(report.entries, 2);
}

#[test]
fn a_receiver_that_stops_ends_the_reading() {
    let mut sink = |_: Vec<u8>| Err(Stop);
    let mut encoder = Encoder::new(&mut sink);
    let archive = Forge::default().member(EntryType::Regular, b"large", b"", &vec![1; 1 << 20]).end();
    let stopped = read_tar(&archive[..], &IntakeLimits::default(), &mut encoder);
    assert!(matches!(stopped, Err(TarError::Stopped(_))));
}

/// The body of the fuzz target, on what it begins with.
#[test]
fn decoded_streams_are_whole() {
    let archive = Forge::default().file(b"a/b").hard(b"c", b"a/b").end();
    let (_, wire) = read(&archive, &IntakeLimits::default()).unwrap();
    let mut decoder = TreeDecoder::new();
    decoder.push(&wire);
    while decoder.next_record().unwrap().is_some() {}
    assert!(!decoder.is_cut());
}

#[test]
fn pax_times_are_decimal() {
    assert_eq!(pax_time(b"12"), Some(Timestamp { s: 12, ns: 0 }));
    assert_eq!(pax_time(b"12.5"), Some(Timestamp { s: 12, ns: 500_000_000 }));
    assert_eq!(pax_time(b"12.1234567899"), Some(Timestamp { s: 12, ns: 123_456_789 }));
    assert_eq!(pax_time(b"-0.5"), Some(Timestamp { s: -1, ns: 500_000_000 }));
    assert_eq!(pax_time(b"-3"), Some(Timestamp { s: -3, ns: 0 }));
    assert_eq!(pax_time(b"-9223372036854775808.5"), None);
    assert_eq!(pax_time(b"1.x"), None);
    assert_eq!(pax_time(b""), None);
}
