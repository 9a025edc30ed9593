//! What a process has written to its private mapping of a memory file. Its parent or its user must be who asks; what it writes
//! while this reads may or may not be seen.

use super::BUFFER_BYTES;
use super::pagemap::Mapping;
use super::pagemap::own_pages;
use super::pagemap::private_mappings;
use super::sparse::Update;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;

/// The private pages of one process over one file.
#[derive(Debug)]
pub(crate) struct PrivatePages {
    memory: File,
    pagemap: File,
    mappings: Vec<Mapping>,
}

impl PrivatePages {
    /// Finds where the process `pid` has mapped `file`, all of it.
    pub(crate) fn of(pid: u32, file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        // A file's name may hold any bytes; then its inode number must do.
        let maps = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/maps"))?).into_owned();
        let mappings = private_mappings(&maps, metadata.ino(), &path.to_string_lossy());
        check_whole(&mappings, metadata.len())?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        Ok(Self { memory, pagemap, mappings })
    }

    /// Brings every page that the process has of its own to its place in `to`, which holds what the mapped file holds.
    pub(crate) fn update(&self, to: &File) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut update = Update::of(to);
        for Mapping { addresses, offset } in &self.mappings {
            own_pages(&self.pagemap, addresses, |run| {
                let mut at = run.start;
                while at < run.end {
                    let wanted = usize::try_from(run.end - at).unwrap_or(usize::MAX).min(buffer.len());
                    self.memory.read_exact_at(&mut buffer[..wanted], at)?;
                    update.pages(offset + (at - addresses.start), &buffer[..wanted])?;
                    at += wanted as u64;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A mapping that was missed would make a snapshot that is wrong without anybody noticing.
fn check_whole(mappings: &[Mapping], file_bytes: u64) -> io::Result<()> {
    let mut next = 0;
    for mapping in mappings {
        if mapping.offset != next {
            return Err(io::Error::other("the guest's memory is not mapped as one piece"));
        }
        next += mapping.addresses.end - mapping.addresses.start;
    }
    if next == file_bytes { Ok(()) } else { Err(io::Error::other("the guest's memory is not mapped whole")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_mappings_is_noticed() {
        let mapping = |start, end, offset| Mapping { addresses: start..end, offset };
        assert!(check_whole(&[mapping(0x1000, 0x2000, 0), mapping(0x5000, 0x6000, 0x1000)], 0x2000).is_ok());
        assert!(check_whole(&[mapping(0x1000, 0x2000, 0)], 0x2000).is_err());
        assert!(check_whole(&[mapping(0x1000, 0x2000, 0), mapping(0x5000, 0x6000, 0x2000)], 0x2000).is_err());
        assert!(check_whole(&[], 0x2000).is_err());
    }
}
