//! Holding writes to the guest's own disk for a short while, so that the host can look at it or put a layer on it while
//! the guest runs on. This file must not stop processes; see `stillness`.
//!
//! Whatever happens to the host, the disk goes on: at the deadline, when the host leaves, and before anything that writes.

use crate::agent::Agent;
use crate::disks;
use crate::place::Kind;
use crate::refusal::refuse;
use crate::refusal::refuse_error;
use pyro_proto::limits::HOLD_DISK_MS_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

/// Whether writes are held, and until when at most.
#[derive(Debug, Default)]
pub(crate) struct Hold(Option<Held>);

#[derive(Debug)]
struct Held {
    until: Instant,
    /// What to let go of; nothing on a host, whose disk is not the agent's.
    folder: Option<OwnedFd>,
}

impl Hold {
    /// Whether writes are held.
    pub(crate) const fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// When they go on by themselves.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|held| held.until)
    }
}

impl Agent {
    /// Flushes the disk and holds writes to it.
    pub(crate) fn hold_disk(&mut self, ms_max: u64) -> Result<(), WireError> {
        if self.hold.is_held() {
            return Err(refuse(ErrorCode::Busy, "writes to the guest's disk are held already"));
        }
        if self.stillness.is_shutting_down() {
            return Err(refuse(ErrorCode::Quiesced, "the guest is shutting down"));
        }
        if !(1..=HOLD_DISK_MS_MAX).contains(&ms_max) {
            let text = format!("writes are held for 1 to {HOLD_DISK_MS_MAX} ms, not {ms_max}");
            return Err(refuse(ErrorCode::BadRequest, text));
        }
        let folder = match self.place.kind {
            Kind::Guest => Some(disks::hold().map_err(|error| refuse_error(ErrorCode::System, &error))?),
            Kind::Host => None,
        };
        self.hold = Hold(Some(Held { until: Instant::now() + Duration::from_millis(ms_max), folder }));
        Ok(())
    }

    /// Lets writes go on; fails when they did so already, because then what the host did meanwhile may be torn.
    pub(crate) fn release_disk(&mut self) -> Result<(), WireError> {
        match self.hold.0.take() {
            Some(held) => release(&held),
            None => Err(refuse(ErrorCode::NotHeld, "writes to the guest's disk are not held any more")),
        }
    }

    /// Lets writes go on if they are held.
    pub(crate) fn let_go_of_disk(&mut self) {
        if let Some(held) = self.hold.0.take() {
            // Nobody asked, so nobody can be told; a disk that somebody else let go of already refuses.
            let _ = release(&held);
        }
    }

    /// Lets writes go on if their time is over.
    pub(crate) fn release_disk_when_due(&mut self) {
        if self.hold.deadline().is_some_and(|until| until <= Instant::now()) {
            self.let_go_of_disk();
        }
    }
}

fn release(held: &Held) -> Result<(), WireError> {
    let Some(folder) = &held.folder else { return Ok(()) };
    disks::release(folder).map_err(|error| refuse_error(ErrorCode::System, &error))
}
