//! Forks: one running guest becomes N more of its kind, memory and disk copy-on-write, each with an identity of its own.
//!
//! The guest is saved once, into a folder that only lives as long as it is needed, and its children are restored from that.
//! They map the saved memory copy-on-write, so what none of them writes is there once. The folder is locked; should this
//! process be killed, the next command that sweeps the state folder removes it.

use crate::config::Config;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::Plan;
use crate::machine::Snapshot;
use crate::machine::SnapshotError;
use crate::machine::SnapshotReport;
use crate::state;
use crate::state::Scratch;
use crate::state::StateError;

/// Why a guest could not be forked.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The guest could not be saved; it goes on as before.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A child could not be started.
    #[error("starting a fork")]
    Child(#[from] MachineError),
}

/// A running guest's saved state, from which any number of guests may be started while this value lives.
#[derive(Debug)]
pub struct ForkPoint {
    plan: Plan,
    snapshot: Snapshot,
    scratch: Scratch,
    /// What saving the guest cost.
    pub report: SnapshotReport,
}

impl ForkPoint {
    /// Saves a running guest, which goes on.
    ///
    /// # Errors
    /// [`ForkError`]; the guest goes on as before.
    pub async fn of(config: &Config, parent: &mut Machine) -> Result<Self, ForkError> {
        let plan = parent.plan().cloned().ok_or(SnapshotError::NoGuest)?;
        let scratch = state::scratch(config, "fork")?;
        let (snapshot, report) = parent.snapshot(scratch.path()).await?;
        Ok(Self { plan, snapshot, scratch, report })
    }

    /// Starts one more guest from it. Guests that run keep what they have mapped when this value is dropped.
    ///
    /// # Errors
    /// [`ForkError::Child`], with nothing left behind.
    pub async fn start(&self, config: &Config) -> Result<Machine, ForkError> {
        let id = GuestId::random().map_err(MachineError::Random)?;
        Ok(Machine::restore(config, &self.plan, &self.snapshot, self.scratch.path(), id).await?)
    }
}
