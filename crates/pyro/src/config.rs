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

impl Config {
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
            cache_dir: root.join("cache"),
            state_dir: root.join("state"),
            search_path: "/usr/bin:/bin:/usr/sbin:/sbin".to_owned(),
            fetch_env: Vec::new(),
            engine: EngineChoice::Auto,
            debian_mirror: None,
            debian_security_mirror: None,
            user_catalogue: None,
            template_bytes_max: 1 << 30,
            boot_deadline: Duration::from_secs(60),
            workspaces_max: 1000,
            output_bytes_max: 64 << 20,
            secret_keyring: false,
            secrets_key: None,
            home: None,
            supervisor: PathBuf::from("/proc/self/exe"),
            caller: "rust".to_owned(),
        }
    }

    /// Where the verdict of the KVM probe is kept.
    pub fn probe_cache(&self) -> PathBuf {
        self.cache_dir.join("probe.json")
    }
}
