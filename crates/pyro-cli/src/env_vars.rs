//! Every environment variable the program reads, in one list; `docs/reference/environment-variables.md` is generated from
//! it. No other file may name one.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence or two.
    pub meaning: &'static str,
}

macro_rules! env_vars {
    ($($constant:ident = $name:literal: $meaning:literal;)+) => {
        $(pub(crate) const $constant: &str = $name;)+
        /// Every environment variable the program reads.
        pub const ENV_VARS: &[EnvVar] = &[$(EnvVar { name: $name, meaning: $meaning }),+];
    };
}

env_vars! {
    PYRO_ENGINE = "PYRO_ENGINE": "Which engine runs guests: auto, qemu or firecracker. The flag --engine wins.";
    PYRO_CACHE_DIR = "PYRO_CACHE_DIR": "Folder for what can be made again: environments, kernels, downloads. Default: $XDG_CACHE_HOME/pyro.";
    PYRO_ENVIRONMENT_CACHE_DIR = "PYRO_ENVIRONMENT_CACHE_DIR": "Older name of PYRO_CACHE_DIR, used when that is not set.";
    PYRO_STATE_DIR = "PYRO_STATE_DIR": "Folder for running guests' disks and what persists. Default: $XDG_STATE_HOME/pyro.";
    PYRO_DEBIAN_MIRROR = "PYRO_DEBIAN_MIRROR": "Debian mirror that environments are built from. Default: the one the host's apt is configured with.";
    PYRO_DEBIAN_SECURITY_MIRROR = "PYRO_DEBIAN_SECURITY_MIRROR": "Security updates that go with PYRO_DEBIAN_MIRROR. The kernel comes from there; set both or neither.";
    PYRO_CATALOG = "PYRO_CATALOG": "File with the user's own environments. Default: $XDG_CONFIG_HOME/pyro/environments.toml, if it exists.";
    PYRO_BOOT_TIMEOUT_SECONDS = "PYRO_BOOT_TIMEOUT_SECONDS": "How long a guest may take to come up before it is given up. Default: 120.";
    PYRO_TEMPLATE_CACHE_MIB = "PYRO_TEMPLATE_CACHE_MIB": "Disk that templates of paused guests may take together, in MiB; the least recently used go first. Default: 8192.";
    PYRO_MAX_WORKSPACES = "PYRO_MAX_WORKSPACES": "Workspaces that there may be at once, running or not. Default: 1000.";
    PYRO_MAX_OUTPUT_MIB = "PYRO_MAX_OUTPUT_MIB": "How much of each output of a workspace's command is kept, in MiB, as set when the workspace is started. Default: 64.";
    PYRO_NO_KEYRING = "PYRO_NO_KEYRING": "When set and not empty, secrets of workspaces are not kept in the kernel's keyring, and are to be set again after a stop.";
    PYRO_MCP_TOKEN = "PYRO_MCP_TOKEN": "The bearer token of `pyro mcp serve --http`. The flag --token-file wins; without either one is made.";
    PYRO_COMPLETE = "PYRO_COMPLETE": "Set by completion scripts: the shell that asks for completions of the command line behind --.";
    XDG_CACHE_HOME = "XDG_CACHE_HOME": "Base of the default cache folder. Default: ~/.cache.";
    XDG_STATE_HOME = "XDG_STATE_HOME": "Base of the default state folder. Default: ~/.local/state.";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME": "Base of the default catalogue file. Default: ~/.config.";
    HOME = "HOME": "The user's home folder.";
    PATH = "PATH": "Where programs such as qemu-system-x86_64 and mmdebstrap are looked for.";
    HTTP_PROXY = "http_proxy": "Proxy for fetching packages over HTTP, passed on to apt.";
    HTTPS_PROXY = "https_proxy": "Proxy for fetching packages over HTTPS, passed on to apt.";
    FTP_PROXY = "ftp_proxy": "Proxy for fetching packages over FTP, passed on to apt.";
    NO_PROXY = "no_proxy": "Hosts for which no proxy is used, passed on to apt.";
    NO_COLOR = "NO_COLOR": "When set and not empty, nothing is coloured and no progress bar is drawn.";
}
