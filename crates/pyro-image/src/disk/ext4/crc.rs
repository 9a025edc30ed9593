//! CRC-32C as ext4's journal has it: without the final inversion. It must not know what is summed.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// Continues `seed` with `bytes`.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |sum, byte| {
        let index = (sum as u8 ^ byte) as usize;
        sum >> 8 ^ TABLE[index]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_known_sum() {
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
