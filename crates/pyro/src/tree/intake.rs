//! How much of an archive is taken in: every bound in one place. This file must not read archives.

/// Bounds for archives. The defaults let everything through that is somebody's real work.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Most members, and most names: of members and of the folders on the way to them.
    pub entries_max: u64,
    /// Most bytes of content, zeros of sparse files included, and most bytes of the archive when it is unpacked.
    pub bytes_max: u64,
    /// An archive that has unpacked to more than `ratio_free_bytes` must not be more than so many times as long as what was
    /// read of its compressed form.
    pub ratio_max: u64,
    /// Unpacked bytes below which the ratio does not matter.
    pub ratio_free_bytes: u64,
    /// Most bytes that describe one member: its headers, its long names, its list of sparse pieces.
    pub header_bytes_max: u64,
    /// Most bytes of symbolic links' targets that are remembered, for hard links to symbolic links.
    pub link_bytes_max: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            entries_max: 5_000_000,
            bytes_max: 256 << 30,
            ratio_max: 1_000,
            ratio_free_bytes: 1 << 30,
            header_bytes_max: 1 << 20,
            link_bytes_max: 64 << 20,
        }
    }
}
