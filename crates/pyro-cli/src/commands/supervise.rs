//! `pyro supervise`: the process that runs one workspace's guest. Started by the library, never by a person, with the
//! workspace's lock as standard input and a pipe to whoever waits as standard output. It must not print.

use crate::event_loop::EventLoop;
use pyro::workspace::Order;
use pyro::workspace::supervise;
use rustix::process::Resource;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a workspace's guest. Started by other commands; of no use by hand.
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// The order: what to run, and with what.
    order: PathBuf,
}

impl Supervise {
    pub(crate) fn call(&self) -> i32 {
        i32::from(self.run() != Some(ExitCode::SUCCESS))
    }

    fn run(&self) -> Option<ExitCode> {
        let order: Order = serde_json::from_slice(&std::fs::read(&self.order).ok()?).ok()?;
        // The program's path says nothing: it may be the link to itself.
        let _ = rustix::thread::set_name(c"pyro-supervise");
        // Nobody's terminal, and no signal meant for whoever started it.
        let _ = rustix::process::setsid();
        // A descriptor for each client of a published port, each output of a service, each caller.
        let mut files = rustix::process::getrlimit(Resource::Nofile);
        files.current = files.maximum;
        let _ = rustix::process::setrlimit(Resource::Nofile, files);
        let lock = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
        let report = File::from(std::io::stdout().as_fd().try_clone_to_owned().ok()?);
        // The copies are what counts: nobody who waits for the pipe's end shall wait for this process's.
        let null = File::options().read(true).write(true).open("/dev/null").ok()?;
        rustix::stdio::dup2_stdin(&null).ok()?;
        rustix::stdio::dup2_stdout(&null).ok()?;
        let runtime = EventLoop::new().ok()?;
        Some(runtime.block_on(supervise(order, lock, report)))
    }
}
