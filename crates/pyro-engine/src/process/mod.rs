//! An engine's process: started contained, watched by pidfd, always reaped. Nothing here may know what the process is for.

mod child;
mod launch;
mod tail;
mod usage;
mod watch;

pub(crate) use child::EngineProcess;
pub(crate) use launch::Launch;
pub(crate) use tail::TAIL_BYTES_MAX;
pub(crate) use tail::Tail;
