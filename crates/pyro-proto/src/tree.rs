//! File trees on the wire: what a tool in the guest reads from its input and writes to its output, and what the host does
//! the same with. A codec: this file must not open files or follow links.
//!
//! ```text
//!   record = tag u8 | length u32 | payload
//!
//!   scan, send:     Entry (Data | Hole)* End        one group for each regular file of a send, Entry alone otherwise
//!   receive, hash:  the same towards the guest, and Delete, Path, Expect, Prune
//!   always last:    Done(json) or Failed(json)
//! ```
//!
//! All integers are little-endian. Paths are bytes, relative to the root that the tool was given; the empty path is that
//! root itself. Content is cut into pieces, so that a file which shrinks while it is read harms nobody.

use crate::limits::PATH_BYTES_MAX;

/// Most bytes of content in one record.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of a record's payload: an entry with two of the longest paths, or a final document.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 5;

const ENTRY_FIXED_BYTES: usize = 68;

/// A path below a tool's root: relative, without empty, `.` and `..` components or zero bytes, and not too long. May be
/// empty: the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<u8>);

/// What the folders begin with that a staged receive collects things in. One that was left behind by a guest that was killed
/// is removed at the next start; nobody is told of one before that.
pub const STAGE_PREFIX: &[u8] = b".pyro-stage-";

impl TreePath {
    /// Whether it is in a folder that a receive collects things in; such a one may be at the top of any mount.
    pub fn is_in_stage(&self) -> bool {
        self.components().any(|name| name.starts_with(STAGE_PREFIX))
    }

    /// Checks a path; a trailing slash is not allowed.
    ///
    /// # Errors
    /// [`TreeError::Path`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TreeError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(Self(bytes));
        }
        let component = |name: &[u8]| !name.is_empty() && name != b"." && name != b"..";
        if bytes.len() >= PATH_BYTES_MAX
            || bytes.contains(&0)
            || !bytes.split(|byte| *byte == b'/').all(component)
        {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).into_owned();
            return Err(TreeError::Path { shown });
        }
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Whether it is the root itself.
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder it is in, unless it is the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// This path with one more component; the caller checks nothing.
    ///
    /// # Errors
    /// [`TreeError::Path`] when `name` is no component or the whole is too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, TreeError> {
        let mut bytes = self.0.clone();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// Its components.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }
}

impl std::fmt::Display for TreePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EntryKind {
    /// A regular file; content follows in a send or a receive.
    File = 0,
    /// A folder.
    Directory = 1,
    /// A symbolic link; `target` is what it says, stored as data and never followed.
    Symlink = 2,
    /// Another name of the file whose path in this tree is `target`; that one came before.
    HardLink = 3,
    /// A socket, FIFO or device: named by scans, never sent.
    Special = 4,
}

impl EntryKind {
    const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::File,
            1 => Self::Directory,
            2 => Self::Symlink,
            3 => Self::HardLink,
            4 => Self::Special,
            _ => return None,
        })
    }
}

/// A moment, as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    pub s: i64,
    /// Nanoseconds beyond them, less than a thousand million.
    pub ns: u32,
}

/// One file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content's last change.
    pub mtime: Timestamp,
    /// Bytes of a regular file; a hint in a send, exact in a scan.
    pub size_bytes: u64,
    /// Inode number; 0 when nobody knows or cares.
    pub inode: u64,
    /// The inode's last change; zero when nobody knows or cares.
    pub ctime: Timestamp,
    /// What a link points at: any bytes of a symbolic link, the path of an earlier entry for a hard link.
    pub target: Vec<u8>,
}

/// One record of a tree stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A file, folder or link begins.
    Entry(Entry),
    /// The next bytes of the file that began last.
    Data(Vec<u8>),
    /// So many zero bytes of that file, which need not be stored.
    Hole(u64),
    /// That file is whole.
    End,
    /// Whatever is at this path shall go, with everything below it.
    Delete(TreePath),
    /// A path, for tools that take a list of them.
    Path(TreePath),
    /// Something was left out; for people.
    Warning(String),
    /// The digest of the file at this path: SHA-256.
    Digest(TreePath, [u8; 32]),
    /// All is done; a JSON document of the tool's own.
    Done(Vec<u8>),
    /// The tool failed and, unless it says otherwise, changed nothing: a JSON [`crate::message::WireError`].
    Failed(Vec<u8>),
    /// What must be at this path when everything before it is in place: `inode`, `ctime` and `size_bytes` as they were told, a
    /// folder whatever they are, or nothing if `inode` is 0. Only for staged receives, which take all back if it is otherwise.
    Expect(Entry),
    /// The folder at this path shall go if nothing is in it when everything before is in place. Only for staged receives.
    Prune(TreePath),
}

/// Why bytes are no tree stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The path leaves its root, or is none.
    #[error("'{shown}' is no path below its root")]
    Path {
        /// The beginning of it, for people.
        shown: String,
    },
    /// A record announces more than [`RECORD_BYTES_MAX`].
    #[error("a record announces {announced} bytes, more than the {RECORD_BYTES_MAX} allowed")]
    TooLong {
        /// Bytes announced.
        announced: u32,
    },
    /// The tag is not one this version knows.
    #[error("a record has the unknown tag {tag}")]
    UnknownTag {
        /// The tag found.
        tag: u8,
    },
    /// The payload does not have the shape its tag needs.
    #[error("a record is malformed")]
    Malformed,
}

impl Record {
    const fn tag(&self) -> u8 {
        match self {
            Self::Entry(_) => 1,
            Self::Data(_) => 2,
            Self::Hole(_) => 3,
            Self::End => 4,
            Self::Delete(_) => 5,
            Self::Path(_) => 6,
            Self::Warning(_) => 7,
            Self::Digest(..) => 8,
            Self::Done(_) => 9,
            Self::Failed(_) => 10,
            Self::Expect(_) => 11,
            Self::Prune(_) => 12,
        }
    }

    /// Writes the record to the end of `out`. Data must not be longer than [`DATA_BYTES_MAX`]; texts are cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(bytes) => return encode_data(out, bytes),
            Self::Entry(entry) | Self::Expect(entry) => return entry.encode(self.tag(), out),
            _ => {}
        }
        let digits;
        let (payload, rest): (&[u8], &[u8]) = match self {
            Self::Entry(_) | Self::Expect(_) | Self::Data(_) | Self::End => (&[], &[]),
            Self::Hole(bytes) => {
                digits = bytes.to_le_bytes();
                (&digits, &[])
            }
            Self::Delete(path) | Self::Path(path) | Self::Prune(path) => (path.as_bytes(), &[]),
            Self::Warning(text) => (&text.as_bytes()[..text.len().min(RECORD_BYTES_MAX)], &[]),
            Self::Digest(path, digest) => (digest, path.as_bytes()),
            Self::Done(json) | Self::Failed(json) => (json, &[]),
        };
        header(out, self.tag(), payload.len() + rest.len());
        out.extend_from_slice(payload);
        out.extend_from_slice(rest);
    }
}

/// Writes a piece of content to the end of `out` without owning it.
pub fn encode_data(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= DATA_BYTES_MAX, "content is cut before it is framed");
    header(out, 2, bytes.len());
    out.extend_from_slice(bytes);
}

/// The header of a piece of content of `length` bytes, for writers that pass the content itself on from elsewhere.
pub fn data_header(length: usize) -> [u8; RECORD_HEADER_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [2, a, b, c, d]
}

fn header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.reserve(RECORD_HEADER_BYTES + length);
    out.push(tag);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

impl Entry {
    /// An entry of this kind with no particulars.
    pub const fn new(path: TreePath, kind: EntryKind) -> Self {
        let zero = Timestamp { s: 0, ns: 0 };
        Self {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: zero,
            size_bytes: 0,
            inode: 0,
            ctime: zero,
            target: Vec::new(),
        }
    }

    fn encode(&self, tag: u8, out: &mut Vec<u8>) {
        let path = self.path.as_bytes();
        header(out, tag, ENTRY_FIXED_BYTES + path.len() + self.target.len());
        out.push(self.kind as u8);
        out.push(0);
        out.extend_from_slice(&u16::try_from(self.mode & 0o7777).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&self.uid.to_le_bytes());
        out.extend_from_slice(&self.gid.to_le_bytes());
        out.extend_from_slice(&self.mtime.s.to_le_bytes());
        out.extend_from_slice(&self.mtime.ns.to_le_bytes());
        out.extend_from_slice(&self.size_bytes.to_le_bytes());
        out.extend_from_slice(&self.inode.to_le_bytes());
        out.extend_from_slice(&self.ctime.s.to_le_bytes());
        out.extend_from_slice(&self.ctime.ns.to_le_bytes());
        out.extend_from_slice(&u64::try_from(path.len()).unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(path);
        out.extend_from_slice(&self.target);
    }

    fn decode(payload: &[u8]) -> Result<Self, TreeError> {
        let mut rest = payload;
        let [kind, _] = take(&mut rest)?;
        let mode = u16::from_le_bytes(take(&mut rest)?);
        let (uid, gid) = (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?));
        let mtime = timestamp(&mut rest)?;
        let (size_bytes, inode) =
            (u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?));
        let ctime = timestamp(&mut rest)?;
        let path_bytes = u64::from_le_bytes(take(&mut rest)?);
        let _: [u8; 8] = take(&mut rest)?;
        let path_bytes = usize::try_from(path_bytes).map_err(|_| TreeError::Malformed)?;
        let (path, target) = rest.split_at_checked(path_bytes).ok_or(TreeError::Malformed)?;
        if mode & !0o7777 != 0 || target.len() >= PATH_BYTES_MAX || target.contains(&0) {
            return Err(TreeError::Malformed);
        }
        let kind = EntryKind::from_u8(kind).ok_or(TreeError::Malformed)?;
        if kind == EntryKind::HardLink {
            TreePath::new(target)?;
        }
        let (path, target) = (TreePath::new(path)?, target.to_vec());
        Ok(Self { path, kind, mode: mode.into(), uid, gid, mtime, size_bytes, inode, ctime, target })
    }
}

fn timestamp(rest: &mut &[u8]) -> Result<Timestamp, TreeError> {
    let (s, ns) = (i64::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?));
    if ns < 1_000_000_000 { Ok(Timestamp { s, ns }) } else { Err(TreeError::Malformed) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TreeError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TreeError::Malformed)?;
    *rest = tail;
    Ok(*head)
}

/// Turns bytes into [`Record`]s. Holds at most one record more than it was given.
#[derive(Debug, Default)]
pub struct TreeDecoder {
    buffer: Vec<u8>,
    start: usize,
}

impl TreeDecoder {
    /// A decoder at the beginning of a stream.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0 }
    }

    /// Takes bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes are held that are no whole record: a stream that ends now was cut.
    pub const fn is_cut(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next record, `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`TreeError`]; the stream is then of no further use.
    pub fn next_record(&mut self) -> Result<Option<Record>, TreeError> {
        let pending = &self.buffer[self.start..];
        let Some([tag, a, b, c, d]) = pending.first_chunk::<RECORD_HEADER_BYTES>().copied() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes([a, b, c, d]);
        let length = announced as usize;
        if length > RECORD_BYTES_MAX || (tag == 2 && length > DATA_BYTES_MAX) {
            return Err(TreeError::TooLong { announced });
        }
        let Some(payload) = pending.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length) else {
            return Ok(None);
        };
        let record = decode(tag, payload)?;
        self.start += RECORD_HEADER_BYTES + length;
        Ok(Some(record))
    }
}

fn decode(tag: u8, payload: &[u8]) -> Result<Record, TreeError> {
    Ok(match tag {
        1 => Record::Entry(Entry::decode(payload)?),
        2 => Record::Data(payload.to_vec()),
        3 => Record::Hole(u64::from_le_bytes(payload.try_into().map_err(|_| TreeError::Malformed)?)),
        4 if payload.is_empty() => Record::End,
        4 => return Err(TreeError::Malformed),
        5 => Record::Delete(TreePath::new(payload)?),
        6 => Record::Path(TreePath::new(payload)?),
        7 => Record::Warning(String::from_utf8_lossy(payload).into_owned()),
        8 => {
            let (digest, path) = payload.split_first_chunk::<32>().ok_or(TreeError::Malformed)?;
            Record::Digest(TreePath::new(path)?, *digest)
        }
        9 => Record::Done(payload.to_vec()),
        10 => Record::Failed(payload.to_vec()),
        11 => Record::Expect(Entry::decode(payload)?),
        12 => Record::Prune(TreePath::new(payload)?),
        tag => return Err(TreeError::UnknownTag { tag }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_path() -> impl Strategy<Value = TreePath> {
        prop::collection::vec("[^/\0]{1,9}", 0..4)
            .prop_filter_map("a path", |names| TreePath::new(names.join("/").into_bytes()).ok())
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let kinds = prop::sample::select(vec![EntryKind::File, EntryKind::Directory, EntryKind::Symlink]);
        let numbers = (0u32..=0o7777, any::<u32>(), any::<i64>(), 0u32..1_000_000_000, any::<u64>());
        (any_path(), kinds, numbers, prop::collection::vec(1u8.., 0..40)).prop_map(
            |(path, kind, (mode, uid, s, ns, size_bytes), target)| Entry {
                mode,
                uid,
                gid: uid ^ 7,
                mtime: Timestamp { s, ns },
                size_bytes,
                inode: size_bytes ^ 9,
                target,
                ..Entry::new(path, kind)
            },
        )
    }

    fn any_record() -> impl Strategy<Value = Record> {
        prop_oneof![
            any_entry().prop_map(Record::Entry),
            prop::collection::vec(any::<u8>(), 0..900).prop_map(Record::Data),
            any::<u64>().prop_map(Record::Hole),
            Just(Record::End),
            any_path().prop_map(Record::Delete),
            any_path().prop_map(Record::Prune),
            any_entry().prop_map(Record::Expect),
            any_path().prop_map(Record::Path),
            ".{0,30}".prop_map(Record::Warning),
            (any_path(), any::<[u8; 32]>()).prop_map(|(path, digest)| Record::Digest(path, digest)),
            prop::collection::vec(any::<u8>(), 0..90).prop_map(Record::Done),
        ]
    }

    proptest! {
        #[test]
        fn records_survive_any_cut_of_the_stream(records in prop::collection::vec(any_record(), 0..12), cut in 1usize..97) {
            let mut wire = Vec::new();
            records.iter().for_each(|record| record.encode(&mut wire));
            let (mut decoder, mut found) = (TreeDecoder::new(), Vec::new());
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                while let Some(record) = decoder.next_record().unwrap() {
                    found.push(record);
                }
            }
            prop_assert_eq!(found, records);
            prop_assert!(!decoder.is_cut());
        }

        #[test]
        fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = TreeDecoder::new();
            decoder.push(&garbage);
            while let Ok(Some(_)) = decoder.next_record() {}
        }
    }

    #[test]
    fn paths_that_leave_their_root_are_none() {
        for bad in ["/etc", "a//b", "a/", "..", "a/../b", "./a", ".", "a\0b", &"x".repeat(4096)] {
            assert!(TreePath::new(bad.as_bytes()).is_err(), "{bad}");
        }
        let path = TreePath::new(&b"a/b\xff"[..]).unwrap();
        assert_eq!(path.parent(), Some(TreePath::new(&b"a"[..]).unwrap()));
        assert_eq!(path.components().count(), 2);
        assert!(TreePath::default().is_root() && TreePath::default().parent().is_none());
    }

    #[test]
    fn a_hostile_record_is_refused_before_it_is_stored() {
        let mut decoder = TreeDecoder::new();
        decoder.push(&[2, 0xff, 0xff, 0xff, 0x7f]);
        assert!(matches!(decoder.next_record(), Err(TreeError::TooLong { .. })));
        let mut wire = Vec::new();
        Record::Path(TreePath::new(&b"ab"[..]).unwrap()).encode(&mut wire);
        wire[5] = b'/';
        let mut decoder = TreeDecoder::new();
        decoder.push(&wire);
        assert!(matches!(decoder.next_record(), Err(TreeError::Path { .. })));
    }
}
