//! The headers of members that are written into an archive: the same entry always gives the same bytes. What a plain header
//! has no room for goes into a PAX header before it. This file must not write content.

use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use tar::EntryType;
use tar::Header;

/// What fits into the number fields of a header.
const SMALL_ID_MAX: u32 = 0o7_777_777;
const SMALL_SIZE_MAX: u64 = 0o77_777_777_777;
const SMALL_TIME_MAX: i64 = 0o77_777_777_777;

/// Bytes of an archive's unit.
pub(super) const BLOCK_BYTES: u64 = 512;

/// Writes the headers of an entry to the end of `out`. `name` is what the archive calls it, `link` what it calls its target.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry, name: &[u8], link: &[u8]) {
    let mut extensions = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(match entry.kind {
        EntryKind::Directory => EntryType::Directory,
        EntryKind::Symlink => EntryType::Symlink,
        EntryKind::HardLink => EntryType::Link,
        EntryKind::File | EntryKind::Special => EntryType::Regular,
    });
    if !put(&mut header.as_old_mut().name, name) {
        extend(&mut extensions, "path", name);
    }
    if !put(&mut header.as_old_mut().linkname, link) {
        extend(&mut extensions, "linkpath", link);
    }
    // An archive from a guest must not make programs set-id for whoever unpacks it.
    header.set_mode(entry.mode & 0o777);
    header.set_uid(id(&mut extensions, "uid", entry.uid));
    header.set_gid(id(&mut extensions, "gid", entry.gid));
    let size = if entry.kind == EntryKind::File { entry.size_bytes } else { 0 };
    if size > SMALL_SIZE_MAX {
        extend(&mut extensions, "size", size.to_string().as_bytes());
    }
    header.set_size(if size > SMALL_SIZE_MAX { 0 } else { size });
    let whole = entry.mtime.ns == 0 && (0..=SMALL_TIME_MAX).contains(&entry.mtime.s);
    if !whole {
        extend(&mut extensions, "mtime", time(entry.mtime.s, entry.mtime.ns).as_bytes());
    }
    header.set_mtime(u64::try_from(entry.mtime.s.min(SMALL_TIME_MAX)).unwrap_or(0));
    header.set_cksum();
    if !extensions.is_empty() {
        write_extensions(out, &extensions);
    }
    out.extend_from_slice(header.as_bytes());
}

fn write_extensions(out: &mut Vec<u8>, extensions: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    put(&mut header.as_old_mut().name, b"PaxHeader");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(extensions.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(extensions);
    out.resize(out.len() + padding(extensions.len() as u64), 0);
}

/// Zeros that must follow so many bytes.
pub(super) fn padding(bytes: u64) -> usize {
    usize::try_from(bytes.wrapping_neg() % BLOCK_BYTES).unwrap_or(0)
}

/// Puts text into a field, or as much as fits; whether all did.
fn put(field: &mut [u8], text: &[u8]) -> bool {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    length == text.len()
}

fn id(extensions: &mut Vec<u8>, key: &str, id: u32) -> u64 {
    if id <= SMALL_ID_MAX {
        return id.into();
    }
    extend(extensions, key, id.to_string().as_bytes());
    0
}

/// One line of a PAX header; its length counts itself.
fn extend(extensions: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    extensions.extend_from_slice(format!("{length} {key}=").as_bytes());
    extensions.extend_from_slice(value);
    extensions.push(b'\n');
}

/// Decimal seconds; nanoseconds count upwards, also before the epoch.
fn time(s: i64, ns: u32) -> String {
    if s < 0 && ns > 0 {
        let whole = (s + 1).unsigned_abs();
        return format!("-{whole}.{:09}", 1_000_000_000 - ns);
    }
    if ns == 0 { s.to_string() } else { format!("{s}.{ns:09}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_themselves() {
        let mut line = Vec::new();
        extend(&mut line, "path", &[b'x'; 88]);
        // 2 digits would make 97 bytes, and so it is.
        assert!(line.starts_with(b"97 path="), "{}", String::from_utf8_lossy(&line));
        assert_eq!(line.len(), 97);
        line.clear();
        extend(&mut line, "path", &[b'x'; 91]);
        assert_eq!(line.len(), 101);
        assert!(line.starts_with(b"101 path="));
    }

    #[test]
    fn times_before_the_epoch_are_decimal_fractions() {
        assert_eq!(time(-1, 500_000_000), "-0.500000000");
        assert_eq!(time(-2, 250_000_000), "-1.750000000");
        assert_eq!(time(7, 1), "7.000000001");
        assert_eq!(time(-3, 0), "-3");
    }

    #[test]
    fn blocks_are_filled_up() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
