//! What can go wrong with environments, each with a stable code. What to do about it is in `hints`.

use std::io;
use std::path::Path;
use std::path::PathBuf;

/// A failed operation of the store. `Display` never repeats the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No catalogue has this name.
    #[error("unknown environment `{name}`")]
    UnknownEnvironment {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It is in the catalogue but not on this machine.
    #[error("environment `{name}` is not installed")]
    NotInstalled {
        /// Its name.
        name: String,
    },
    /// The user's catalogue file cannot be used.
    #[error("{}{}: {reason}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
    UserCatalogue {
        /// The file.
        path: PathBuf,
        /// The line, where one is to blame.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalogue inside this library cannot be used, which is a defect of the library.
    #[error("the built-in catalogue is damaged: {reason}")]
    BuiltinCatalogue {
        /// What is wrong with it.
        reason: String,
    },
    /// Neither the configuration nor the host's apt sources name a Debian mirror.
    #[error("no Debian mirror is configured: looked in {}", apt_dir.display())]
    MirrorMissing {
        /// The apt configuration that was read.
        apt_dir: PathBuf,
    },
    /// The configured mirror is not a URI that apt takes.
    #[error("`{mirror}` is not a mirror's address")]
    MirrorInvalid {
        /// What was configured.
        mirror: String,
    },
    /// The mirror does not answer, or does not have what a Debian mirror has.
    #[error("the Debian mirror cannot be used: {reason}")]
    MirrorUnreachable {
        /// apt's own words.
        reason: String,
    },
    /// What the mirror serves is not signed by a key this machine trusts.
    #[error("the Debian mirror's signature cannot be verified: {reason}")]
    MirrorUntrusted {
        /// apt's own words.
        reason: String,
    },
    /// The mirror does not have this package.
    #[error("the Debian mirror has no package `{package}`")]
    PackageMissing {
        /// The package.
        package: String,
    },
    /// A program that is needed is not installed.
    #[error("{program} is not installed")]
    ProgramMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// A program could not be started.
    #[error("starting {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program ended badly.
    #[error("{operation} failed ({status}){}", said(tail))]
    Step {
        /// What it was to do.
        operation: &'static str,
        /// How it ended.
        status: String,
        /// The last lines it printed.
        tail: String,
    },
    /// The kernel gives this user no namespaces to build in.
    #[error("no user namespace to build in{}", said(reason))]
    NamespaceUnavailable {
        /// unshare's own words.
        reason: String,
    },
    /// The disk has not enough room, known before or found out while writing.
    #[error("not enough disk space at {}{}", path.display(), room(*needed_mib, *free_mib))]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// What is needed, in MiB, where that is known.
        needed_mib: Option<u64>,
        /// What is free, in MiB, where that is known.
        free_mib: Option<u64>,
    },
    /// A file of the store could not be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done, as a verb with -ing.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file of the store is not what was recorded when it was made.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The environment it belongs to.
        environment: String,
        /// The file.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// The kernel package does not hold what it should.
    #[error("the kernel package {package} cannot be used: {reason}")]
    Kernel {
        /// The package.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user's root file system archive cannot be used.
    #[error("root file system {}: {reason}", path.display())]
    Rootfs {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A disk of this size cannot be made.
    #[error("a disk of {size_mib} MiB cannot be made: the smallest is {min_mib}, the largest {max_mib}")]
    DiskSize {
        /// What was asked for.
        size_mib: u64,
        /// The smallest.
        min_mib: u64,
        /// The largest.
        max_mib: u64,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ImageError {
    /// A name for this kind of failure that never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownEnvironment { .. } => "environment_unknown",
            Self::NotInstalled { .. } => "environment_not_installed",
            Self::UserCatalogue { .. } | Self::BuiltinCatalogue { .. } => "catalogue_invalid",
            Self::MirrorMissing { .. } => "mirror_missing",
            Self::MirrorInvalid { .. } => "mirror_invalid",
            Self::MirrorUnreachable { .. } => "mirror_unreachable",
            Self::MirrorUntrusted { .. } => "mirror_untrusted",
            Self::PackageMissing { .. } => "package_missing",
            Self::ProgramMissing { .. } => "program_missing",
            Self::Spawn { .. } | Self::Step { .. } => "image_build_failed",
            Self::NamespaceUnavailable { .. } => "namespace_unavailable",
            Self::DiskFull { .. } => "disk_full",
            Self::File { source, .. } => file_code(source),
            Self::Corrupt { .. } => "image_corrupt",
            Self::Kernel { .. } => "kernel_invalid",
            Self::Rootfs { .. } => "rootfs_invalid",
            Self::DiskSize { .. } => "disk_size_invalid",
            Self::Cancelled => "cancelled",
        }
    }
}

fn file_code(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "cache_unwritable",
        _ => "image_io",
    }
}

fn said(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(": {tail}") }
}

fn room(needed_mib: Option<u64>, free_mib: Option<u64>) -> String {
    match (needed_mib, free_mib) {
        (Some(needed), Some(free)) => format!(": {needed} MiB needed, {free} MiB free"),
        _ => String::new(),
    }
}

/// Puts the operation and the path to an [`io::Error`].
pub(crate) trait At<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, ImageError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, ImageError> {
        self.map_err(|error| ImageError::File { operation, path: path.to_owned(), source: error.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_error_is_classified_by_its_cause_and_does_not_repeat_it() {
        let full: Result<(), ImageError> =
            Err(io::Error::from(io::ErrorKind::StorageFull)).at("writing", Path::new("/x"));
        let full = full.unwrap_err();
        assert_eq!(full.code(), "disk_full");
        assert_eq!(full.to_string(), "writing /x");
        let denied: Result<(), ImageError> =
            Err(io::Error::from(io::ErrorKind::PermissionDenied)).at("making", Path::new("/y"));
        assert_eq!(denied.unwrap_err().code(), "cache_unwritable");
    }
}
