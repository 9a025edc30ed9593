//! Takes the ELF kernel out of a compressed x86 kernel image. This file must not trust the image.
//!
//! The layout is the kernel's boot protocol (Documentation/arch/x86/boot.rst): a setup header at fixed offsets, the payload's
//! offset counted from the protected-mode code, and the uncompressed size in the payload's last four bytes.

use std::io::Read;

const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first protocol that tells where the payload is: 2.08.
const PROTOCOL_MIN: u16 = 0x0208;
const SECTOR_BYTES: usize = 512;
/// Several times what any distribution's kernel takes.
const VMLINUX_BYTES_MAX: usize = 256 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const EM_X86_64: u16 = 62;

/// The uncompressed ELF kernel inside `image`, or what is wrong with the image.
pub(crate) fn extract(image: &[u8]) -> Result<Vec<u8>, String> {
    let payload = payload(image)?;
    let (compressed, size) = payload.split_last_chunk::<4>().ok_or("the payload is empty")?;
    let size = u32::from_le_bytes(*size) as usize;
    if size == 0 || size > VMLINUX_BYTES_MAX {
        return Err(format!("it claims to unpack to {size} bytes"));
    }
    if !compressed.starts_with(&ZSTD_MAGIC) {
        return Err("its payload is not compressed with zstd".to_owned());
    }
    let vmlinux = unzstd(compressed, size)?;
    check_elf(&vmlinux)?;
    Ok(vmlinux)
}

fn payload(image: &[u8]) -> Result<&[u8], String> {
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err("it has no setup header".to_owned());
    }
    let protocol =
        image.get(PROTOCOL..PROTOCOL + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes);
    if protocol < PROTOCOL_MIN {
        return Err(format!("its boot protocol {protocol:#06x} is too old"));
    }
    // Zero means four, for the sake of very old boot loaders.
    let setup_sectors = match image.get(SETUP_SECTS) {
        Some(0) | None => 4,
        Some(&count) => usize::from(count),
    };
    let code = (setup_sectors + 1) * SECTOR_BYTES;
    let start = code.checked_add(word(image, PAYLOAD_OFFSET)?).ok_or("its payload lies outside of it")?;
    let end = start.checked_add(word(image, PAYLOAD_LENGTH)?).ok_or("its payload lies outside of it")?;
    image.get(start..end).ok_or_else(|| "its payload lies outside of it".to_owned())
}

fn word(image: &[u8], offset: usize) -> Result<usize, String> {
    let bytes = image.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(|bytes| u32::from_le_bytes(bytes) as usize)
        .ok_or_else(|| "its setup header is cut short".to_owned())
}

fn unzstd(compressed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(compressed).map_err(|error| error.to_string())?;
    let mut vmlinux = Vec::with_capacity(size);
    decoder.take(size as u64 + 1).read_to_end(&mut vmlinux).map_err(|error| error.to_string())?;
    if vmlinux.len() == size {
        Ok(vmlinux)
    } else {
        Err("it does not unpack to the size it claims".to_owned())
    }
}

fn check_elf(vmlinux: &[u8]) -> Result<(), String> {
    let machine = vmlinux.get(18..20).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    let is_elf64 = vmlinux.starts_with(b"\x7fELF\x02\x01");
    if is_elf64 && machine == Some(EM_X86_64) {
        Ok(())
    } else {
        Err("its payload is not an x86-64 ELF".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf() -> Vec<u8> {
        let mut elf = vec![0; 5000];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        elf
    }

    /// A kernel image around `payload`, with the setup header's fields in place.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR_BYTES + 100];
        image[SETUP_SECTS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&100_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    fn packed(content: &[u8], claimed: u32) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let mut payload = ruzstd::encoding::compress_to_vec(content, level);
        payload.extend_from_slice(&claimed.to_le_bytes());
        payload
    }

    #[test]
    fn the_elf_comes_out() {
        assert_eq!(extract(&image(&packed(&elf(), 5000))).unwrap(), elf());
    }

    #[test]
    fn every_lie_is_refused() {
        let good = image(&packed(&elf(), 5000));
        for length in [0, 10, MAGIC + 4, PAYLOAD_LENGTH + 3, good.len() - 1] {
            assert!(extract(&good[..length]).is_err(), "cut to {length}");
        }
        for (offset, bytes) in [
            (PAYLOAD_OFFSET, u32::MAX.to_le_bytes()),
            (PAYLOAD_LENGTH, u32::MAX.to_le_bytes()),
            (PAYLOAD_LENGTH, [0; 4]),
            (PAYLOAD_LENGTH, 3_u32.to_le_bytes()),
            (PROTOCOL, [0; 4]),
        ] {
            let mut bad = good.clone();
            bad[offset..offset + 4].copy_from_slice(&bytes);
            assert!(extract(&bad).is_err(), "{offset:#x} = {bytes:?}");
        }
        assert!(extract(&image(&packed(&elf(), 4999))).is_err(), "larger than claimed");
        assert!(extract(&image(&packed(&elf(), 5001))).is_err(), "smaller than claimed");
        assert!(extract(&image(&packed(&elf(), u32::MAX))).is_err(), "an absurd claim");
        assert!(extract(&image(&packed(&[1; 5000], 5000))).is_err(), "not an ELF");
        assert!(extract(&image(b"\x1f\x8b\x08\x00\x00\x10\x00\x00")).is_err(), "gzip");
    }
}
