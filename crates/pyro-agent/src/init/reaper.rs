//! What PID 1 does for the rest of the guest's life: reap, and start the agent again should it die. This file must not
//! wait for anything but children.

use super::InitError;
use super::log;
use super::log_error;
use super::mounts::CGROUPS;
use super::port;
use super::power_off;
use crate::agent::End;
use crate::agent::serve;
use crate::place::Place;
use crate::sys::process::Forked;
use crate::sys::process::end_process;
use crate::sys::process::fork_process;
use crate::sys::process::reap;
use crate::vault::Vault;
use std::path::Path;

/// The agent's exit code when it was asked to end the guest.
const EXIT_SHUT_DOWN: i32 = 0;

/// The agent's exit code when it failed.
const EXIT_FAILED: i32 = 1;

/// Most starts of the agent in one boot; a guest that needs more is of no use.
const STARTS_MAX: u32 = 16;

/// Keeps an agent running and reaps everything else.
pub(super) fn supervise(device: &Path) -> ! {
    // Without one, a guest whose agent died would be open to any token: better closed.
    let vault = match Vault::new() {
        Ok(vault) => vault,
        Err(errno) => {
            log_error(&InitError::Step { step: "making memory for the session", source: errno.into() });
            power_off()
        }
    };
    for _ in 0..STARTS_MAX {
        match fork_process() {
            Ok(Forked::Child) => end_process(run_agent(device, vault)),
            Ok(Forked::Parent(agent)) => {
                if wait_for(agent) == Some(EXIT_SHUT_DOWN) {
                    power_off();
                }
                log("pyro: the agent ended; starting it again");
            }
            Err(error) => log_error(&error),
        }
    }
    log("pyro: the agent keeps ending");
    power_off()
}

/// Reaps until this child is among the dead; its exit code, unless a signal killed it.
fn wait_for(agent: rustix::process::Pid) -> Option<i32> {
    loop {
        match reap(None, true) {
            Ok(Some((pid, end))) if pid == agent => return end.code,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn run_agent(device: &Path, vault: Vault) -> i32 {
    match serve_port(device, vault) {
        Ok(()) => EXIT_SHUT_DOWN,
        Err(error) => {
            log_error(&*error);
            EXIT_FAILED
        }
    }
}

fn serve_port(device: &Path, vault: Vault) -> Result<(), Box<dyn std::error::Error>> {
    let channel = port::open(device)?;
    match serve(channel, Place::guest(Path::new(CGROUPS), Some(vault)))? {
        End::ShutDown => Ok(()),
        End::ChannelClosed => Err(Box::new(InitError::NoDevice { device: device.display().to_string() })),
    }
}
