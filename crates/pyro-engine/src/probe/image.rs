//! A guest of a few hundred bytes that needs no kernel, no disk and no agent: it proves that a hypervisor really executes
//! instructions, and how fast. It must stay free of anything a particular engine provides but a serial port.
//!
//! It is entered in 32-bit protected mode by the PVH protocol, builds page tables, enters 64-bit mode as every Linux
//! kernel does, runs instructions that broken hypervisors are known to die of (`cpuid`, `xsetbv`, `xsave`, SSE,
//! `lock cmpxchg16b`, string moves), and then counts for ever: after each [`ITERATIONS_PER_LINE`] turns of a loop of
//! arithmetic and memory accesses it writes the number of lines so far, eight hexadecimal digits and a newline, to the
//! first serial port. It keeps that number in memory, so a restored guest continues where it was.

/// Turns of the counting loop between two lines on the serial port.
pub const ITERATIONS_PER_LINE: u64 = 1_000_000;

/// Bytes in one line: eight digits and the newline.
pub const LINE_BYTES: usize = 9;

/// Memory the image needs, in MiB.
pub const MEM_MIB: u32 = 32;

const LOAD_ADDRESS: u64 = 0x10_0000;
const NOTE_TYPE_PHYS32_ENTRY: u32 = 18;
const HEADERS_BYTES: usize = 64 + 2 * 56;
const NOTE_BYTES: usize = 20;

/// The image as an ELF file that QEMU and Firecracker take for an uncompressed kernel.
pub fn elf() -> Vec<u8> {
    elf_of(CODE)
}

/// Any other code for the same address, as such a file.
pub(crate) fn elf_of(code: &[u8]) -> Vec<u8> {
    let code_offset = HEADERS_BYTES + NOTE_BYTES;
    let mut file = Vec::with_capacity(code_offset + code.len());
    elf_header(&mut file);
    program_header(&mut file, PT_LOAD, code_offset, code.len());
    program_header(&mut file, PT_NOTE, HEADERS_BYTES, NOTE_BYTES);
    entry_note(&mut file);
    file.extend_from_slice(code);
    file
}

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

fn elf_header(file: &mut Vec<u8>) {
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend_from_slice(&2u16.to_le_bytes()); // An executable
    file.extend_from_slice(&62u16.to_le_bytes()); // for x86-64,
    file.extend_from_slice(&1u32.to_le_bytes());
    file.extend_from_slice(&LOAD_ADDRESS.to_le_bytes());
    file.extend_from_slice(&64u64.to_le_bytes()); // whose program headers follow this header,
    file.extend_from_slice(&0u64.to_le_bytes()); // with no section headers and no flags.
    file.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
}

fn program_header(file: &mut Vec<u8>, kind: u32, offset: usize, size: usize) {
    const READ_WRITE_EXECUTE: u32 = 7;
    let address = if kind == PT_LOAD { LOAD_ADDRESS } else { 0 };
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&READ_WRITE_EXECUTE.to_le_bytes());
    for word in [offset as u64, address, address, size as u64, size as u64, 4] {
        file.extend_from_slice(&word.to_le_bytes());
    }
}

fn entry_note(file: &mut Vec<u8>) {
    for word in [4u32, 4, NOTE_TYPE_PHYS32_ENTRY] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(b"Xen\0");
    file.extend_from_slice(&0x10_0000u32.to_le_bytes());
}

/// Machine code for [`LOAD_ADDRESS`]; the first 0x82 bytes are 32-bit code. Page tables go to 0x20_0000, scratch above.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xfc, // 000: cld
    0xfa, // 001: cli
    0xbc, 0x00, 0x00, 0x1f, 0x00, // 002: mov esp,0x1f0000
    0xbf, 0x00, 0x00, 0x20, 0x00, // 007: mov edi,0x200000
    0x31, 0xc0, // 00c: xor eax,eax
    0xb9, 0x00, 0x0c, 0x00, 0x00, // 00e: mov ecx,0xc00
    0xf3, 0xab, // 013: rep stos DWORD PTR es:[edi],eax
    0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x03, 0x10, 0x20, 0x00, // 015: mov DWORD PTR ds:0x200000,0x201003
    0xc7, 0x05, 0x00, 0x10, 0x20, 0x00, 0x03, 0x20, 0x20, 0x00, // 01f: mov DWORD PTR ds:0x201000,0x202003
    0xbf, 0x00, 0x20, 0x20, 0x00, // 029: mov edi,0x202000
    0xb8, 0x83, 0x00, 0x00, 0x00, // 02e: mov eax,0x83
    0xb9, 0x08, 0x00, 0x00, 0x00, // 033: mov ecx,0x8
    0x89, 0x07, // 038: mov DWORD PTR [edi],eax
    0x05, 0x00, 0x00, 0x20, 0x00, // 03a: add eax,0x200000
    0x83, 0xc7, 0x08, // 03f: add edi,0x8
    0x49, // 042: dec ecx
    0x75, 0xf3, // 043: jne 0x100038
    0xb8, 0x00, 0x00, 0x20, 0x00, // 045: mov eax,0x200000
    0x0f, 0x22, 0xd8, // 04a: mov cr3,eax
    0x0f, 0x20, 0xe0, // 04d: mov eax,cr4
    0x0d, 0x20, 0x06, 0x00, 0x00, // 050: or eax,0x620
    0x0f, 0x22, 0xe0, // 055: mov cr4,eax
    0xb9, 0x80, 0x00, 0x00, 0xc0, // 058: mov ecx,0xc0000080
    0x0f, 0x32, // 05d: rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00, // 05f: or eax,0x100
    0x0f, 0x30, // 064: wrmsr
    0x0f, 0x20, 0xc0, // 066: mov eax,cr0
    0x83, 0xe0, 0xfb, // 069: and eax,0xfffffffb
    0x0d, 0x03, 0x00, 0x00, 0x80, // 06c: or eax,0x80000003
    0x0f, 0x22, 0xc0, // 071: mov cr0,eax
    0x0f, 0x01, 0x15, 0x58, 0x01, 0x10, 0x00, // 074: lgdtd ds:0x100158
    0xea, 0x82, 0x00, 0x10, 0x00, 0x08, 0x00, // 07b: jmp 0x8:0x100082
    0xb8, 0x01, 0x00, 0x00, 0x00, // 082: mov eax,0x1
    0x0f, 0xa2, // 087: cpuid
    0x0f, 0xba, 0xe1, 0x1a, // 089: bt ecx,0x1a
    0x73, 0x24, // 08d: jae 0x1000b3
    0x0f, 0x20, 0xe0, // 08f: mov rax,cr4
    0x0d, 0x00, 0x00, 0x04, 0x00, // 092: or eax,0x40000
    0x0f, 0x22, 0xe0, // 097: mov cr4,rax
    0x31, 0xc9, // 09a: xor ecx,ecx
    0xb8, 0x03, 0x00, 0x00, 0x00, // 09c: mov eax,0x3
    0x31, 0xd2, // 0a1: xor edx,edx
    0x0f, 0x01, 0xd1, // 0a3: xsetbv
    0xb8, 0x03, 0x00, 0x00, 0x00, // 0a6: mov eax,0x3
    0x0f, 0xae, 0x24, 0x25, 0x00, 0x00, 0x21, 0x00, // 0ab: xsave ds:0x210000
    0x0f, 0x31, // 0b3: rdtsc
    0x0f, 0x57, 0xc0, // 0b5: xorps xmm0,xmm0
    0x0f, 0x11, 0x04, 0x25, 0x00, 0x20, 0x21, 0x00, // 0b8: movups XMMWORD PTR ds:0x212000,xmm0
    0xbf, 0x00, 0x30, 0x21, 0x00, // 0c0: mov edi,0x213000
    0x31, 0xc0, // 0c5: xor eax,eax
    0x31, 0xd2, // 0c7: xor edx,edx
    0xbb, 0x01, 0x00, 0x00, 0x00, // 0c9: mov ebx,0x1
    0xb9, 0x02, 0x00, 0x00, 0x00, // 0ce: mov ecx,0x2
    0xf0, 0x48, 0x0f, 0xc7, 0x0f, // 0d3: lock cmpxchg16b OWORD PTR [rdi]
    0xf0, 0x0f, 0xc7, 0x0f, // 0d8: lock cmpxchg8b QWORD PTR [rdi]
    0xbe, 0x00, 0x00, 0x10, 0x00, // 0dc: mov esi,0x100000
    0xbf, 0x00, 0x40, 0x21, 0x00, // 0e1: mov edi,0x214000
    0xb9, 0x00, 0x01, 0x00, 0x00, // 0e6: mov ecx,0x100
    0xf3, 0xa4, // 0eb: rep movs BYTE PTR es:[rdi],BYTE PTR ds:[rsi]
    0xb9, 0x40, 0x42, 0x0f, 0x00, // 0ed: mov ecx,0xf4240
    0xbf, 0x00, 0x50, 0x21, 0x00, // 0f2: mov edi,0x215000
    0x48, 0x01, 0x07, // 0f7: add QWORD PTR [rdi],rax
    0x48, 0xc1, 0xc8, 0x03, // 0fa: ror rax,0x3
    0x48, 0x33, 0x07, // 0fe: xor rax,QWORD PTR [rdi]
    0xff, 0xc9, // 101: dec ecx
    0x75, 0xf2, // 103: jne 0x1000f7
    0xbf, 0x00, 0x60, 0x21, 0x00, // 105: mov edi,0x216000
    0xff, 0x07, // 10a: inc DWORD PTR [rdi]
    0x8b, 0x1f, // 10c: mov ebx,DWORD PTR [rdi]
    0xbe, 0x08, 0x00, 0x00, 0x00, // 10e: mov esi,0x8
    0xc1, 0xc3, 0x04, // 113: rol ebx,0x4
    0x89, 0xd8, // 116: mov eax,ebx
    0x83, 0xe0, 0x0f, // 118: and eax,0xf
    0x3c, 0x0a, // 11b: cmp al,0xa
    0x72, 0x02, // 11d: jb 0x100121
    0x04, 0x27, // 11f: add al,0x27
    0x04, 0x30, // 121: add al,0x30
    0xe8, 0x0d, 0x00, 0x00, 0x00, // 123: call 0x100135
    0xff, 0xce, // 128: dec esi
    0x75, 0xe7, // 12a: jne 0x100113
    0xb0, 0x0a, // 12c: mov al,0xa
    0xe8, 0x02, 0x00, 0x00, 0x00, // 12e: call 0x100135
    0xeb, 0xb8, // 133: jmp 0x1000ed
    0x88, 0xc4, // 135: mov ah,al
    0x66, 0xba, 0xfd, 0x03, // 137: mov dx,0x3fd
    0xec, // 13b: in al,dx
    0xa8, 0x20, // 13c: test al,0x20
    0x74, 0xfb, // 13e: je 0x10013b
    0x88, 0xe0, // 140: mov al,ah
    0x66, 0xba, 0xf8, 0x03, // 142: mov dx,0x3f8
    0xee, // 146: out dx,al
    0xc3, // 147: ret
    // 148: the segment table (nothing, 64-bit code) and, at 158, its size and address for `lgdt`.
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00,
    0x0f, 0x00, 0x48, 0x01, 0x10, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_point_at_the_code_and_the_note() {
        let file = elf();
        let word =
            |at: usize| usize::try_from(u64::from_le_bytes(file[at..at + 8].try_into().unwrap())).unwrap();
        let (code, code_len) = (word(64 + 8), word(64 + 32));
        assert_eq!(&file[code..code + code_len], CODE);
        let note = word(64 + 56 + 8);
        assert_eq!(&file[note + 12..note + 16], b"Xen\0");
        assert_eq!(note + NOTE_BYTES, code);
    }
}
