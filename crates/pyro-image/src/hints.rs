//! What a user can do about each failure of the store. This file must not decide what a failure is.

use crate::error::ImageError;

impl ImageError {
    /// What to do about it, one sentence each; empty where there is nothing to say.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownEnvironment { known, .. } => vec![format!("there are: {}", known.join(", "))],
            Self::NotInstalled { name } => vec![format!("install it with `pyro env pull {name}`")],
            Self::UserCatalogue { path, .. } => vec![format!("correct {}, or remove it", path.display())],
            Self::MirrorMissing { .. } => {
                vec!["name a Debian mirror in the configuration, or in the host's apt sources".to_owned()]
            }
            Self::MirrorInvalid { .. } => vec!["a mirror looks like `http://HOST/debian`".to_owned()],
            Self::MirrorUnreachable { .. } => {
                vec![
                    "check the network and the proxy settings; `apt-get update` should work on this host"
                        .to_owned(),
                ]
            }
            Self::MirrorUntrusted { .. } => vec![
                "check the mirror's address: what is no archive has no signature".to_owned(),
                "install the package debian-archive-keyring".to_owned(),
            ],
            Self::PackageMissing { .. } => {
                vec!["check that the mirror carries the suite and its security updates".to_owned()]
            }
            Self::ProgramMissing { package, .. } => {
                vec![format!("install it with `apt-get install {package}`")]
            }
            Self::NamespaceUnavailable { .. } => vec![
                "the package uidmap and a range for this user in /etc/subuid and /etc/subgid are needed"
                    .to_owned(),
                "add the range with `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`"
                    .to_owned(),
            ],
            Self::DiskFull { .. } => disk_full(),
            Self::File { .. } if self.code() == "disk_full" => disk_full(),
            Self::File { .. } if self.code() == "cache_unwritable" => {
                vec!["make the cache folder writable for this user, or choose another one".to_owned()]
            }
            Self::Corrupt { environment, .. } => {
                vec![format!("run `pyro env pull {environment}` to build it again")]
            }
            Self::Step { .. } => vec!["run it again: what was downloaded is kept".to_owned()],
            Self::Rootfs { .. } => {
                vec!["give a tar archive of a root file system: .tar, .tar.gz or .tar.zst".to_owned()]
            }
            Self::BuiltinCatalogue { .. }
            | Self::Spawn { .. }
            | Self::File { .. }
            | Self::Kernel { .. }
            | Self::DiskSize { .. }
            | Self::Cancelled => Vec::new(),
        }
    }
}

fn disk_full() -> Vec<String> {
    vec!["free some space, for instance with `pyro env prune`, or choose another cache folder".to_owned()]
}
