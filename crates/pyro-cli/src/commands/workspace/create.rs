//! `pyro workspace create`.

use super::done;
use super::failed;
use super::label;
use super::parsed;
use super::render;
use super::secret::Given;
use crate::commands::run::bounded;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;
use crate::settings;
use pyro::Coded as _;
use pyro::code;
use pyro::limits::DiskMib;
use pyro::limits::MemMib;
use pyro::limits::TtlSeconds;
use pyro::limits::VcpuCount;
use pyro::machine::Size;
use pyro::workspace::CreateSpec;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::PortSpec;
use pyro::workspace::SeedSource;
use pyro::workspace::WorkspaceError;
use pyro::workspace::WorkspaceName;
use pyro::workspace::Workspaces;
use std::path::PathBuf;

/// Make a workspace and start its guest.
///
/// The guest stays until it is stopped or nobody has used it for its time to live; it then stops and keeps all its data.
/// Returns when the guest is up and its files are in place. Whatever fails, nothing is left.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Environment of its guest, as `pyro env list` names it.
    environment: String,

    /// Virtual processors.
    #[arg(long, value_name = "N", default_value = "1", value_parser = bounded(VcpuCount::new))]
    vcpu_count: VcpuCount,

    /// Memory in MiB.
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = bounded(MemMib::new))]
    mem_mib: MemMib,

    /// Size of its disk in MiB; it takes only what is written to it.
    #[arg(long, value_name = "MIB", default_value = "8192", value_parser = bounded(DiskMib::new))]
    disk_mib: DiskMib,

    /// Time without use after which it is stopped, its data kept; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = bounded(TtlSeconds::new))]
    ttl_seconds: TtlSeconds,

    /// Time after a stop when `pyro gc` may delete it; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    retention_seconds: u64,

    /// What its guest may reach. This release refuses all but `off`.
    #[arg(long, value_name = "POLICY", default_value = "off", value_parser = ["off", "egress", "egress+published-ports"])]
    network_policy: String,

    /// Name, usable instead of the id everywhere. No two workspaces have the same.
    #[arg(long, value_name = "NAME", value_parser = parsed::<WorkspaceName>)]
    name: Option<WorkspaceName>,

    /// Label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,

    /// Folder or tar archive (plain, gzip, zstd) that its files begin with.
    #[arg(long, value_name = "PATH", conflicts_with = "seed_git")]
    seed_path: Option<PathBuf>,

    /// Local git repository that its files begin with: a path or git+file:// address, with #REF for a branch, tag or commit.
    #[arg(long, value_name = "REPOSITORY")]
    seed_git: Option<String>,

    /// Port of the guest to publish on 127.0.0.1, and before it the port of this host, from 1025 on; a free one is chosen without
    /// it. May be given several times; needs no network policy.
    #[arg(long, value_name = "GUEST|HOST:GUEST", value_parser = parsed::<PortSpec>)]
    publish: Vec<PortSpec>,

    #[command(flatten)]
    secrets: Given,

    /// Keep its secrets on a disk as well, encrypted with a key in the configuration folder, so that they outlive a stop and the
    /// host's next boot. Secrets that are set later are kept in the same way.
    #[arg(long)]
    persist_secrets: bool,

    /// Accepted and of no effect: a workspace needs a real guest, and is refused where no engine works.
    #[arg(long)]
    allow_host_compat: bool,

    /// Wait until the guest is up, which is what happens without this too.
    #[arg(long)]
    wait: bool,

    /// Print nothing but the id.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let config = settings::config(engine, exit::FAILED)?;
        let all = Workspaces::open(&config).map_err(|error| failed(&error))?;
        let mut observer = Terminal::silent().environment(&self.environment);
        if !self.json {
            observer = observer.transfers("seeding");
        }
        let (json, id_only, allow_host_compat) = (self.json, self.id_only, self.allow_host_compat);
        let spec = self.spec()?;
        let made = super::block_on(all.create(spec, &mut observer))?;
        drop(observer);
        let workspace = made.map_err(|error| refused(&error, allow_host_compat))?;
        let record = done(workspace.record(false))?;
        if json {
            output::json(&record);
        } else if id_only {
            output::line(workspace.id().as_str());
        } else {
            render::summary("Workspace", &record);
        }
        Ok(exit::OK)
    }

    fn spec(self) -> Result<CreateSpec, Failure> {
        let secrets = self.secrets.secrets()?;
        let seed = match (self.seed_path, self.seed_git) {
            (Some(path), _) => SeedSource::Path(path.into()),
            (None, Some(repository)) => SeedSource::Git(repository),
            (None, None) => SeedSource::Empty,
        };
        Ok(CreateSpec {
            environment: self.environment,
            size: Size { vcpus: self.vcpu_count, mem: self.mem_mib, disk: self.disk_mib },
            ttl: self.ttl_seconds,
            retention_seconds: self.retention_seconds,
            name: self.name,
            labels: self.labels.into_iter().collect(),
            network_policy: self.network_policy,
            seed,
            publish: self.publish,
            secrets,
            persist_secrets: self.persist_secrets,
        })
    }
}

/// A failure, with a word for those who hoped for the host.
fn refused(error: &WorkspaceError, allow_host_compat: bool) -> Failure {
    let no_engine =
        [code::ENGINE_MISSING, code::ENGINE_UNAVAILABLE, code::ENGINE_FAILED].contains(&error.code());
    if no_engine && allow_host_compat {
        let message = format!("{}; a workspace needs a real guest", code::chain(error));
        let hint = "'pyro run --allow-host-compat' runs one command on the host, without isolation";
        return Failure::plain(error.code(), message, hint, exit::FAILED);
    }
    failed(error)
}
