//! Measures what guests cost on this machine, beside what the engine alone costs: plain data for whoever shows it. It must not
//! judge a figure, and everything it starts is ended when its future is done or dropped.
//!
//! ```text
//!   open the lab (template, one guest that does not count) -> rounds: floor, boot, start in turn -> exec -> snapshot -> fork -> idle
//! ```
//!
//! What is compared is measured in turn, so that whatever else the machine does falls on both alike.

mod error;
mod exec;
mod floor;
mod fork;
mod idle;
mod lab;
mod metric;
mod options;
mod report;
mod rounds;
mod samples;
mod snapshot;
mod statistics;

pub use error::BenchError;
pub use metric::Unit;
pub use options::Group;
pub use options::Options;
pub use options::UnknownGroup;
pub use report::Host;
pub use report::Report;
pub use report::Row;
pub use statistics::Summary;

use crate::config::Config;
use lab::Lab;
use samples::Samples;
use std::sync::Arc;

/// Told of a measurement's progress. Calls must return quickly.
pub trait Observer {
    /// Something begins, as one line.
    fn progress(&mut self, text: &str);
    /// Something the user should know once, as one line.
    fn notice(&mut self, text: &str);
}

/// Measures. The environment must be installed.
///
/// Must be called on a thread that outlives the call: guests die with the thread that started them. Dropping the future ends
/// the guests and removes the files.
///
/// # Errors
/// [`BenchError`], with nothing left running and nothing left on disk.
pub async fn bench(
    config: &Config,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Report, BenchError> {
    let host = Host::now();
    let lab = Arc::new(Lab::open(config, &options.environment, observer).await?);
    let mut samples = Samples::default();
    rounds::measure(&lab, options, &mut samples, observer).await?;
    if options.wants(Group::Exec) {
        observer.progress("warm commands in one guest");
        exec::measure(&lab, options.runs, &mut samples).await?;
    }
    if options.wants(Group::Snapshot) {
        observer.progress("snapshots");
        snapshot::measure(&lab, options.runs, &mut samples).await?;
    }
    if options.wants(Group::Fork) {
        fork::measure(&lab, &options.forks, &mut samples, observer).await?;
    }
    if options.wants(Group::Idle) {
        observer.progress(&format!("{} idle guests", options.idle_guests));
        idle::measure(&lab, options.idle_guests, &mut samples).await?;
    }
    Ok(Report::new(&lab, host, &samples))
}
