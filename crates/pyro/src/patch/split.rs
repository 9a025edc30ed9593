//! A content as lines, each with its newline. It must not know hunks.

/// The lines; the last one may have no newline.
pub(super) fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}
