//! What the kernel tells of another process's mappings: where they are, and which of their pages are no longer the file's.
//! This file must not read memory.

use super::PAGE_BYTES;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Most pages asked about at once.
const PAGES_AT_ONCE: usize = 16 * 1024;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// One private, writable mapping of a file: addresses, and where in the file they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) addresses: Range<u64>,
    pub(super) offset: u64,
}

/// The private, writable mappings in `maps` (the text of `/proc/PID/maps`) of the file that has this inode number or, on file
/// systems that tell another number there, this path.
pub(super) fn private_mappings(maps: &str, inode: u64, path: &str) -> Vec<Mapping> {
    // The kernel writes a newline in a name this way, and nothing else in another.
    let path = path.replace('\n', "\\012");
    maps.lines().filter_map(|line| private_mapping(line, inode, &path)).collect()
}

fn private_mapping(line: &str, inode: u64, path: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let _device = fields.next()?;
    let same_inode = fields.next()?.parse() == Ok(inode);
    let same_path = fields.next().is_some_and(|name| name.trim_start() == path);
    let addresses = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    (permissions.starts_with("rw") && permissions.ends_with('p') && (same_inode || same_path))
        .then_some(Mapping { addresses, offset })
}

/// Calls `act` with each longest range of addresses in `addresses` whose pages the process has of its own. `pagemap` is the
/// open `/proc/PID/pagemap`.
pub(super) fn own_pages(
    pagemap: &File,
    addresses: &Range<u64>,
    mut act: impl FnMut(Range<u64>) -> io::Result<()>,
) -> io::Result<()> {
    let page_bytes = PAGE_BYTES as u64;
    let mut entries = vec![0; PAGES_AT_ONCE * 8];
    let mut run: Option<Range<u64>> = None;
    let mut at = addresses.start;
    while at < addresses.end {
        let pages =
            usize::try_from((addresses.end - at) / page_bytes).unwrap_or(usize::MAX).min(PAGES_AT_ONCE);
        let entries = &mut entries[..pages.max(1) * 8];
        pagemap.read_exact_at(entries, at / page_bytes * 8)?;
        for entry in entries.chunks_exact(8) {
            let entry = entry.try_into().map_or(0, u64::from_ne_bytes);
            if is_own(entry) {
                run = Some(run.map_or(at, |run| run.start)..at + page_bytes);
            } else if let Some(run) = run.take() {
                act(run)?;
            }
            at += page_bytes;
        }
    }
    run.map_or(Ok(()), act)
}

/// Whether a page of a private mapping of a file has been written to. A page of the file itself is never swapped to where
/// private pages are, so whatever is present or swapped and not the file's is the process's own.
const fn is_own(entry: u64) -> bool {
    entry & (PRESENT | SWAPPED) != 0 && entry & OF_A_FILE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
7f0000000000-7f0000010000 rw-p 00000000 fe:00 77                         /tmp/a b
7f0000010000-7f0000020000 rw-p 00010000 00:2b 99                         /tmp/a b
7f0000020000-7f0000030000 r--p 00020000 fe:00 77                         /tmp/a b
7f0000030000-7f0000040000 rw-s 00000000 fe:00 77                         /tmp/a b
7f0000040000-7f0000050000 rw-p 00000000 00:00 0 
7f0000050000-7f0000060000 rw-p 00000000 fe:00 78                         /tmp/a
";

    #[test]
    fn only_the_private_writable_mappings_of_the_file_count() {
        let starts = |inode, path| -> Vec<(u64, u64)> {
            private_mappings(MAPS, inode, path)
                .iter()
                .map(|found| (found.addresses.start, found.offset))
                .collect()
        };
        assert_eq!(starts(77, "/tmp/other"), [(0x7f00_0000_0000, 0)]);
        assert_eq!(starts(1, "/tmp/a b"), [(0x7f00_0000_0000, 0), (0x7f00_0001_0000, 0x10000)]);
        assert!(starts(1, "/tmp/none").is_empty());
    }

    #[test]
    fn a_page_is_own_when_it_is_there_and_not_the_files() {
        assert!(is_own(PRESENT) && is_own(SWAPPED | 1234));
        assert!(!is_own(0) && !is_own(PRESENT | OF_A_FILE) && !is_own(1 << 55));
    }

    #[test]
    fn neighbouring_pages_come_as_one_range() {
        let pages = [PRESENT, PRESENT | OF_A_FILE, PRESENT, SWAPPED, PRESENT];
        let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_ne_bytes()).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 8).unwrap();
        let mut found = Vec::new();
        let addresses = 0x1000..0x6000;
        own_pages(&file, &addresses, |range| {
            found.push(range);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [0x1000..0x2000, 0x3000..0x6000]);
    }
}
