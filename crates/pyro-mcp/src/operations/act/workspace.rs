//! Making workspaces, finding them, changing what is only remembered of them, deleting them.

use super::fields;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::repository;
use crate::operations::rules::HostPaths;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::limits::TtlSeconds;
use pyro::secret::SecretValue;
use pyro::tree::GitSource;
use pyro::workspace::CreateSpec;
use pyro::workspace::NewSecret;
use pyro::workspace::PortSpec;
use pyro::workspace::SecretSource;
use pyro::workspace::SeedSource;
use pyro::workspace::Update as Change;
use pyro::workspace::Workspace;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsStr;

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<Create>(),
        Operation::of::<List>(),
        Operation::of::<Status>(),
        Operation::of::<Update>(),
        Operation::of::<Delete>(),
    ]
}

/// A secret, by value or from a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretGiven {
    /// Its name, which is a variable's name.
    name: String,
    /// Its value.
    value: Option<String>,
    /// Or a file of the host that holds it.
    file_path: Option<String>,
}

/// A port of the guest, and which port of the host it is published at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PortGiven {
    /// Port of the guest.
    guest_port: u16,
    /// Port of this host, from 1025 on; a free one is chosen without it.
    host_port: Option<u16>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Environment, as vm_list_environments names it, for instance "debian:12".
    environment: String,
    /// Virtual processors, 1 to 8.
    #[serde(default = "default::vcpu_count")]
    vcpu_count: u64,
    /// Memory in MiB, 256 to 32768.
    #[serde(default = "default::mem_mib")]
    mem_mib: u64,
    /// Disk in MiB; it takes only what is written to it.
    #[serde(default = "default::disk_mib")]
    disk_mib: u64,
    /// Seconds without use after which it is stopped, its data kept; 0 for never.
    #[serde(default = "default::ttl_seconds")]
    ttl_seconds: u64,
    /// Seconds after a stop when it may be deleted; 0 for never.
    #[serde(default)]
    retention_seconds: u64,
    /// What the guest may reach: "off", "egress" or "egress+published-ports".
    #[serde(default = "default::network_policy")]
    network_policy: String,
    /// Run without isolation when no engine works; refused by MCP servers.
    #[serde(default)]
    allow_host_compat: bool,
    /// Folder or tar archive of the host that its files begin with.
    seed_path: Option<String>,
    /// Git repository of the host that its files begin with, with #REF for a branch, tag or commit.
    seed_git: Option<String>,
    /// Values that commands may use and nobody may see, each with a name and a value or a file_path.
    #[serde(default)]
    secrets: Option<Vec<SecretGiven>>,
    /// Keep secrets on the disk of the host, encrypted, so that they outlive a restart of it.
    #[serde(default)]
    persist_secrets: bool,
    /// Name, usable instead of the id everywhere.
    name: Option<String>,
    /// Labels, to find it by.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Ports of the guest to publish at 127.0.0.1 of the host.
    #[serde(default)]
    published_ports: Option<Vec<PortGiven>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only those with all of these labels.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Only those in this state: started, stopped, suspended, creating, busy or broken.
    state: Option<String>,
    /// Workspaces after which the page ends; next_cursor then says where to go on.
    #[serde(default = "default::workspaces_limit")]
    limit: usize,
    /// The next_cursor of the page before.
    #[serde(default)]
    cursor: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Status {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name from now on.
    name: Option<String>,
    /// Have no name.
    #[serde(default)]
    clear_name: bool,
    /// Labels to set.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Keys of labels to remove.
    #[serde(default)]
    clear_labels: Option<Vec<String>>,
    /// Seconds without use after which it is stopped; 0 for never.
    ttl_seconds: Option<u64>,
    /// Seconds after a stop when it may be deleted; 0 for never.
    retention_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Workspace, by id or name.
    workspace_id: String,
}

impl Action for Create {
    const NAME: &'static str = "workspace_create";
    const TITLE: &'static str = "Create a workspace";
    const DESCRIPTION: &'static str = "Make a Linux computer of its own (a microVM) that stays, and start it; its files are \
        in /workspace. Use it for work of several steps; for one command, vm_run is enough. Give seed_path to begin with a \
        project's files. Then workspace_exec runs commands, workspace_file_* reads and writes, snapshot_create and \
        workspace_reset go back, and workspace_delete ends it. Example: {\"environment\": \"debian:12\", \"name\": \"fix\"}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let spec = self.spec(with)?;
        let workspace = create(with, spec).await?;
        Ok(workspace.record(false).await?)
    }
}

impl Create {
    fn spec(self, with: &Context<'_>) -> Result<CreateSpec, OperationError> {
        let rules = with.operations.rules();
        rules.host_compat(self.allow_host_compat)?;
        let seed = match (self.seed_path, self.seed_git) {
            (Some(_), Some(_)) => {
                return Err(OperationError::arguments("seed_path and seed_git exclude each other"));
            }
            (Some(path), None) => SeedSource::Path(rules.host_paths.source(&path)?),
            (None, Some(repository)) => git(with, &repository)?,
            (None, None) => SeedSource::Empty,
        };
        let publish = self.published_ports.unwrap_or_default();
        Ok(CreateSpec {
            environment: self.environment,
            size: given::size(rules, self.vcpu_count, self.mem_mib, self.disk_mib)?,
            ttl: TtlSeconds::new(self.ttl_seconds)?,
            retention_seconds: self.retention_seconds,
            name: self.name.as_deref().map(given::name).transpose()?,
            labels: given::labels(&self.labels.unwrap_or_default())?.into_iter().collect(),
            network_policy: self.network_policy,
            seed,
            publish: publish.iter().map(PortGiven::spec).collect::<Result<_, _>>()?,
            secrets: secrets(with, self.secrets.unwrap_or_default())?,
            persist_secrets: self.persist_secrets,
        })
    }
}

impl PortGiven {
    pub(super) fn spec(&self) -> Result<PortSpec, OperationError> {
        let spec = PortSpec::new(self.host_port, self.guest_port);
        spec.map_err(|error| OperationError::arguments(format!("published_ports: {error}")))
    }
}

/// Makes a workspace within the server's limits, under its labels.
async fn create(with: &Context<'_>, mut spec: CreateSpec) -> Result<Workspace, OperationError> {
    let rules = with.operations.rules();
    let all = with.workspaces()?;
    spec.labels.extend(rules.labels.iter().cloned());
    let _room = with.room_for(1)?;
    let made = relay(with.progress, |mut teller| async move { all.create(spec, &mut teller).await }).await;
    Ok(made?)
}

/// A repository of the host, as it may be used.
fn git(with: &Context<'_>, repository: &str) -> Result<SeedSource, OperationError> {
    let parsed = GitSource::parse(OsStr::new(repository));
    let parsed = parsed.map_err(|error| OperationError::from(&error as &dyn pyro::Coded))?;
    let given =
        parsed.path.shown().to_str().ok_or_else(|| OperationError::arguments("seed_git is no UTF-8"))?;
    let paths = &with.operations.rules().host_paths;
    let path = paths.source(given)?;
    if *paths != HostPaths::Anywhere {
        repository::check_whole(&path)?;
    }
    Ok(SeedSource::Repository(GitSource { path, ..parsed }))
}

/// Secrets with their values, which are read here and nowhere else.
pub(super) fn secrets(with: &Context<'_>, all: Vec<SecretGiven>) -> Result<Vec<NewSecret>, OperationError> {
    all.into_iter().map(|one| secret(with, one)).collect()
}

fn secret(with: &Context<'_>, one: SecretGiven) -> Result<NewSecret, OperationError> {
    let name: pyro::secret::SecretName = given::name(&one.name)?;
    let (source, value) = match (one.value, one.file_path) {
        (Some(value), None) => (SecretSource::Literal, value.into_bytes()),
        (None, Some(path)) => {
            let path = with.operations.rules().host_paths.source(&path)?;
            let read = read_bounded(path.path());
            let failed = |error| {
                let text = format!("the secret {name}: reading {}: {error}", path.shown().display());
                OperationError::new(code::SOURCE_UNREADABLE, text).hint("name a file that can be read")
            };
            (SecretSource::File, read.map_err(failed)?)
        }
        _ => {
            return Err(OperationError::arguments(format!("the secret {name} takes a value or a file_path")));
        }
    };
    let wrong = |error| OperationError::arguments(format!("the value of the secret {name} {error}"));
    let value = SecretValue::from_bytes(value).map_err(wrong)?;
    Ok(NewSecret { name, source, value })
}

fn read_bounded(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // One byte more than there may be tells that there are too many.
    let most = pyro::secret::VALUE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Action for List {
    const NAME: &'static str = "workspace_list";
    const TITLE: &'static str = "List workspaces";
    const DESCRIPTION: &'static str = "List all workspaces, the last used first: ids, names, labels, states. Use it to find \
        one again. Example: {\"labels\": {\"task\": \"review\"}}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["count:int total_count:int next_cursor:int? workspaces:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let labels = given::labels(&self.labels.unwrap_or_default())?;
        let mut document = with.workspaces()?.describe_list(&labels, self.state.as_deref())?;
        let Value::Array(mut all) = document["workspaces"].take() else { return Ok(document) };
        let (total, end) = (all.len(), self.cursor.saturating_add(self.limit).min(all.len()));
        all.truncate(end);
        all.drain(..self.cursor.min(end));
        document["count"] = json!(all.len());
        document["total_count"] = json!(total);
        document["next_cursor"] = json!((end < total).then_some(end));
        document["workspaces"] = Value::Array(all);
        Ok(document)
    }
}

impl Action for Status {
    const NAME: &'static str = "workspace_status";
    const TITLE: &'static str = "Show a workspace";
    const DESCRIPTION: &'static str = "Show how a workspace is: state, resources, last command, services, ports, and how \
        the guest's disk and memory are.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE];

    async fn run(self, with: &Context<'_>) -> Outcome {
        Ok(with.find(&self.workspace_id)?.record(true).await?)
    }
}

impl Action for Update {
    const NAME: &'static str = "workspace_update";
    const TITLE: &'static str = "Rename or label a workspace";
    const DESCRIPTION: &'static str = "Change a workspace's name, labels or times. It is an error when nothing would change. \
        Example: {\"workspace_id\": \"fix\", \"labels\": {\"state\": \"reviewed\"}}.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE];

    async fn run(self, with: &Context<'_>) -> Outcome {
        if self.clear_name && self.name.is_some() {
            return Err(OperationError::arguments("name and clear_name exclude each other"));
        }
        let keys = self.clear_labels.unwrap_or_default();
        let change = Change {
            name: self.name.as_deref().map(given::name).transpose()?,
            clear_name: self.clear_name,
            labels: given::labels(&self.labels.unwrap_or_default())?.into_iter().collect(),
            clear_labels: keys.iter().map(|key| given::name(key)).collect::<Result<_, _>>()?,
            ttl_seconds: self.ttl_seconds.map(TtlSeconds::new).transpose()?.map(TtlSeconds::get),
            retention_seconds: self.retention_seconds,
        };
        let workspace = with.find(&self.workspace_id)?;
        workspace.update(&change).await?;
        Ok(workspace.record(false).await?)
    }
}

impl Action for Delete {
    const NAME: &'static str = "workspace_delete";
    const TITLE: &'static str = "Delete a workspace";
    const DESCRIPTION: &'static str = "Delete a workspace with everything in it, running or not. Nothing brings it back: \
        workspace_export what is to be kept first.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str deleted:bool reason:str"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        workspace.delete().await?;
        Ok(workspace.describe_deleted())
    }
}
