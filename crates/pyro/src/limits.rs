//! Sizes a user may ask for, as types that can only be built valid. This file must not know where they are used.

use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// Why a size is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be between {least} and {most}{unit}, not {given}")]
pub struct LimitError {
    /// Its name, as users write it.
    pub what: &'static str,
    /// Smallest value allowed.
    pub least: u64,
    /// Largest value allowed.
    pub most: u64,
    /// What it is measured in, with a leading space, or nothing.
    pub unit: &'static str,
    /// What was asked for.
    pub given: u64,
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $what:literal, $least:literal ..= $most:literal, $unit:literal, default $default:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "u64")]
        pub struct $name($inner);

        impl TryFrom<u64> for $name {
            type Error = LimitError;

            fn try_from(value: u64) -> Result<Self, LimitError> {
                Self::new(value)
            }
        }

        impl $name {
            /// Smallest value allowed.
            pub const LEAST: $inner = $least;
            /// Largest value allowed.
            pub const MOST: $inner = $most;

            /// Checks the bounds.
            ///
            /// # Errors
            /// [`LimitError`] outside of them.
            pub fn new(value: u64) -> Result<Self, LimitError> {
                match <$inner>::try_from(value) {
                    Ok(inner) if (Self::LEAST..=Self::MOST).contains(&inner) => Ok(Self(inner)),
                    _ => Err(LimitError { what: $what, least: $least, most: $most, unit: $unit, given: value }),
                }
            }

            /// The value.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }
    };
}

bounded!(
    /// Virtual processors of a guest.
    VcpuCount, u8, "vcpu count", 1 ..= 8, "", default 1
);
bounded!(
    /// Memory of a guest, in MiB.
    MemMib, u32, "memory", 256 ..= 32768, " MiB", default 1024
);
bounded!(
    /// Size of a guest's own disk, in MiB. It is sparse: it takes what is written to it.
    DiskMib, u32, "disk size", 64 ..= 1048576, " MiB", default 8192
);
bounded!(
    /// Time a command may take, in seconds.
    TimeoutSeconds, u32, "time-out", 1 ..= 604800, " seconds", default 30
);
bounded!(
    /// Time a guest may live, in seconds; 0 means for as long as it takes.
    TtlSeconds, u32, "time to live", 0 ..= 31536000, " seconds", default 600
);

impl TimeoutSeconds {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl TtlSeconds {
    /// As a duration, unless it never ends.
    pub const fn duration(self) -> Option<Duration> {
        match self.0 {
            0 => None,
            seconds => Some(Duration::from_secs(seconds as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_and_errors_name_them() {
        assert_eq!(MemMib::new(256).map(MemMib::get), Ok(256));
        let error = MemMib::new(7).unwrap_err();
        assert_eq!(error.to_string(), "memory must be between 256 and 32768 MiB, not 7");
        assert!(VcpuCount::new(0).is_err());
        assert!(VcpuCount::new(u64::MAX).is_err());
        assert_eq!(TtlSeconds::new(0).unwrap().duration(), None);
        assert_eq!(TimeoutSeconds::default().duration(), Duration::from_secs(30));
    }
}
