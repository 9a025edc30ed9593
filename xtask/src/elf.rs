//! Reads as much of an ELF executable as says whether it is linked statically. It must not trust an offset it has not
//! checked.

/// Why bytes are no 64-bit little-endian ELF executable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("not a 64-bit little-endian ELF file")]
    NotElf,
    #[error("its program headers lie outside of the file")]
    Truncated,
}

const PT_INTERP: u32 = 3;
const IDENT: &[u8] = b"\x7fELF\x02\x01";

/// Whether the executable names an interpreter, which is to say a dynamic linker that would have to be in the guest.
pub(crate) fn has_interpreter(file: &[u8]) -> Result<bool, ElfError> {
    if !file.starts_with(IDENT) {
        return Err(ElfError::NotElf);
    }
    let table = usize::try_from(u64::from_le_bytes(field(file, 0x20)?)).map_err(|_| ElfError::Truncated)?;
    let (size, count) = (u16::from_le_bytes(field(file, 0x36)?), u16::from_le_bytes(field(file, 0x38)?));
    for index in 0..usize::from(count) {
        let at = table.checked_add(index * usize::from(size)).ok_or(ElfError::Truncated)?;
        if u32::from_le_bytes(field(file, at)?) == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

fn field<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N], ElfError> {
    file.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(ElfError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header followed by one program header of each type.
    fn elf(types: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 0x40];
        file[..IDENT.len()].copy_from_slice(IDENT);
        file[0x20] = 0x40;
        file[0x36] = 0x38;
        file[0x38] = u8::try_from(types.len()).unwrap();
        for kind in types {
            file.extend_from_slice(&kind.to_le_bytes());
            file.resize(file.len() + 0x34, 0);
        }
        file
    }

    #[test]
    fn an_interpreter_is_found_wherever_it_stands() {
        assert_eq!(has_interpreter(&elf(&[6, 1, PT_INTERP])), Ok(true));
        assert_eq!(has_interpreter(&elf(&[6, 1, 2])), Ok(false));
    }

    #[test]
    fn headers_outside_of_the_file_are_refused() {
        let mut file = elf(&[1, 1]);
        file.truncate(0x40 + 0x38);
        assert_eq!(has_interpreter(&file), Err(ElfError::Truncated));
        file[0x20..0x28].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(has_interpreter(&file), Err(ElfError::Truncated));
        assert_eq!(has_interpreter(b"#!/bin/sh"), Err(ElfError::NotElf));
    }
}
