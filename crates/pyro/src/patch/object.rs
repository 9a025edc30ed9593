//! Git's ids of contents. It must not know what a patch is.

use sha1::Digest as _;
use sha1::Sha1;
use sha2::Sha256;

/// The id that git gives a content in a repository of the usual kind: 40 hexadecimal digits.
pub(crate) fn blob_id(content: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(header(content));
    hasher.update(content);
    hex(&hasher.finalize())
}

/// Whether `id`, of full length, is that of `content`; repositories may use SHA-256.
pub(super) fn is_id_of(id: &[u8], content: &[u8]) -> bool {
    if id.len() != 64 {
        return blob_id(content).as_bytes() == id;
    }
    let mut hasher = Sha256::new();
    hasher.update(header(content));
    hasher.update(content);
    hex(&hasher.finalize()).as_bytes() == id
}

/// Whether an id is not cut.
pub(super) const fn is_full(id: &[u8]) -> bool {
    id.len() == 40 || id.len() == 64
}

/// Whether an id stands for no content.
pub(super) fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|digit| *digit == b'0')
}

fn header(content: &[u8]) -> String {
    format!("blob {}\0", content.len())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        assert_eq!(blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert!(is_id_of(b"2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4", b"hello\n"));
    }
}
