//! Where the agent runs: as the guest's own, or on a host that nothing may be changed on. This file must not run jobs.

use crate::command::Defaults;
use crate::exemption::Exemption;
use crate::groups::Groups;
use crate::spawn::Inheritance;
use crate::sys::process;
use crate::vault::Vault;
use pyro_proto::message::SECRETS_FOLDER;
use rustix::process::Resource;
use rustix::process::Rlimit;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Open files a command of a guest may have before it asks for more, and at most.
const COMMAND_FILES: Rlimit = Rlimit { current: Some(1024), maximum: Some(524_288) };

/// Where the agent runs.
#[derive(Debug)]
pub struct Place {
    pub(crate) kind: Kind,
    pub(crate) groups: Option<Groups>,
    pub(crate) defaults: Defaults,
    pub(crate) inheritance: Inheritance,
    /// Where what outlives this agent is kept, if another may follow it.
    pub(crate) vault: Option<Vault>,
    /// Where secrets are put for programs to read.
    pub(crate) secrets: PathBuf,
}

/// Whose system it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The guest's: it is made unlike every other, frozen and powered off as the host asks.
    Guest,
    /// A person's: commands run here, and that is all.
    Host,
}

impl Place {
    /// A guest whose cgroup2 file system is mounted at `cgroups`.
    pub(crate) fn guest(cgroups: &Path, vault: Option<Vault>) -> Self {
        // Commands may be busy by the hundred, and the host must be heard all the same. An agent without the privilege waits for
        // its turn.
        let _ = process::run_first();
        Self {
            kind: Kind::Guest,
            // Without control groups every job has a monitor instead.
            groups: Groups::open(cgroups).ok(),
            defaults: Defaults { cwd: vec![c"/workspace".into(), c"/".into()], uid: uid() },
            inheritance: Inheritance { file_limit: COMMAND_FILES, exemption: Exemption::claim() },
            vault,
            secrets: PathBuf::from(SECRETS_FOLDER),
        }
    }

    /// A host where commands start in the folder `workspace` of `folder`.
    ///
    /// # Errors
    /// When the path cannot be one.
    pub fn host(folder: &Path) -> io::Result<Self> {
        let workspace = CString::new(folder.join("workspace").as_os_str().as_bytes())?;
        let file_limit = rustix::process::getrlimit(Resource::Nofile);
        Ok(Self {
            kind: Kind::Host,
            groups: None,
            defaults: Defaults { cwd: vec![workspace], uid: uid() },
            inheritance: Inheritance { file_limit, exemption: Exemption::none() },
            vault: None,
            secrets: folder.join("secrets"),
        })
    }
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
