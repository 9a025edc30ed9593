//! What callers may ask for: where on the host, how much, how long. This file must not look at the host's files.

use super::error::OperationError;
use super::root::Root;
use pyro::code;
use pyro::limits::MemMib;
use pyro::limits::TimeoutSeconds;
use pyro::limits::VcpuCount;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;

/// Which paths of the host operations may read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPaths {
    /// Any that this process may: for programs of the user's own.
    Anywhere,
    /// Only what lies below one of these folders; nothing when there are none.
    Below(Vec<Root>),
}

/// What callers may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which paths of the host.
    pub host_paths: HostPaths,
    /// Whether a command may run on the host, without isolation, when no engine works.
    pub host_compat: bool,
    /// Workspaces with [`Rules::labels`] that there may be at once.
    pub workspaces_max: Option<u64>,
    /// Memory of one guest, in MiB.
    pub mem_mib_max: Option<u32>,
    /// Processors of one guest.
    pub vcpu_count_max: Option<u8>,
    /// Time that a command, or a wait, may take, in seconds.
    pub timeout_seconds_max: Option<u32>,
    /// Bytes of each output of a command that are given back unless the caller says otherwise.
    pub output_bytes: usize,
    /// Labels of every workspace that is made.
    pub labels: Vec<(LabelKey, LabelValue)>,
}

impl Rules {
    /// Everything may be asked for: for programs of the user's own.
    pub fn anything() -> Self {
        Self {
            host_paths: HostPaths::Anywhere,
            host_compat: true,
            workspaces_max: None,
            mem_mib_max: None,
            vcpu_count_max: None,
            timeout_seconds_max: None,
            output_bytes: 8 << 20,
            labels: Vec::new(),
        }
    }

    /// No path of the host and no host-compat: for callers that nobody watches, such as models.
    pub fn guests_only() -> Self {
        Self {
            host_paths: HostPaths::Below(Vec::new()),
            host_compat: false,
            output_bytes: 32 << 10,
            ..Self::anything()
        }
    }

    /// Memory of a guest, within the rules.
    pub(super) fn mem(&self, mib: u64) -> Result<MemMib, OperationError> {
        let mem = MemMib::new(mib)?;
        within("mem_mib", mem.get().into(), self.mem_mib_max.map(u64::from))?;
        Ok(mem)
    }

    /// Processors of a guest, within the rules.
    pub(super) fn vcpus(&self, count: u64) -> Result<VcpuCount, OperationError> {
        let vcpus = VcpuCount::new(count)?;
        within("vcpu_count", vcpus.get().into(), self.vcpu_count_max.map(u64::from))?;
        Ok(vcpus)
    }

    /// A time limit, within the rules.
    pub(super) fn timeout(&self, seconds: u64) -> Result<TimeoutSeconds, OperationError> {
        let timeout = TimeoutSeconds::new(seconds)?;
        within("timeout_seconds", timeout.get().into(), self.timeout_seconds_max.map(u64::from))?;
        Ok(timeout)
    }

    /// The most seconds that may be waited for something of which nobody said how long it takes.
    pub(super) fn wait_seconds(&self, wanted: u64) -> Result<u64, OperationError> {
        within("timeout_seconds", wanted, self.timeout_seconds_max.map(u64::from))?;
        Ok(wanted)
    }

    /// Refuses to run on the host, unless that is allowed.
    pub(super) fn host_compat(&self, wanted: bool) -> Result<bool, OperationError> {
        if wanted && !self.host_compat {
            let text = "allow_host_compat runs commands on the host, without isolation, which this server never does";
            return Err(OperationError::new(code::HOST_COMPAT_REFUSED, text)
                .hint("leave it out; 'pyro doctor' says why no engine works, if none does"));
        }
        Ok(wanted)
    }
}

fn within(what: &str, given: u64, most: Option<u64>) -> Result<(), OperationError> {
    match most {
        Some(most) if given > most => {
            let text = format!("{what} may be {most} at most on this server, not {given}");
            Err(OperationError::new(code::LIMIT_EXCEEDED, text).hint(format!("ask for {most} or less")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_the_librarys_and_then_the_servers() {
        let rules = Rules { mem_mib_max: Some(512), timeout_seconds_max: Some(60), ..Rules::guests_only() };
        assert_eq!(rules.mem(512).unwrap().get(), 512);
        for refused in
            [rules.mem(513).unwrap_err(), rules.mem(1).unwrap_err(), rules.timeout(61).unwrap_err()]
        {
            assert_eq!(refused.code, code::LIMIT_EXCEEDED, "{refused}");
        }
        assert_eq!(Rules::anything().mem(32768).unwrap().get(), 32768);
    }

    #[test]
    fn the_host_is_the_operators() {
        assert_eq!(Rules::guests_only().host_compat(true).unwrap_err().code, code::HOST_COMPAT_REFUSED);
        assert_eq!(Rules::guests_only().host_compat(false), Ok(false));
        assert_eq!(Rules::anything().host_compat(true), Ok(true));
    }
}
