//! Where the product keeps things and what it may use. The library reads nothing else from its surroundings: whoever uses
//! it decides, from the environment or otherwise.

use pyro_engine::EngineChoice;
use serde::Deserialize;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Where the product keeps things and what it may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Environments, kernels, downloads: can be made again. Content-addressed.
    pub cache_dir: PathBuf,
    /// What cannot be made again, and running guests' disks. Mode 0700.
    pub state_dir: PathBuf,
    /// Where programs are looked for, as in `PATH`.
    pub search_path: String,
    /// Variables for the programs that fetch packages, for instance `http_proxy`.
    pub fetch_env: Vec<(OsString, OsString)>,
    /// Which engine to use.
    pub engine: EngineChoice,
    /// Debian mirror for environments; the host's own configuration when absent.
    pub debian_mirror: Option<String>,
    /// The security updates that go with that mirror.
    pub debian_security_mirror: Option<String>,
    /// The user's own catalogue file, if it exists.
    pub user_catalogue: Option<PathBuf>,
    /// Bytes of disk that templates may take together; the least recently used go first.
    pub template_bytes_max: u64,
    /// How long a guest may take from its engine's start to its agent's hello.
    pub boot_deadline: Duration,
    /// Workspaces that there may be at once, running or not.
    pub workspaces_max: u64,
    /// Bytes of each output of a command of a workspace that are kept.
    pub output_bytes_max: u64,
    /// Whether secrets of workspaces are kept in the kernel's keyring of this user, so that they outlive a stop.
    pub secret_keyring: bool,
    /// The file with the key that secrets are kept on a disk with, outside of the state folder; none are kept without.
    #[serde(default)]
    pub secrets_key: Option<PathBuf>,
    /// The user's home folder, for programs that look there, such as git.
    pub home: Option<PathBuf>,
    /// The `pyro` program, which runs as the supervisor of each workspace.
    pub supervisor: PathBuf,
    /// The surface that uses the library, for audits: `cli`, `python`, `mcp`, `rust`.
    pub caller: String,
}

/// How long a guest may take to come up unless told otherwise. Generous: many may be starting at once under emulation.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// Where programs are looked for unless told otherwise.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

impl Config {
    /// The configuration with these folders and otherwise what the `pyro` program uses when its environment says nothing.
    /// `supervisor` is the path of the `pyro` program, which runs workspaces; one-shot runs do without it. No secret outlives
    /// a stop unless [`Config::secret_keyring`] or [`Config::secrets_key`] is set.
    pub fn new(
        cache_dir: impl Into<PathBuf>,
        state_dir: impl Into<PathBuf>,
        supervisor: impl Into<PathBuf>,
    ) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            state_dir: state_dir.into(),
            search_path: SEARCH_PATH.to_owned(),
            fetch_env: Vec::new(),
            engine: EngineChoice::Auto,
            debian_mirror: None,
            debian_security_mirror: None,
            user_catalogue: None,
            template_bytes_max: 8 << 30,
            boot_deadline: BOOT_DEADLINE,
            workspaces_max: 1000,
            output_bytes_max: 64 << 20,
            secret_keyring: false,
            secrets_key: None,
            home: None,
            supervisor: supervisor.into(),
            caller: "rust".to_owned(),
        }
    }

    /// The configuration for image handling.
    pub fn image_config(&self) -> pyro_image::Config {
        pyro_image::Config {
            user_catalogue: self.user_catalogue.clone(),
            mirror: self.debian_mirror.clone(),
            security_mirror: self.debian_security_mirror.clone(),
            program_path: self.search_path.clone().into(),
            program_env: self.fetch_env.clone(),
            ..pyro_image::Config::new(self.cache_dir.clone())
        }
    }

    /// A configuration below `root`, for tests of this crate.
    #[cfg(test)]
    pub(crate) fn for_tests(root: &std::path::Path) -> Self {
        Self {
            search_path: "/usr/bin:/bin:/usr/sbin:/sbin".to_owned(),
            template_bytes_max: 1 << 30,
            boot_deadline: Duration::from_secs(60),
            ..Self::new(root.join("cache"), root.join("state"), "/proc/self/exe")
        }
    }

    /// Where the verdict of the KVM probe is kept.
    pub fn probe_cache(&self) -> PathBuf {
        self.cache_dir.join("probe.json")
    }
}
