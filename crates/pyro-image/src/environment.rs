//! What callers are told about an environment: the shape of `env list`, `env inspect` and `env pull`. This file must not find
//! any of it out.

use serde::Serialize;
use std::path::PathBuf;

/// An environment as the public contract describes it.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Its name, for instance `debian:12`.
    pub name: String,
    /// The version of its definition.
    pub version: String,
    /// One line for people.
    pub description: String,
    /// The packages it is defined with, beyond the essential ones.
    pub default_packages: Vec<String>,
    /// The distribution, for instance `debian`; `unknown` for an archive of the user's.
    pub distribution: String,
    /// Its version, or the name of its suite.
    pub distribution_version: String,
    /// What it runs on.
    pub platform: String,
    /// Where its image would come from; `None` for what is built here.
    pub oci_registry: Option<String>,
    /// The repository there.
    pub oci_repository: Option<String>,
    /// The tag or digest there.
    pub oci_reference: Option<String>,
    /// The digest of the installed root file system, as `sha256:...`.
    pub source_digest: Option<String>,
    /// Versions of pyro that can use it.
    pub compatibility: String,
    /// The built-in catalogue's version; `None` for the user's own environments.
    pub catalog_version: Option<String>,
    /// Whether it can be used without pulling.
    pub installed: bool,
    /// The store's folder.
    pub cache_dir: PathBuf,
    /// The folder it is installed in.
    pub install_dir: Option<PathBuf>,
    /// The document that describes the installation.
    pub install_manifest: Option<PathBuf>,
    /// The kernel it starts with.
    pub kernel_image: Option<PathBuf>,
    /// Its root file system.
    pub rootfs_image: Option<PathBuf>,
    /// What it was made from: `mmdebstrap:SUITE`, or `rootfs:PATH`.
    pub source: String,
    /// The root file system's size in bytes, when installed.
    pub size_bytes: Option<u64>,
}
