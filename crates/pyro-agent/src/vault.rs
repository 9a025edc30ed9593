//! What must outlive an agent that dies, in memory that PID 1 keeps open: without it the next agent would take any token
//! for the first. This file must not decide who may attach.

use crate::session::Lasting;
use rustix::fs::MemfdFlags;
use rustix::io;
use std::os::fd::OwnedFd;

/// Bytes of a record: more than the longest token takes, in hexadecimal.
const RECORD_BYTES: usize = 512;

/// An anonymous file that PID 1 hands to each agent.
#[derive(Debug)]
pub(crate) struct Vault(OwnedFd);

impl Vault {
    pub(crate) fn new() -> io::Result<Self> {
        rustix::fs::memfd_create(c"pyro", MemfdFlags::CLOEXEC).map(Self)
    }

    /// Replaces what is kept. Every record has the same length, filled up with blanks, so that one write does it.
    pub(crate) fn save(&self, lasting: &Lasting) -> io::Result<()> {
        let mut record = serde_json::to_vec(lasting).map_err(|_| io::Errno::INVAL)?;
        if record.len() > RECORD_BYTES {
            return Err(io::Errno::FBIG);
        }
        record.resize(RECORD_BYTES, b' ');
        match io::pwrite(&self.0, &record, 0) {
            Ok(RECORD_BYTES) => Ok(()),
            Ok(_) => Err(io::Errno::IO),
            Err(errno) => Err(errno),
        }
    }

    /// What the last agent kept, if there was one.
    pub(crate) fn load(&self) -> Option<Lasting> {
        let mut record = [0; RECORD_BYTES];
        let count = io::pread(&self.0, &mut record[..], 0).ok()?;
        serde_json::from_slice(record.get(..count)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_finds_the_last_record() {
        let vault = Vault::new().unwrap();
        assert_eq!(vault.load(), None);
        vault.save(&(Some("a long token".into()), 70_000, true)).unwrap();
        vault.save(&(Some("t".into()), 7, false)).unwrap();
        assert_eq!(vault.load(), Some((Some("t".into()), 7, false)));
    }
}
