//! Copies a file so that holes stay holes, sharing its blocks where the file system can. This file must not know what is in
//! the file.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Makes `to`, an empty file, a copy of `from`.
///
/// # Errors
/// Whatever reading or writing failed with; `to` is then of no use.
pub fn copy_sparse(from: &File, to: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut position = 0;
    while position < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        copy_range(from, to, start..end, start)?;
        position = end;
    }
    Ok(())
}

/// Copies a part of `from` to byte `at` of `to`.
fn copy_range(from: &File, to: &File, part: Range<u64>, at: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (part.start, at);
    while read_at < part.end {
        let length = usize::try_from(part.end - read_at).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            // Between two file systems, or on one that cannot do it.
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return copy_bytes(from, to, read_at..part.end, write_at);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(from: &File, to: &File, part: Range<u64>, mut at: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 256 << 10];
    let mut position = part.start;
    while position < part.end {
        let wanted = usize::try_from(part.end - position).unwrap_or(usize::MAX).min(buffer.len());
        let count = from.read_at(&mut buffer[..wanted], position)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&buffer[..count], at)?;
        position += count as u64;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"first", 4096).unwrap();
        from.write_all_at(&[9; 10_000], 20 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 64 << 20);
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "the copy is sparse");
        let mut bytes = [0; 5];
        to.read_exact_at(&mut bytes, 4096).unwrap();
        assert_eq!(&bytes, b"first");
        let mut bytes = [0; 10_001];
        to.read_exact_at(&mut bytes, 20 << 20).unwrap();
        assert_eq!(bytes[9_999], 9);
        assert_eq!(bytes[10_000], 0);
    }

    #[test]
    fn a_file_of_data_alone_and_an_empty_one() {
        for content in [&b""[..], &[3; 5000]] {
            let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all_at(content, 0).unwrap();
            copy_sparse(&from, &to).unwrap();
            let mut copy = vec![0; content.len()];
            to.read_exact_at(&mut copy, 0).unwrap();
            assert_eq!(copy, content);
        }
    }
}
