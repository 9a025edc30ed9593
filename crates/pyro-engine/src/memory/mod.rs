//! Guest memory as files: sparse copies of it, and what a guest has written to its private copy of one. Nothing here knows
//! any engine. All-zero pages are holes in every file this makes: page cache and disk are shared by all forks of a snapshot.

mod pagemap;
mod private;
mod sparse;

pub(crate) use private::PrivatePages;
pub(crate) use sparse::copy;
pub use sparse::punch_zero_pages;
pub(crate) use sparse::update;

/// Bytes of the pages that are looked at, on every machine this runs on.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Bytes held at once while memory is copied.
const BUFFER_BYTES: usize = 256 * PAGE_BYTES;

fn is_zero(page: &[u8]) -> bool {
    // Comparing a page with itself shifted by a word is one vectorised comparison, unlike a loop over its bytes.
    page.len() < 8 || (page[..8] == [0; 8] && page[8..] == page[..page.len() - 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_makes_a_page_worth_keeping() {
        let mut page = vec![0; PAGE_BYTES];
        assert!(is_zero(&page));
        for at in [0, 7, 8, 2048, PAGE_BYTES - 1] {
            page[at] = 1;
            assert!(!is_zero(&page), "{at}");
            page[at] = 0;
        }
        assert!(!is_zero(&vec![7; PAGE_BYTES]));
    }
}
