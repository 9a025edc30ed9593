//! Sparse files: copying what is in them and not their holes, and making holes of their zero pages. Nothing here may write to
//! the file that is copied.

use super::BUFFER_BYTES;
use super::PAGE_BYTES;
use super::is_zero;
use rustix::fs::FallocateFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Gives the empty file `to` the content of `from`: with shared blocks where the file system can, else by copying what is no
/// hole and not zero.
pub(crate) fn copy(from: &File, to: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    to.set_len(from.metadata()?.len())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    each_piece(from, &mut buffer, |at, piece| write_pages(to, at, piece))
}

/// Writes `bytes` at `at`, where the file is a hole, leaving out pages that are all zero.
fn write_pages(to: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    runs(
        bytes.len(),
        |page| !is_zero(&bytes[page]),
        |run| to.write_all_at(&bytes[run.clone()], at + run.start as u64),
    )
}

/// Brings to `to` whatever differs in what is no hole in `from`.
pub(crate) fn update(from: &File, to: &File) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut update = Update::of(to);
    each_piece(from, &mut buffer, |at, piece| update.pages(at, piece))
}

/// Brings a file up to date, writing only what differs: comparing is far quicker than dirtying the file's pages again.
pub(super) struct Update<'a> {
    file: &'a File,
    present: Vec<u8>,
}

impl<'a> Update<'a> {
    pub(super) fn of(file: &'a File) -> Self {
        Self { file, present: vec![0; BUFFER_BYTES] }
    }

    /// Makes the file hold `bytes`, at most [`BUFFER_BYTES`] of whole pages, at `at`. Pages that became zero become holes.
    pub(super) fn pages(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let present = &mut self.present[..bytes.len()];
        self.file.read_exact_at(present, at)?;
        if present == bytes {
            return Ok(());
        }
        let same = |range: Range<usize>| present[range.clone()] == bytes[range];
        runs(
            bytes.len(),
            |page| !same(page),
            |run| {
                write_pages(self.file, at + run.start as u64, &bytes[run.clone()])?;
                punch_pages(self.file, at + run.start as u64, &bytes[run])
            },
        )
    }
}

/// Makes holes of the all-zero pages of the file at `path`, which nobody may be using, and returns how many bytes that were
/// data are holes now. What a reader of the file sees does not change.
///
/// # Errors
/// When the file cannot be read or written, or its file system has no holes.
pub fn punch_zero_pages(path: &Path) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut punched = 0;
    each_piece(&file, &mut buffer, |at, piece| {
        punched +=
            piece.chunks(PAGE_BYTES).filter(|page| is_zero(page)).map(|page| page.len() as u64).sum::<u64>();
        punch_pages(&file, at, piece)
    })?;
    Ok(punched)
}

fn punch_pages(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    runs(
        bytes.len(),
        |page| is_zero(&bytes[page]),
        |run| Ok(rustix::fs::fallocate(file, flags, at + run.start as u64, run.len() as u64)?),
    )
}

/// Calls `act` with each longest range of neighbouring pages of the first `bytes` bytes for which `wanted` holds.
fn runs(
    bytes: usize,
    wanted: impl Fn(Range<usize>) -> bool,
    mut act: impl FnMut(Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut start = None;
    for at in (0..bytes).step_by(PAGE_BYTES) {
        if wanted(at..bytes.min(at + PAGE_BYTES)) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take() {
            act(start..at)?;
        }
    }
    start.map_or(Ok(()), |start| act(start..bytes))
}

/// Reads what is no hole in `file`, in whole pages and pieces that fit into `buffer`.
fn each_piece(
    file: &File,
    buffer: &mut [u8],
    mut act: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut end = 0;
    while let Some(data) = next_data(file, end)? {
        let mut at = data.start;
        while at < data.end {
            let wanted = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact_at(&mut buffer[..wanted], at)?;
            act(at, &buffer[..wanted])?;
            at += wanted as u64;
        }
        end = data.end;
    }
    Ok(())
}

/// The first range of data at or behind `from`.
fn next_data(file: &File, from: u64) -> io::Result<Option<Range<u64>>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        // There is none.
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some(start..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    const PAGE: u64 = PAGE_BYTES as u64;

    /// A file of 1024 pages: one of data at 3, zeroes from 10 to 20 with data at 15, data at the very end.
    fn patchy() -> (tempfile::NamedTempFile, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * PAGE).unwrap();
        for (page, byte) in [(3, 1), (15, 2), (1023, 3)] {
            file.as_file().write_all_at(&[byte; PAGE_BYTES], page * PAGE).unwrap();
        }
        for page in (10..15).chain(16..20) {
            file.as_file().write_all_at(&[0; PAGE_BYTES], page * PAGE).unwrap();
        }
        let content = std::fs::read(file.path()).unwrap();
        (file, content)
    }

    fn allocated(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn a_copy_has_the_content_and_not_the_zeroes() {
        let (from, content) = patchy();
        let to = tempfile::NamedTempFile::new().unwrap();
        copy(from.as_file(), to.as_file()).unwrap();
        assert!(std::fs::read(to.path()).unwrap() == content);
        assert!(allocated(to.as_file()) <= 4 * PAGE, "{} bytes", allocated(to.as_file()));
    }

    #[test]
    fn punching_keeps_the_content_and_frees_the_zeroes() {
        let (file, content) = patchy();
        assert_eq!(punch_zero_pages(file.path()).unwrap(), 9 * PAGE);
        assert!(std::fs::read(file.path()).unwrap() == content);
        assert!(allocated(file.as_file()) <= 4 * PAGE, "{} bytes", allocated(file.as_file()));
        assert_eq!(punch_zero_pages(file.path()).unwrap(), 0);
    }

    #[test]
    fn a_page_that_became_zero_replaces_what_was_there() {
        let (file, mut content) = patchy();
        let mut news = vec![0; 3 * PAGE_BYTES];
        news[PAGE_BYTES] = 9;
        Update::of(file.as_file()).pages(14 * PAGE, &news).unwrap();
        content[14 * PAGE_BYTES..17 * PAGE_BYTES].copy_from_slice(&news);
        assert!(std::fs::read(file.path()).unwrap() == content);
    }

    #[test]
    fn a_file_of_nothing_but_holes_is_copied() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(64 * PAGE).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!((to.metadata().unwrap().len(), allocated(&to)), (64 * PAGE, 0));
    }

    #[test]
    fn an_update_brings_what_changed_since_the_copy() {
        let (from, mut content) = patchy();
        let to = tempfile::NamedTempFile::new().unwrap();
        copy(from.as_file(), to.as_file()).unwrap();
        from.as_file().write_all_at(&[0; PAGE_BYTES], 3 * PAGE).unwrap();
        from.as_file().write_all_at(&[8; 2 * PAGE_BYTES], 500 * PAGE).unwrap();
        content[3 * PAGE_BYTES..4 * PAGE_BYTES].fill(0);
        content[500 * PAGE_BYTES..502 * PAGE_BYTES].fill(8);
        update(from.as_file(), to.as_file()).unwrap();
        assert!(std::fs::read(to.path()).unwrap() == content);
        assert!(allocated(to.as_file()) <= 5 * PAGE, "{} bytes", allocated(to.as_file()));
    }
}
