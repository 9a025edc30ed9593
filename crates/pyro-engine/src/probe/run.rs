//! Runs the probe guest once and measures how fast it counts. This file must not judge the result.

use super::image;
use crate::engine::EngineError;
use crate::process::EngineProcess;
use crate::process::Launch;
use crate::spec::Acceleration;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// Lines after which the speed is known well enough.
const LINES_WANTED: u64 = 100;

/// Why the probe guest's speed is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The image or its console could not be made.
    #[error("preparing the probe guest")]
    Prepare(#[source] io::Error),
    /// QEMU could not be started.
    #[error("the probe guest does not run")]
    Engine(#[source] EngineError),
    /// The guest did not count far enough for its speed to be known.
    #[error("the probe guest counted to {lines} million in {deadline_ms} ms")]
    TooSlow {
        /// Lines it wrote.
        lines: u64,
        /// Milliseconds it had.
        deadline_ms: u128,
    },
}

/// Runs the probe guest under `qemu` and returns how many turns of its counting loop it does in a second.
///
/// # Errors
/// [`ProbeError`]; nothing is left running.
pub async fn measure(qemu: &Path, acceleration: Acceleration, deadline: Duration) -> Result<u64, ProbeError> {
    let (mut console, mut process) = start(qemu, acceleration)?;
    let mut count = Count::default();
    match tokio::time::timeout(deadline, count.read_from(&mut console)).await {
        Ok(Counted::Enough) => {}
        Ok(Counted::Ended) => return Err(ProbeError::Engine(process.gone("running it").await)),
        Err(_) if count.lines >= 2 => {}
        Err(_) => return Err(ProbeError::TooSlow { lines: count.lines, deadline_ms: deadline.as_millis() }),
    }
    Ok(count.iterations_per_s())
}

fn start(qemu: &Path, acceleration: Acceleration) -> Result<(UnixStream, EngineProcess), ProbeError> {
    let mut launch = Launch::new(qemu.to_owned());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(ProbeError::Prepare)?;
    ours.set_nonblocking(true).map_err(ProbeError::Prepare)?;
    let console = UnixStream::from_std(ours).map_err(ProbeError::Prepare)?;
    let console_fd = launch.pass(theirs.into());
    let image_fd = launch.pass(image_file().map_err(ProbeError::Prepare)?.into());
    let (accelerator, model) =
        if acceleration == Acceleration::Kvm { ("kvm", "host") } else { ("tcg,tb-size=32", "max") };
    launch.args(["-M", "microvm,x-option-roms=off,pcie=off", "-accel", accelerator, "-cpu", model]);
    launch.args(["-m".to_owned(), format!("{}M", image::MEM_MIB)]);
    launch.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    launch.args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    launch.args(["-chardev".to_owned(), format!("socket,id=console,fd={console_fd}")]);
    launch.args(["-serial".to_owned(), "chardev:console".to_owned()]);
    launch.args(["-kernel".to_owned(), format!("/proc/self/fd/{image_fd}")]);
    let process = EngineProcess::spawn(launch, &qemu.to_string_lossy()).map_err(ProbeError::Engine)?;
    Ok((console, process))
}

fn image_file() -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("pyro-probe", MemfdFlags::CLOEXEC)?);
    file.write_all(&image::elf())?;
    Ok(file)
}

enum Counted {
    Enough,
    Ended,
}

/// Lines seen, and when the first and the last of them came.
#[derive(Default)]
struct Count {
    lines: u64,
    first_and_last: Option<(Instant, Instant)>,
}

impl Count {
    async fn read_from(&mut self, console: &mut UnixStream) -> Counted {
        let mut buffer = [0; 256];
        while let Ok(read @ 1..) = console.read(&mut buffer).await {
            let now = Instant::now();
            let lines = buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            if lines == 0 {
                continue;
            }
            // What came in one piece with the first line was counted before the clock started.
            self.lines += if self.first_and_last.is_none() { 1 } else { lines };
            self.first_and_last = Some((self.first_and_last.map_or(now, |(first, _)| first), now));
            if self.lines >= LINES_WANTED {
                return Counted::Enough;
            }
        }
        Counted::Ended
    }

    fn iterations_per_s(&self) -> u64 {
        let Some((first, last)) = self.first_and_last else { return 0 };
        let iterations = u128::from(self.lines.saturating_sub(1) * image::ITERATIONS_PER_LINE);
        u64::try_from(iterations * 1_000_000_000 / (last - first).as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_what_was_counted_between_the_first_and_the_last_line() {
        let first = Instant::now();
        let count = Count { lines: 3, first_and_last: Some((first, first + Duration::from_millis(100))) };
        assert_eq!(count.iterations_per_s(), 2 * image::ITERATIONS_PER_LINE * 10);
        assert_eq!(Count::default().iterations_per_s(), 0);
    }
}
