//! `pyro mcp`. Standard output is the protocol's alone.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use crate::signals;
use clap::Subcommand;
use pyro::Config;
use pyro::code;
use pyro_mcp::operations::HostPaths;
use pyro_mcp::operations::Operations;
use pyro_mcp::operations::Root;
use pyro_mcp::operations::Rules;
use pyro_mcp::server::Http;
use pyro_mcp::server::HttpError;
use pyro_mcp::server::Profile;
use pyro_mcp::server::Server;
use pyro_mcp::server::Session;
use pyro_mcp::server::Token;
use pyro_mcp::server::Tools;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Serve MCP clients: coding agents, chat programs, your own.
#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// Offer workspaces and VMs as MCP tools, over standard input and output or HTTP.
    Serve(Serve),
}

/// Offer workspaces and VMs as MCP tools, over standard input and output or HTTP.
///
/// Tools reach files of this host only below the folders named with --root or, without any, below those that the client says it
/// works on (MCP roots); a client that says nothing reaches none. Nothing is ever run on this host itself. Ends when the client
/// closes its end, or at a signal; workspaces stay unless --ephemeral is given.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Which tools: `vm-run` has one, `workspace-core` the 16 that most work needs, `workspace-full` all.
    #[arg(long, value_name = "PROFILE", default_value = "workspace-full", value_parser = ["vm-run", "workspace-core", "workspace-full"])]
    profile: String,

    /// Of the profile's tools only these, with commas between them.
    #[arg(long, value_name = "TOOL", value_delimiter = ',')]
    tools: Vec<String>,

    /// Folder of this host that tools may read and write; may be given several times.
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,

    /// Delete the workspaces that were made, when it ends.
    #[arg(long)]
    ephemeral: bool,

    /// Workspaces and VMs that there may be at once of those that it made.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_workspaces: Option<u64>,

    /// Most memory of one guest, in MiB.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(256..))]
    max_mem_mib: Option<u32>,

    /// Most virtual processors of one guest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    max_vcpu_count: Option<u8>,

    /// Longest time that a command, or waiting for something, may take.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    max_timeout_seconds: Option<u32>,

    /// Serve HTTP at this address of this host instead, for instance 127.0.0.1:8080; port 0 for a free one. Clients need the token
    /// that is in --token-file or PYRO_MCP_TOKEN, or is made and printed on standard error.
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,

    /// With --http: file that holds the token.
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
}

impl Mcp {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Serve(command) => command.call(engine),
        }
    }
}

impl Serve {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let config = Config { caller: "mcp".to_owned(), ..settings::config(engine, exit::FAILED)? };
        let tools = Arc::new(self.offered()?);
        let session = Session::begin().map_err(|error| refused(&error.code, error.message))?;
        let rules = session.rules(self.rules()?);
        let asks_client = self.root.is_empty();
        let operations = Operations::new(config.clone(), config.supervisor.clone(), rules);
        let server = move || Server::new(operations.clone(), Arc::clone(&tools), asks_client);
        let runtime = EventLoop::serving()
            .map_err(|error| refused(code::HOST_FAILED, format!("starting the event loop: {error}")))?;
        let served = runtime.block_on(async {
            let served = match self.http {
                Some(at) => self.over_http(at, server).await,
                None => over_stdio(server()).await,
            };
            if self.ephemeral {
                tidy(&session, &config).await;
            }
            served
        });
        // Somebody may still wait on another thread for input that will not come.
        runtime.leave();
        served.map(|()| exit::OK)
    }

    fn offered(&self) -> Result<Tools, Failure> {
        let usage = |text: String, hint: &str| Failure::plain(code::USAGE, text, hint, exit::USAGE);
        let profile = self.profile.parse::<Profile>();
        let profile = profile.map_err(|error| usage(format!("--profile: {error}"), "name one of these"))?;
        Tools::new(profile, &self.tools).map_err(|error| {
            usage(
                format!("--tools: {error} in the profile {}", self.profile),
                "docs/reference/mcp-tools.md lists all tools",
            )
        })
    }

    fn rules(&self) -> Result<Rules, Failure> {
        let root = |given: &PathBuf| {
            Root::open(given).map_err(|error| {
                let text = format!("--root {}: {error}", given.display());
                Failure::plain(code::SOURCE_UNREADABLE, text, "name a folder of this host", exit::FAILED)
            })
        };
        Ok(Rules {
            host_paths: HostPaths::Below(self.root.iter().map(root).collect::<Result<_, _>>()?),
            workspaces_max: self.max_workspaces,
            mem_mib_max: self.max_mem_mib,
            vcpu_count_max: self.max_vcpu_count,
            timeout_seconds_max: self.max_timeout_seconds,
            ..Rules::guests_only()
        })
    }

    async fn over_http(
        &self,
        at: SocketAddr,
        server: impl Fn() -> Server + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let (token, made) = self.token()?;
        let http = Http::listen(at, token.clone()).await.map_err(|error| http_failed(&error))?;
        output::error_line(&format!("[mcp] listening url={}", http.url()));
        if made {
            output::error_line(&format!("[mcp] token={}", token.expose()));
        }
        let mut interrupts = signals::listen();
        let stop = async move {
            interrupts.recv().await;
        };
        http.serve(server, stop).await;
        Ok(())
    }

    /// The token, and whether it was made up and its user does not know it yet.
    fn token(&self) -> Result<(Token, bool), Failure> {
        let given = match &self.token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                refused(code::SOURCE_UNREADABLE, format!("reading {}: {error}", path.display()))
            })?),
            None => settings::mcp_token(),
        };
        let token = given.map(|text| Token::new(&text)).transpose().map_err(|error| http_failed(&error))?;
        match token {
            Some(token) => Ok((token, false)),
            None => Ok((Token::random().map_err(|error| http_failed(&error))?, true)),
        }
    }
}

async fn over_stdio(server: Server) -> Result<(), Failure> {
    let mut interrupts = signals::listen();
    let (input, output) = pyro_mcp::server::standard_streams();
    let stop = async move {
        interrupts.recv().await;
    };
    let served = pyro_mcp::server::serve_stdio(server, input, output, stop).await;
    served.map_err(|error| refused(code::USAGE, code::chain(&error)))
}

/// Deletes what the session made. There is nobody to tell but whoever reads standard error.
async fn tidy(session: &Session, config: &Config) {
    if let Err(error) = session.delete_workspaces(config).await {
        output::error_line(&format!("[warning] {error} ({})", error.code));
        output::error_line(&format!("hint: 'pyro workspace delete --all --label {}'", session.label()));
    }
}

fn http_failed(error: &HttpError) -> Failure {
    let (code, hint) = match error {
        HttpError::NotLoopback { .. } => (code::ADDRESS_UNAVAILABLE, "use 127.0.0.1, and a proxy for others"),
        HttpError::Listen { .. } => (code::PORT_IN_USE, "name another port, or 0 for a free one"),
        HttpError::Token => (code::USAGE, "leave it out to have one made"),
        HttpError::Random(_) => (code::HOST_RANDOM, "try again"),
    };
    Failure::plain(code, code::chain(error), hint, exit::FAILED)
}

fn refused(code: &str, message: String) -> Failure {
    Failure::plain(code, message, "'pyro mcp serve --help' says more", exit::FAILED)
}
