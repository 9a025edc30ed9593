//! No guest at all: the agent as a process of the host, in a scratch folder, for hosts where nothing else works and for
//! tests. It isolates nothing and must never be chosen by itself.

use crate::engine::Engine;
use crate::engine::EngineError;
use crate::engine::EngineExit;
use crate::engine::Guest;
use crate::engine::Usage;
use crate::process::EngineProcess;
use crate::process::Launch;
use crate::spec::Acceleration;
use crate::spec::EngineKind;
use crate::spec::GuestSpec;
use crate::spec::SnapshotFiles;
use async_trait::async_trait;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tokio::net::UnixStream;

const ENGINE: &str = "host";

/// Where commands are looked for: the caller's own PATH is none of an agent's business.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A number no descriptor that is passed on gets.
const AGENT_FD_LEAST: i32 = 64;

/// Runs agents on the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEngine;

#[async_trait]
impl Engine for HostEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Host
    }

    fn acceleration(&self) -> Acceleration {
        Acceleration::None
    }

    fn fingerprint(&self) -> String {
        "host 1".to_owned()
    }

    /// The agent ends when the thread that calls this does.
    async fn start(&self, spec: GuestSpec) -> Result<Box<dyn Guest>, EngineError> {
        let program = "pyro-agent";
        let failed = |source: io::Error| EngineError::Spawn { program: program.to_owned(), source };
        let agent = spec.agent.as_deref().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let agent = executable(agent).map_err(failed)?;
        let mut launch = Launch::new(PathBuf::from(format!("/proc/self/fd/{}", agent.as_raw_fd())));
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let channel = UnixStream::from_std(ours).map_err(failed)?;
        launch.pass(theirs.into());
        launch.args(["--host-compat".into(), spec.runtime_dir.clone().into_os_string()]);
        launch.env("PATH", SEARCH_PATH);
        launch.env("HOME", &spec.runtime_dir);
        launch.folder(spec.runtime_dir);
        let process = EngineProcess::spawn(launch, program)?;
        Ok(Box::new(HostGuest { process, channel: Some(channel) }))
    }

    async fn restore(&self, _: GuestSpec, _: &SnapshotFiles) -> Result<Box<dyn Guest>, EngineError> {
        Err(unsupported("restore a snapshot"))
    }
}

/// The agent under a number that stays its own while the channel takes its place. It closes itself on exec.
fn executable(agent: &File) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(agent, AGENT_FD_LEAST)?)
}

const fn unsupported(operation: &'static str) -> EngineError {
    EngineError::Unsupported { engine: ENGINE, operation }
}

/// A running agent. Commands it started may have left its process group, so it cannot be paused as a whole.
#[derive(Debug)]
struct HostGuest {
    process: EngineProcess,
    channel: Option<UnixStream>,
}

#[async_trait]
impl Guest for HostGuest {
    fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    async fn pause(&mut self) -> Result<(), EngineError> {
        Err(unsupported("pause"))
    }

    async fn resume(&mut self) -> Result<(), EngineError> {
        Err(unsupported("resume"))
    }

    async fn snapshot(&mut self, _: &SnapshotFiles) -> Result<(), EngineError> {
        Err(unsupported("snapshot memory"))
    }

    async fn push_layer(&mut self, _: usize, _: File) -> Result<(), EngineError> {
        Err(unsupported("put a layer on a disk"))
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    async fn wait(&mut self) -> EngineExit {
        self.process.wait().await
    }

    fn usage(&self) -> Result<Usage, EngineError> {
        self.process.usage()
    }

    fn console_tail(&self) -> Vec<u8> {
        self.process.words().bytes()
    }
}
