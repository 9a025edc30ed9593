//! One-shot runs: one environment, one guest, one command, nothing left.
//!
//! ```text
//!   create ----> start ----> execute ----> ended ----> cleaned up
//!     |            |            |  \                      ^
//!     |            |            |   +-- time-out: TERM, KILL in the guest; the host's own deadline kills the guest
//!     |            |            +------ interrupt: the signal to the command, then the guest is killed
//!     +------------+------------------- any failure or interrupt: the engine is killed and reaped
//! ```

mod error;
mod execute;
mod io;
mod report;
mod spec;

pub use error::RunError;
pub use execute::run;
pub(crate) use execute::told_of_room;
pub use io::RunIo;
pub use report::Phase;
pub use report::RunObserver;
pub use report::RunReport;
pub use report::Silent;
pub use report::StartedBy;
pub use report::Timings;
pub use spec::RunSpec;
