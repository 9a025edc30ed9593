//! Kernel modules: uncompressed, and which others each needs. This file must not load them, or trust them.

use std::io::Write;

/// Several times the largest module we take.
const MODULE_BYTES_MAX: usize = 16 << 20;
const SECTION_HEADER_BYTES: usize = 64;

/// The modules a guest loads to reach its root file system and its agent, where they are not built into the kernel.
pub(crate) const BOOT: &[&str] = &["virtio_mmio", "virtio_blk", "virtio_console", "overlay", "ext4"];

/// Modules kept beside the kernel for engines and features that need them.
pub(crate) const KEPT: &[&str] = &[
    "virtio_pci",
    "virtio_net",
    "virtio_rng",
    "virtio_balloon",
    "vsock",
    "vmw_vsock_virtio_transport",
    "vmgenid",
    "tun",
];

/// The name the kernel uses for the module in this file; `None` for other files.
pub(crate) fn name_of_file(file: &str) -> Option<String> {
    let file = file.rsplit('/').next()?;
    let stem = file.strip_suffix(".ko.xz").or_else(|| file.strip_suffix(".ko"))?;
    (!stem.is_empty()).then(|| stem.replace('-', "_"))
}

/// A module's file uncompressed: `.ko.xz` files are, `.ko` files stay as they are.
pub(crate) fn unpack(file: &str, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if !file.ends_with(".xz") {
        return Ok(bytes);
    }
    let mut out = Bounded { bytes: Vec::new() };
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut out).map_err(|error| format!("{error:?}"))?;
    Ok(out.bytes)
}

/// Refuses to grow beyond what a module can be: the compressed file does not bound the uncompressed one.
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + buffer.len() > MODULE_BYTES_MAX {
            return Err(std::io::Error::other("the module is too large"));
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The modules this one must be loaded after, from its `.modinfo` section.
pub(crate) fn depends(module: &[u8]) -> Result<Vec<String>, String> {
    let info = section(module, b".modinfo").ok_or("it is not a kernel module")?;
    let field = info.split(|&byte| byte == 0).find_map(|field| field.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
    Ok(names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

/// The bytes of a named section of a little-endian 64-bit ELF.
fn section<'a>(elf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(number(elf, 0x28, 8)?).ok()?;
    let (size, count, names) = (number(elf, 0x3a, 2)?, number(elf, 0x3c, 2)?, number(elf, 0x3e, 2)?);
    if size != SECTION_HEADER_BYTES as u64 {
        return None;
    }
    let header = |index: u64| {
        let start = table.checked_add(usize::try_from(index).ok()?.checked_mul(SECTION_HEADER_BYTES)?)?;
        elf.get(start..start.checked_add(SECTION_HEADER_BYTES)?)
    };
    let names = content(elf, header(names)?)?;
    (0..count).filter_map(header).find_map(|header| {
        let start = usize::try_from(number(header, 0, 4)?).ok()?;
        let found = names.get(start..)?.split(|&byte| byte == 0).next()?;
        if found == name { content(elf, header) } else { None }
    })
}

fn content<'a>(elf: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    let start = usize::try_from(number(header, 0x18, 8)?).ok()?;
    let size = usize::try_from(number(header, 0x20, 8)?).ok()?;
    elf.get(start..start.checked_add(size)?)
}

fn number(bytes: &[u8], offset: usize, width: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte)))
}

/// Puts modules into an order in which each follows those it depends on; names that are not given are taken to be built in.
pub(crate) fn load_order<'a>(modules: &[(&'a str, &'a [String])]) -> Vec<&'a str> {
    let mut order: Vec<&str> = Vec::new();
    let mut left: Vec<(&str, &[String])> = modules.to_vec();
    while !left.is_empty() {
        let waits = |depends: &[String], left: &[(&str, &[String])]| {
            depends.iter().any(|name| left.iter().any(|(other, _)| other == name))
        };
        let (ready, waiting): (Vec<_>, Vec<_>) =
            left.iter().copied().partition(|(_, depends)| !waits(depends, &left));
        if ready.is_empty() {
            // A circle cannot be loaded in any order; leave it to the kernel to refuse it.
            order.extend(waiting.iter().map(|(name, _)| name));
            break;
        }
        order.extend(ready.iter().map(|(name, _)| name));
        left = waiting;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minimal ELF with a `.modinfo` section.
    fn module(info: &[u8]) -> Vec<u8> {
        let names = b"\0.shstrtab\0.modinfo\0";
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let (names_at, info_at) = (64, 64 + names.len());
        elf.extend_from_slice(names);
        elf.extend_from_slice(info);
        let table = elf.len() as u64;
        elf[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        elf[0x3a] = 64;
        elf[0x3c] = 3;
        elf[0x3e] = 1;
        let mut header = |name: u32, at: usize, size: usize| {
            let mut bytes = [0; 64];
            bytes[..4].copy_from_slice(&name.to_le_bytes());
            bytes[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
            bytes[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            elf.extend_from_slice(&bytes);
        };
        header(0, 0, 0);
        header(1, names_at, names.len());
        header(11, info_at, info.len());
        elf
    }

    #[test]
    fn dependencies_are_read_from_the_module() {
        let elf = module(b"license=GPL\0depends=virtio,net-failover\0name=x\0");
        assert_eq!(depends(&elf).unwrap(), ["virtio", "net_failover"]);
        assert!(depends(&module(b"license=GPL\0depends=\0")).unwrap().is_empty());
    }

    #[test]
    fn hostile_modules_are_refused_not_followed() {
        let good = module(b"depends=a\0");
        assert!(depends(b"").is_err());
        for length in 0..good.len() {
            let _ = depends(&good[..length]);
        }
        for offset in [0x28, 0x3a, 0x3c, 0x3e, good.len() - 64 + 0x18, good.len() - 64 + 0x20] {
            let mut bad = good.clone();
            bad[offset..offset + 2].copy_from_slice(&[0xff, 0xff]);
            let _ = depends(&bad);
        }
    }

    #[test]
    fn modules_follow_what_they_depend_on() {
        let (one, two) = (vec!["b".to_owned(), "builtin".to_owned()], vec!["c".to_owned()]);
        let order = load_order(&[("a", &one), ("b", &two), ("c", &[]), ("d", &[])]);
        assert_eq!(order, ["c", "d", "b", "a"]);
        let (x, y) = (vec!["y".to_owned()], vec!["x".to_owned()]);
        assert_eq!(load_order(&[("x", &x), ("y", &y)]).len(), 2);
    }

    #[test]
    fn file_names_become_module_names() {
        assert_eq!(name_of_file("./lib/modules/6/kernel/x/virtio-rng.ko.xz").as_deref(), Some("virtio_rng"));
        assert_eq!(name_of_file("a/modules.order"), None);
    }

    #[test]
    fn xz_is_unpacked_and_damage_is_an_error() {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut &b"content"[..], &mut packed).unwrap();
        assert_eq!(unpack("m.ko.xz", packed.clone()).unwrap(), b"content");
        packed.truncate(packed.len() / 2);
        assert!(unpack("m.ko.xz", packed).is_err());
    }
}
