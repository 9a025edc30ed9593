//! The server as clients that nobody here wrote find it: a command for them to start, or an address and a token. Both may use the
//! same folder of the host.

use pyro_testkit::Sandbox;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// The folder of the host that the server's tools may use.
pub(crate) fn root(home: &Sandbox) -> PathBuf {
    home.home().join("root")
}

/// The server as a command that somebody else starts.
pub(crate) fn command(home: &Sandbox, flags: &[&str]) -> Command {
    fs::create_dir_all(root(home)).unwrap();
    home.pyro([&["mcp", "serve", "--root", root(home).to_str().unwrap()], flags].concat())
}

/// A server over HTTP.
pub(crate) struct HttpServer {
    process: Child,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl HttpServer {
    pub(crate) fn start(home: &Sandbox) -> Self {
        let mut command = command(home, &["--ephemeral", "--http", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut after = |name: &str| {
            let line = lines.find(|line| line.starts_with("[mcp] ") && line.contains(name)).unwrap();
            line.split_once(name).unwrap().1.to_owned()
        };
        let (url, token) = (after("url="), after("token="));
        Self { process, url, token }
    }

    /// Ends it, which deletes what was made with it and is left.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // Of a test that has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
