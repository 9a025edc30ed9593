//! Writes the archive format of an initial RAM disk: cpio, `newc`. This file must not know what goes into it.

use std::fmt::Write as _;

/// The largest file; the format holds 32 bits.
const FILE_BYTES_MAX: usize = 1 << 30;

/// An archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    pub(crate) fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    /// A regular file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), TooLarge> {
        if content.len() > FILE_BYTES_MAX {
            return Err(TooLarge);
        }
        self.entry(name, 0o100_000 | mode, (0, 0), content);
        Ok(())
    }

    pub(crate) fn character_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.entry(name, 0o020_000 | mode, (major, minor), &[]);
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.header("TRAILER!!!", 0, 1, (0, 0), 0);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        self.header(name, mode, links, device, content.len());
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn header(&mut self, name: &str, mode: u32, links: u32, device: (u32, u32), size: usize) {
        let (inode, name_size) = (self.inode, name.len() + 1);
        let mut text = String::from("070701");
        for field in [inode, mode, 0, 0, links, 0] {
            let _ = write!(text, "{field:08x}");
        }
        let _ = write!(
            text,
            "{size:08x}{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}",
            0, 0, device.0, device.1, 0
        );
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A file does not fit into the format.
#[derive(Debug, thiserror::Error)]
#[error("the file is too large for an initial RAM disk")]
pub(crate) struct TooLarge;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Command;
    use std::process::Stdio;

    #[test]
    fn headers_are_laid_out_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.file("a", 0o755, b"hello").unwrap();
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[94..102], b"00000002");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..120], b"hello\0\0\0");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn cpio_lists_what_was_written() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.character_device("dev/console", 0o600, 5, 1);
        archive.file("init", 0o755, &[7; 1001]).unwrap();
        let mut child = Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the package cpio is installed where tests run");
        child.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        let text = String::from_utf8(out.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("drwxr-xr-x") && lines[0].ends_with(" dev"), "{text}");
        assert!(lines[1].starts_with("crw-------") && lines[1].contains("5,   1"), "{text}");
        assert!(
            lines[2].starts_with("-rwxr-xr-x") && lines[2].contains(" 1001 ") && lines[2].ends_with(" init"),
            "{text}"
        );
    }
}
