//! Everything the store must be told. This file must not find anything out by itself.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the store lives and what it may use.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of everything this room keeps; made on first use with mode 0700.
    pub cache_dir: PathBuf,
    /// A file with environments of the user's own, if there is one.
    pub user_catalogue: Option<PathBuf>,
    /// A Debian mirror to use instead of the one the host's apt sources name.
    pub mirror: Option<String>,
    /// The mirror's security archive; without it an explicit `mirror` brings no security updates.
    pub security_mirror: Option<String>,
    /// The host's apt configuration, `/etc/apt` everywhere but in tests.
    pub apt_dir: PathBuf,
    /// Where programs are looked for, in `PATH` syntax.
    pub program_path: OsString,
    /// Environment of the programs that are run, for instance `http_proxy`; `PATH` and `LC_ALL` are set by the store.
    pub program_env: Vec<(OsString, OsString)>,
    /// The static agent that becomes `/init`.
    pub agent: &'static [u8],
}

impl Config {
    /// A store under `cache_dir` with Debian's usual places and the agent this library was built with.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            cache_dir,
            user_catalogue: None,
            mirror: None,
            security_mirror: None,
            apt_dir: PathBuf::from("/etc/apt"),
            program_path: OsString::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            program_env: Vec::new(),
            agent: crate::agent::AGENT,
        }
    }
}
