//! The programs the store runs, and the Debian packages that bring them. This file must not run them.

use crate::config::Config;
use crate::error::ImageError;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// A program the store needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const APT_GET: Program = Program { name: "apt-get", package: "apt" };
pub(crate) const APT_CACHE: Program = Program { name: "apt-cache", package: "apt" };
pub(crate) const APT_CONFIG: Program = Program { name: "apt-config", package: "apt" };
pub(crate) const DPKG_DEB: Program = Program { name: "dpkg-deb", package: "dpkg" };
pub(crate) const FIND: Program = Program { name: "find", package: "findutils" };
pub(crate) const MKFS: Program = Program { name: "mkfs.ext4", package: "e2fsprogs" };
pub(crate) const MMDEBSTRAP: Program = Program { name: "mmdebstrap", package: "mmdebstrap" };
pub(crate) const NEWUIDMAP: Program = Program { name: "newuidmap", package: "uidmap" };
pub(crate) const NEWGIDMAP: Program = Program { name: "newgidmap", package: "uidmap" };
pub(crate) const RM: Program = Program { name: "rm", package: "coreutils" };
pub(crate) const SH: Program = Program { name: "sh", package: "dash" };
pub(crate) const TAR: Program = Program { name: "tar", package: "tar" };
pub(crate) const UNSHARE: Program = Program { name: "unshare", package: "util-linux" };

impl Program {
    /// Where it is.
    pub(crate) fn find(self, config: &Config) -> Result<PathBuf, ImageError> {
        std::env::split_paths(&config.program_path)
            .map(|dir| dir.join(self.name))
            .find(|path| path.is_file())
            .ok_or(ImageError::ProgramMissing { program: self.name, package: self.package })
    }

    /// A command for it, with the environment the configuration gives and nothing else.
    pub(crate) fn command(self, config: &Config) -> Result<Command, ImageError> {
        let mut command = Command::new(self.find(config)?);
        command.env_clear();
        command.envs(config.program_env.iter().map(|(key, value)| (key, value)));
        command.env("PATH", &config.program_path).env("LC_ALL", "C.UTF-8");
        command.env("HOME", OsString::from("/nonexistent")).env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null());
        Ok(command)
    }
}
