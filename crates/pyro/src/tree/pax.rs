//! What PAX headers say of a member, read by their lengths: values may have line breaks in them, which the tar crate's own
//! reader takes for ends. This file must not read archives.

/// What PAX and GNU headers before a member say, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) mtime: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// It is a sparse file in one of the PAX formats.
    pub(super) sparse: bool,
}

impl Pax {
    /// Reads the blocks before a member's own header, at the beginning of the first of them. `None` when they are malformed.
    pub(super) fn read(mut blocks: &[u8]) -> Option<Self> {
        let (mut pax, mut gnu_name, mut gnu_link) = (Self::default(), false, false);
        while let Some((header, rest)) = blocks.split_first_chunk::<512>() {
            let mut parsed = tar::Header::new_old();
            parsed.as_mut_bytes().copy_from_slice(header);
            let size = usize::try_from(parsed.entry_size().ok()?).ok()?;
            let content = rest.get(..size)?;
            match parsed.entry_type() {
                tar::EntryType::XHeader => pax.lines(content)?,
                tar::EntryType::GNULongName => gnu_name = true,
                tar::EntryType::GNULongLink => gnu_link = true,
                _ => return None,
            }
            blocks = rest.get(size.checked_next_multiple_of(512)?..)?;
        }
        pax.path = pax.path.filter(|path| !path.is_empty() && !gnu_name);
        pax.link = pax.link.filter(|link| !link.is_empty() && !gnu_link);
        blocks.is_empty().then_some(pax)
    }

    fn lines(&mut self, mut rest: &[u8]) -> Option<()> {
        while !rest.is_empty() {
            let space = rest.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
            let line = rest.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = line.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&line[..equals], &line[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"mtime" => self.mtime = Some(value.to_vec()),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
            rest = &rest[length..];
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Option<Pax> {
        let mut pax = Pax::default();
        pax.lines(text).map(|()| pax)
    }

    #[test]
    fn lines_are_as_long_as_they_say() {
        let pax = lines(b"12 path=a\nb\n16 linkpath=x=y\n16 SCHILY.a=\n\n\n\n13 mtime=2.5\n9 size=7\n")
            .unwrap_or_default();
        assert_eq!((pax.path, pax.link), (Some(b"a\nb".to_vec()), Some(b"x=y".to_vec())));
        assert_eq!((pax.mtime, pax.size, pax.sparse), (Some(b"2.5".to_vec()), Some(7), false));
    }

    #[test]
    fn malformed_lines_are_none() {
        for text in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b",
            b"99 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"3 \n",
            b"18446744073709551615 a=b\n",
            b"9 size=x\n",
        ] {
            assert_eq!(lines(text), None, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(lines(b"6 a=b\n"), Some(Pax::default()));
    }
}
