//! The agent's executable: PID 1 of a guest, or the host-compat agent. This file must not hold logic.

use std::path::Path;
use std::process::ExitCode;

/// The descriptor of the channel in host-compat mode.
const CHANNEL_FD: i32 = 3;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        pyro_agent::init::run();
    }
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(mode), Some(folder)) if mode == "--host-compat" => host_compat(Path::new(&folder)),
        _ => complain("usage: pyro-agent --host-compat FOLDER, with the channel as descriptor 3"),
    }
}

fn host_compat(folder: &Path) -> ExitCode {
    let Some(channel) = pyro_agent::compat::inherited(CHANNEL_FD) else {
        return complain("descriptor 3 is not open");
    };
    match pyro_agent::compat::run(folder, channel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(text: &str) -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "pyro-agent: {text}");
    ExitCode::FAILURE
}
