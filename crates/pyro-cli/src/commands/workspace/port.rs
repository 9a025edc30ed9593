//! `pyro workspace port`.

use super::done;
use super::find;
use super::parsed;
use super::render::text;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::workspace::PortSpec;
use std::net::IpAddr;

/// Publish ports of the guest on this host.
///
/// No network of the guest's is needed, and its network policy means nothing to them: bytes pass through the channel that
/// commands pass through.
#[derive(Debug, Subcommand)]
pub enum Port {
    /// Publish a port of the guest on this host, from now on.
    Publish(Publish),
    /// List the published ports.
    List(List),
    /// Publish a port no longer.
    Remove(Remove),
}

/// Publish a port of the guest on this host, until it is removed: it is there again after a stop and a start, and after a
/// reset.
///
/// A client that connects reaches what listens in the guest on 127.0.0.1 or, if nothing does, on ::1; if nothing listens on
/// either it is disconnected at once. A client that is connected counts as use of the workspace.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// Workspace, by id or name.
    workspace: String,

    /// Port of the guest, and before it the port of this host, from 1025 on; a free one is chosen without it, or for 0.
    #[arg(value_name = "GUEST|HOST:GUEST", value_parser = parsed::<PortSpec>)]
    port: PortSpec,

    /// Address of this host to listen on. Any but the default lets others reach the guest.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// List the published ports, and whether this host listens on each.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Publish a port no longer, and disconnect whoever is connected to it.
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// Workspace, by id or name.
    workspace: String,

    /// Port of this host.
    #[arg(value_name = "HOST")]
    host_port: u16,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Port {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Publish(command) => command.call(engine),
            Self::List(command) => command.call(engine),
            Self::Remove(command) => command.call(engine),
        }
    }
}

impl Publish {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let port = done(workspace.publish_port(&self.port.at(self.bind)))?;
        if self.json {
            output::json(&workspace.describe_port(&port));
        } else {
            output::line(&format!("[workspace-port-publish] published_port={port}"));
        }
        Ok(exit::OK)
    }
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let ports = done(workspace.published_ports())?;
        if self.json {
            output::json(&workspace.describe_ports(&ports));
            return Ok(exit::OK);
        }
        if ports.is_empty() {
            output::line("No published ports.");
        }
        for port in &ports {
            let listening = if port["listening"] == true { "yes" } else { "no" };
            let error = port["error"].as_str().map(|error| format!(" error={error}")).unwrap_or_default();
            output::line(&format!(
                "[port] host={} host_port={} guest_port={} protocol={} listening={listening}{error}",
                text(port, "host"),
                text(port, "host_port"),
                text(port, "guest_port"),
                text(port, "protocol"),
            ));
        }
        Ok(exit::OK)
    }
}

impl Remove {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let port = done(workspace.remove_port(self.host_port))?;
        if self.json {
            output::json(&workspace.describe_port_removed(&port));
        } else {
            output::line(&format!("[workspace-port-remove] published_port={port}"));
        }
        Ok(exit::OK)
    }
}
