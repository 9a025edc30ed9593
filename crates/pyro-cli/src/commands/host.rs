//! `pyro host`: telling programs that use MCP servers of this one.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use clap::Subcommand;
use pyro::code;
use pyro_mcp::hosts::ConfigFile;
use pyro_mcp::hosts::Entry;
use pyro_mcp::hosts::Host as Program;
use pyro_mcp::operations::OperationError;
use serde_json::Value;
use serde_json::json;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;

/// How long a server may take to answer a client's first message.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

const NAMES: [&str; 6] = ["claude-code", "claude-desktop", "codex", "cursor", "opencode", "vscode"];

/// Tell programs that use MCP servers of `pyro mcp serve`.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// Enter `pyro mcp serve` in a program's configuration.
    Connect(Connect),
    /// Check which programs know the server, and whether it answers as they would start it.
    Doctor(Doctor),
    /// Take the server out of a program's configuration.
    Remove(Remove),
}

/// Which entry of which file.
#[derive(Debug, clap::Args)]
struct Where {
    /// Name of the entry.
    #[arg(long, value_name = "NAME", default_value = "pyro")]
    name: String,

    /// The program's configuration, if it is not where it usually is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Enter `pyro mcp serve` in a program's configuration. What else is in the file stays as it is; an entry of this name is replaced.
#[derive(Debug, clap::Args)]
pub struct Connect {
    /// The program.
    #[arg(value_parser = NAMES)]
    host: String,

    #[command(flatten)]
    at: Where,

    /// Which tools the server offers.
    #[arg(long, value_name = "PROFILE", default_value = "workspace-full", value_parser = ["vm-run", "workspace-core", "workspace-full"])]
    profile: String,

    /// Folder of this host that tools may read and write; may be given several times.
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,

    /// Print what a file with nothing else in it would be, and write nothing.
    #[arg(long)]
    print: bool,
}

/// Check which programs know the server, and whether it answers as they would start it. The exit code is 1 when one that knows it
/// would not get an answer, or the one that is named does not know it.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Only this program.
    #[arg(value_parser = NAMES)]
    host: Option<String>,

    #[command(flatten)]
    at: Where,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Take the server out of a program's configuration. One that is not in it is no error.
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// The program.
    #[arg(value_parser = NAMES)]
    host: String,

    #[command(flatten)]
    at: Where,
}

impl Host {
    pub(crate) fn call(self) -> Result<i32, Failure> {
        match self {
            Self::Connect(command) => command.call(),
            Self::Doctor(command) => command.call(),
            Self::Remove(command) => command.call(),
        }
    }
}

impl Where {
    fn file(&self, host: Program) -> Result<ConfigFile, Failure> {
        let path = match &self.config {
            Some(path) => path.clone(),
            None => {
                let (home, configs) = settings::config_homes()?;
                host.config(&home, &configs)
            }
        };
        Ok(ConfigFile::at(&path))
    }
}

impl Connect {
    fn call(self) -> Result<i32, Failure> {
        let (host, entry) = (program(&self.host)?, self.entry()?);
        if self.print {
            let text = host.connect("", &self.at.name, &entry).map_err(|error| failed(&error))?;
            output::bytes(text.as_bytes());
            return Ok(exit::OK);
        }
        let file = self.at.file(host)?;
        let text = file.read().and_then(|text| host.connect(&text, &self.at.name, &entry));
        text.and_then(|text| file.write(&text)).map_err(|error| failed(&error))?;
        output::line(&format!("[host-connect] host={} config={}", self.host, file.path().display()));
        output::error_line("hint: restart the program, or have it reload its MCP servers");
        Ok(exit::OK)
    }

    /// This program as it is installed, with what it is to serve.
    fn entry(&self) -> Result<Entry, Failure> {
        let refused = |text: String| {
            Failure::plain(code::SOURCE_UNREADABLE, text, "name a folder of this host", exit::FAILED)
        };
        let program =
            std::env::current_exe().map_err(|error| refused(format!("finding this program: {error}")))?;
        let mut arguments =
            vec!["mcp".to_owned(), "serve".to_owned(), "--profile".to_owned(), self.profile.clone()];
        for root in &self.root {
            let folder = std::fs::canonicalize(root)
                .map_err(|error| refused(format!("--root {}: {error}", root.display())))?;
            arguments.extend(["--root".to_owned(), folder.display().to_string()]);
        }
        Ok(Entry { command: program.display().to_string(), arguments })
    }
}

impl Remove {
    fn call(self) -> Result<i32, Failure> {
        let host = program(&self.host)?;
        let file = self.at.file(host)?;
        let without = file.read().and_then(|text| host.remove(&text, &self.at.name));
        let removed = match without.map_err(|error| failed(&error))? {
            Some(text) => {
                file.write(&text).map_err(|error| failed(&error))?;
                "yes"
            }
            None => "no",
        };
        output::line(&format!(
            "[host-remove] host={} config={} removed={removed}",
            self.host,
            file.path().display()
        ));
        Ok(exit::OK)
    }
}

impl Doctor {
    fn call(self) -> Result<i32, Failure> {
        let hosts = match &self.host {
            Some(name) => vec![program(name)?],
            None => Program::ALL.to_vec(),
        };
        let runtime = EventLoop::new().map_err(Failure::event_loop(exit::FAILED))?;
        let mut found = Vec::new();
        for host in hosts {
            let file = self.at.file(host)?;
            found.push(runtime.block_on(examine(host, &file, &self.at.name)));
        }
        let is_bad = |one: &Value| {
            let named = self.host.is_some() && one["connected"] == false;
            named || one["works"] == false || !one["error"].is_null()
        };
        let code = if found.iter().any(is_bad) { exit::FAILED } else { exit::OK };
        if self.json {
            output::json(&json!({ "hosts": found }));
            return Ok(code);
        }
        for one in &found {
            let text = |name| crate::commands::workspace::render::text(one, name);
            output::line(&format!(
                "[host] name={} config={} connected={} works={} server={} error={}",
                text("host"),
                text("config"),
                text("connected"),
                text("works"),
                text("server"),
                text("error")
            ));
        }
        Ok(code)
    }
}

/// Whether a program knows the server, and what it would get.
async fn examine(host: Program, file: &ConfigFile, name: &str) -> Value {
    let mut told = json!({
        "host": host.name(), "config": file.path(), "connected": false, "works": null, "server": null, "error": null,
    });
    match file.read().and_then(|text| host.find(&text, name)) {
        Err(error) => told["error"] = error.message.into(),
        Ok(None) => {}
        Ok(Some(entry)) => {
            told["connected"] = true.into();
            let hello = tokio::time::timeout(ANSWER_DEADLINE, hello(&entry)).await;
            match hello.unwrap_or_else(|_| Err(format!("{} does not answer", entry.command))) {
                Ok(server) => (told["works"], told["server"]) = (true.into(), server.into()),
                Err(error) => (told["works"], told["error"]) = (false.into(), error.into()),
            }
        }
    }
    told
}

/// What the server says of itself when it is started as the program would.
async fn hello(entry: &Entry) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("starting {}: {error}", entry.command);
    let mut child = tokio::process::Command::new(&entry.command)
        .args(&entry.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(format!("{} has no streams", entry.command));
    };
    let request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "pyro host doctor", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    input.write_all(format!("{request}\n").as_bytes()).await.map_err(failed)?;
    let line = BufReader::new(output).lines().next_line().await.map_err(failed)?;
    drop(input);
    let answer: Value = serde_json::from_str(&line.unwrap_or_default()).unwrap_or_default();
    let server = &answer["result"]["serverInfo"];
    match (server["name"].as_str(), server["version"].as_str()) {
        (Some(name), Some(version)) => Ok(format!("{name} {version}")),
        _ => Err(format!("{} does not answer as an MCP server", entry.command)),
    }
}

fn program(name: &str) -> Result<Program, Failure> {
    name.parse::<Program>().map_err(|error| {
        Failure::plain(code::USAGE, format!("'{name}': {error}"), "name one of these", exit::USAGE)
    })
}

fn failed(error: &OperationError) -> Failure {
    Failure::plain(&error.code, error.message.clone(), error.hint.clone().unwrap_or_default(), exit::FAILED)
}
