//! Makes a guest unlike its twins: randomness, clock, names. This file must not decide when that is needed.

use crate::sys::ioctl;
use crate::users::read_bounded;
use pyro_proto::hello::Identity;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::time::ClockId;
use rustix::time::Timespec;
use std::io;

const RUN_MACHINE_ID: &str = "/run/machine-id";
const ETC_MACHINE_ID: &str = "/etc/machine-id";

/// Which step failed; the guest then stays closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("crediting entropy")]
    Entropy(#[source] io::Error),
    #[error("setting the clock")]
    Clock(#[source] io::Error),
    #[error("setting the host name")]
    Hostname(#[source] io::Error),
    #[error("writing {path}")]
    Write {
        path: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Applies all of it, in the order in which later steps may use earlier ones.
pub(crate) fn apply(identity: &Identity) -> Result<(), IdentityError> {
    add_entropy(&identity.entropy.0)?;
    set_clock(identity.realtime_ns)?;
    set_hostname(&identity.hostname)?;
    set_machine_id(&identity.machine_id)?;
    set_generation(identity.generation)
}

/// Credits `bytes` to the kernel's generator and makes its next output depend on them.
pub(crate) fn add_entropy(bytes: &[u8]) -> Result<(), IdentityError> {
    let credit = || {
        let random = rustix::fs::open("/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        ioctl::add_entropy(&random, bytes)?;
        ioctl::reseed(&random)
    };
    credit().map_err(|errno: Errno| IdentityError::Entropy(errno.into()))
}

/// Sets the wall clock.
pub(crate) fn set_clock(realtime_ns: u64) -> Result<(), IdentityError> {
    let overflow = |_| IdentityError::Clock(Errno::INVAL.into());
    let tv_sec = i64::try_from(realtime_ns / 1_000_000_000).map_err(overflow)?;
    let tv_nsec = i64::try_from(realtime_ns % 1_000_000_000).map_err(overflow)?;
    rustix::time::clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec })
        .map_err(|errno| IdentityError::Clock(errno.into()))
}

fn set_hostname(name: &str) -> Result<(), IdentityError> {
    rustix::system::sethostname(name.as_bytes()).map_err(|errno| IdentityError::Hostname(errno.into()))?;
    replace("/etc/hostname", format!("{name}\n").as_bytes())?;
    let hosts = read_bounded("/etc/hosts");
    match with_host(&hosts, name) {
        Some(hosts) => replace("/etc/hosts", &hosts),
        None => Ok(()),
    }
}

/// The hosts file with this name on 127.0.1.1 as Debian has it; `None` when the name resolves already.
fn with_host(hosts: &[u8], name: &str) -> Option<Vec<u8>> {
    let names = |line: &[u8]| -> Vec<Vec<u8>> {
        let plain = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        plain.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let lines = hosts.split(|byte| *byte == b'\n').map(names);
    if lines.into_iter().any(|words| words.iter().skip(1).any(|word| word == name.as_bytes())) {
        return None;
    }
    let own = |line: &&[u8]| names(line).first().is_some_and(|address| address == b"127.0.1.1");
    let mut kept: Vec<&[u8]> = hosts.split(|byte| *byte == b'\n').filter(|line| !own(line)).collect();
    if kept.last().is_some_and(|last| last.is_empty()) {
        kept.pop();
    }
    let mut text = Vec::new();
    if kept.is_empty() {
        text.extend_from_slice(b"127.0.0.1\tlocalhost\n");
    }
    for line in kept {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("127.0.1.1\t{name}\n").as_bytes());
    Some(text)
}

/// Puts the machine id in memory over the one on disk, so that no disk carries an identity to a twin.
fn set_machine_id(id: &str) -> Result<(), IdentityError> {
    let failed = |errno: Errno| IdentityError::Write { path: ETC_MACHINE_ID, source: errno.into() };
    replace(RUN_MACHINE_ID, format!("{id}\n").as_bytes())?;
    if !std::fs::symlink_metadata(ETC_MACHINE_ID).is_ok_and(|found| found.is_file()) {
        // Missing, or a link that could lead anywhere.
        let _ = rustix::fs::unlink(ETC_MACHINE_ID);
        replace(ETC_MACHINE_ID, b"")?;
    }
    if std::fs::read(ETC_MACHINE_ID).is_ok_and(|now| now == format!("{id}\n").as_bytes()) {
        return Ok(());
    }
    rustix::mount::mount_bind(RUN_MACHINE_ID, ETC_MACHINE_ID).map_err(failed)?;
    rustix::mount::mount_remount(ETC_MACHINE_ID, MountFlags::BIND | MountFlags::RDONLY, "").map_err(failed)
}

fn set_generation(generation: u64) -> Result<(), IdentityError> {
    const FOLDER: &str = "/run/pyro";
    match rustix::fs::mkdir(FOLDER, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(IdentityError::Write { path: FOLDER, source: errno.into() }),
    }
    replace("/run/pyro/generation", format!("{generation}\n").as_bytes())
}

/// Writes a small file over what it held, following no link. A file that keeps its length keeps its blocks: freeing and
/// finding them again is half of what an identity costs in a guest that was just restored under emulation.
fn replace(path: &'static str, bytes: &[u8]) -> Result<(), IdentityError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = || {
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&file, rest)?..];
        }
        if rustix::fs::fstat(&file)?.st_size.unsigned_abs() > bytes.len() as u64 {
            rustix::fs::ftruncate(&file, bytes.len() as u64)?;
        }
        Ok(())
    };
    let outcome = match write() {
        Err(Errno::LOOP) => rustix::fs::unlink(path).and_then(|()| write()),
        other => other,
    };
    outcome.map_err(|errno: Errno| IdentityError::Write { path, source: errno.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_added_once_and_replaces_an_older_one() {
        let hosts = b"127.0.0.1 localhost\n127.0.1.1 old\n::1 ip6 # new\n";
        let changed = with_host(hosts, "new").unwrap();
        assert_eq!(changed, b"127.0.0.1 localhost\n::1 ip6 # new\n127.0.1.1\tnew\n");
        assert_eq!(with_host(&changed, "new"), None);
        assert_eq!(with_host(b"", "a").unwrap(), b"127.0.0.1\tlocalhost\n127.0.1.1\ta\n");
    }
}
