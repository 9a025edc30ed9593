//! The kernel command line's words for the agent. This file must not act on them.

use crate::users::read_bounded;

/// What the host wants, besides what it says on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// The block device with the read-only root file system.
    pub(super) base: String,
    /// The block device for changes; without one they stay in memory.
    pub(super) rw: Option<String>,
}

/// Reads the command line.
pub(super) fn read() -> Words {
    parse(&String::from_utf8_lossy(&read_bounded("/proc/cmdline")))
}

fn parse(line: &str) -> Words {
    let value = |name: &str| {
        let mut values = line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name));
        values.rfind(|value| value.starts_with("/dev/")).map(str::to_owned)
    };
    Words { base: value("pyro.base=").unwrap_or_else(|| "/dev/vda".to_owned()), rw: value("pyro.rw=") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_among_others() {
        let words = parse("quiet pyro.rw=/dev/vdb pyro.base=/dev/vdc virtio_mmio.device=x\n");
        assert_eq!(words, Words { base: "/dev/vdc".into(), rw: Some("/dev/vdb".into()) });
        assert_eq!(parse("quiet pyro.rw="), Words { base: "/dev/vda".into(), rw: None });
    }
}
