//! Ports of the guest on the host.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::rules::HostPaths;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::PortSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Publish>(), Operation::of::<List>(), Operation::of::<Remove>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Port of the guest.
    guest_port: u16,
    /// Port of this host, from 1025 on; a free one is chosen without it.
    host_port: Option<u16>,
    /// Address of this host to listen on; MCP servers take none but 127.0.0.1.
    #[serde(default = "default::loopback")]
    host: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Port of this host.
    host_port: u16,
}

impl Action for Publish {
    const NAME: &'static str = "port_publish";
    const TITLE: &'static str = "Publish a port";
    const DESCRIPTION: &'static str = "Publish a port of the guest at 127.0.0.1 of the host until it is removed. The guest \
        needs no network for it. Example: {\"workspace_id\": \"fix\", \"guest_port\": 8000}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str published_port:obj"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let bind: IpAddr = given::parsed("host", &self.host)?;
        // Whoever is bound to some folders of the host is not to let others in, either.
        if !bind.is_loopback() && with.operations.rules().host_paths != HostPaths::Anywhere {
            return Err(OperationError::arguments(format!("host {bind} is no address of the host alone")));
        }
        let spec = PortSpec::new(self.host_port, self.guest_port);
        let spec = spec.map_err(|error| OperationError::arguments(error.to_string()))?.at(bind);
        let workspace = with.find(&self.workspace_id)?;
        let port = workspace.publish_port(&spec).await?;
        Ok(workspace.describe_port(&port))
    }
}

impl Action for List {
    const NAME: &'static str = "port_list";
    const TITLE: &'static str = "List published ports";
    const DESCRIPTION: &'static str =
        "List the published ports of a workspace, and whether the host listens on each.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int published_ports:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let ports = workspace.published_ports().await?;
        Ok(workspace.describe_ports(&ports))
    }
}

impl Action for Remove {
    const NAME: &'static str = "port_remove";
    const TITLE: &'static str = "Unpublish a port";
    const DESCRIPTION: &'static str = "Publish a port no longer, and disconnect whoever is connected to it.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str published_port:obj removed:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let port = workspace.remove_port(self.host_port).await?;
        Ok(workspace.describe_port_removed(&port))
    }
}
