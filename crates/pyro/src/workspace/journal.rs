//! Files of JSON lines that are only added to: events, audits, histories. One that has become long is put aside, where people
//! find it and this program does not read it, and begun again. A line is written by one call, so that writers do not
//! mix; a line that was cut short, or that a newer pyro wrote, is skipped by whoever reads. This file must not know what is
//! in a line.

use rustix::fs::FlockOperation;
use rustix::fs::flock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Bytes after which a journal is begun again; the one before it is kept.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Adds a line.
///
/// # Errors
/// The file cannot be written.
pub(super) fn append<T: Serialize>(path: &Path, line: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() > JOURNAL_BYTES_MAX {
        put_aside(path, &file)?;
        file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    }
    file.write_all(&bytes)
}

/// Puts a journal aside, unless another writer has just done so: the new one must not take the old one's place.
fn put_aside(path: &Path, file: &File) -> io::Result<()> {
    flock(file, FlockOperation::LockExclusive)?;
    let (ours, there) = (file.metadata()?, std::fs::metadata(path));
    if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
        std::fs::rename(path, path.with_extension("jsonl.1"))?;
    }
    Ok(())
}

/// The lines that can be understood, from `offset` on, and the offset to go on from.
///
/// # Errors
/// The file cannot be read. One that does not exist has no lines.
pub(super) fn read<T: DeserializeOwned>(path: &Path, offset: u64) -> io::Result<(Vec<T>, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    // It was begun again meanwhile.
    let mut offset = if file.metadata()?.len() < offset { 0 } else { offset };
    file.seek(SeekFrom::Start(offset))?;
    let (mut reader, mut lines, mut bytes) = (BufReader::new(file), Vec::new(), Vec::new());
    loop {
        bytes.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') && (count as u64) < LINE_BYTES_MAX {
            return Ok((lines, offset));
        }
        offset += count as u64;
        lines.extend(serde_json::from_slice::<T>(&bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_harms_no_other_and_a_cut_one_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        assert_eq!(read::<u32>(&path, 0).unwrap(), (vec![], 0));
        append(&path, &1).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{nonsense\n").unwrap();
        append(&path, &2).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"3").unwrap();
        let (lines, offset) = read::<u32>(&path, 0).unwrap();
        assert_eq!(lines, [1, 2]);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"4\n").unwrap();
        assert_eq!(read::<u32>(&path, offset).unwrap().0, [34]);
    }

    #[test]
    fn a_long_one_is_put_aside_once_however_many_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("x.jsonl"), dir.path().join("x.jsonl.1"));
        File::create(&path).unwrap().set_len(JOURNAL_BYTES_MAX + 1).unwrap();
        // Another writer has it open while the first puts it aside.
        let late = OpenOptions::new().append(true).open(&path).unwrap();
        append(&path, &1).unwrap();
        put_aside(&path, &late).unwrap();
        assert_eq!(std::fs::metadata(&aside).unwrap().len(), JOURNAL_BYTES_MAX + 1);
        assert_eq!(read::<u32>(&path, 0).unwrap().0, [1]);
    }
}
