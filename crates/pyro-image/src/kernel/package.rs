//! The Debian package with the kernel: which one, fetching it, and what we need of its contents. This file must not write
//! into the store's finished folders.

use super::archive::ARCHITECTURE;
use super::archive::AptRoot;
use super::module;
use crate::child::Task;
use crate::error::At;
use crate::error::ImageError;
use crate::namespace;
use crate::program;
use crate::pull::Work;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// The series of kernels guests are made for, and the flavour without drivers for real hardware.
const SERIES: &str = "6.12";
/// The suite whose archive is asked for a kernel.
pub(crate) const SUITE: &str = "bookworm";
/// Several times what a kernel image takes.
const VMLINUZ_BYTES_MAX: u64 = 128 << 20;
/// Several times what a compressed module takes.
const MODULE_BYTES_MAX: u64 = 8 << 20;
/// How long chains of dependencies between the modules we take can get.
const PASSES_MAX: usize = 8;

/// A package that holds a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelPackage {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl KernelPackage {
    /// The newest kernel of the series that the lists have: what the meta package names, or the highest number.
    pub(crate) fn newest(work: &Work<'_>, apt: &AptRoot<'_>) -> Result<Self, ImageError> {
        let meta = format!("linux-image-{SERIES}-cloud-{ARCHITECTURE}");
        let named = show(work, apt, &meta)?.and_then(|text| dependency(&text));
        let name = match named {
            Some(name) => name,
            None => highest(work, apt)?.ok_or(ImageError::PackageMissing { package: meta })?,
        };
        let text = show(work, apt, &name)?;
        let version = text.as_deref().and_then(|text| field(text, "Version")).map(str::to_owned);
        match version {
            Some(version) => Ok(Self { name, version }),
            None => Err(ImageError::PackageMissing { package: name }),
        }
    }

    /// Fetches the package unless it is there already. apt checks it against the signed lists in either case.
    pub(crate) fn download(&self, work: &Work<'_>, apt: &AptRoot<'_>) -> Result<PathBuf, ImageError> {
        let dir = apt.kernels();
        let mut command = apt.command(program::APT_GET)?;
        command.arg("download").arg(format!("{}={}", self.name, self.version)).current_dir(&dir);
        apt.run(work, "fetching the kernel package", command)?;
        // apt writes a version's colon as %3a, and a kernel's version has no other character that it would change.
        let file = format!("{}_{}_{ARCHITECTURE}.deb", self.name, self.version.replace(':', "%3a"));
        let path = dir.join(file);
        if path.is_file() { Ok(path) } else { Err(std::io::ErrorKind::NotFound).at("finding", &path) }
    }
}

/// A package's description, if the lists have it.
fn show(work: &Work<'_>, apt: &AptRoot<'_>, package: &str) -> Result<Option<String>, ImageError> {
    let mut command = apt.command(program::APT_CACHE)?;
    command.args(["show", "--no-all-versions", package]);
    let ended =
        Task::new("looking for a kernel package", command, work.cancel).lend(&work.lent).end(&mut |_| {})?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    Ok((ended.status.success() && !text.trim().is_empty()).then_some(text))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The kernel package a meta package depends on.
fn dependency(text: &str) -> Option<String> {
    let depends = field(text, "Depends")?;
    depends
        .split(',')
        .filter_map(|one| one.split_whitespace().next())
        .find(|name| is_kernel(name))
        .map(str::to_owned)
}

/// The highest kernel package of the series in the lists.
fn highest(work: &Work<'_>, apt: &AptRoot<'_>) -> Result<Option<String>, ImageError> {
    let mut command = apt.command(program::APT_CACHE)?;
    command.args(["pkgnames", &format!("linux-image-{SERIES}.")]);
    let names = apt.run(work, "looking for a kernel package", command)?;
    Ok(highest_of(&String::from_utf8_lossy(&names)))
}

fn highest_of(names: &str) -> Option<String> {
    names
        .lines()
        .map(str::trim)
        .filter(|name| is_kernel(name))
        .max_by_key(|name| version_key(name))
        .map(str::to_owned)
}

fn is_kernel(name: &str) -> bool {
    let rest = name.strip_prefix("linux-image-").and_then(|rest| rest.strip_prefix(SERIES));
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~'));
    plain
        && rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(&format!("-cloud-{ARCHITECTURE}")))
}

/// Orders package names by the numbers in them.
pub(crate) fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// A module as it goes into the store.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) depends: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// What we take out of the package.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) release: String,
    pub(crate) vmlinuz: Vec<u8>,
    pub(crate) modules: Vec<Module>,
}

impl Contents {
    /// Unpacks `deb` next to where it is needed, reads what we take, and removes the rest.
    pub(crate) fn read(
        work: &Work<'_>,
        package: &KernelPackage,
        deb: &Path,
        scratch: &Path,
    ) -> Result<Self, ImageError> {
        let tar = scratch.join("data.tar");
        let mut command = namespace::command(work.config, program::DPKG_DEB)?;
        command.arg("--fsys-tarfile").arg(deb);
        let operation = "unpacking the kernel package";
        let mut task = Task::new(operation, command, work.cancel).lend(&work.lent);
        task.stdout = Some(File::create(&tar).at("making", &tar)?);
        let ended = task.end(&mut |_| {})?;
        if !ended.status.success() {
            // A package that apt accepted and dpkg does not was damaged in between: fetch it again next time.
            let _ = std::fs::remove_file(deb);
            return Err(super::archive::failure(scratch, operation, &ended));
        }
        let bad = |reason: String| ImageError::Kernel { package: package.name.clone(), reason };
        let contents = Self::from_tar(&tar).map_err(bad)?;
        std::fs::remove_file(&tar).at("removing", &tar)?;
        Ok(contents)
    }

    /// Reads the archive once for the kernel and the modules asked for, and again for what those depend on.
    fn from_tar(tar: &Path) -> Result<Self, String> {
        let mut wanted: Vec<String> =
            module::BOOT.iter().chain(module::KEPT).map(|name| (*name).to_owned()).collect();
        let mut kernel = None;
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        for _ in 0..PASSES_MAX {
            let before = modules.len();
            pass(tar, &wanted, &mut kernel, &mut modules)?;
            wanted = modules.values().flat_map(|module| module.depends.clone()).collect();
            wanted.retain(|name| !modules.contains_key(name));
            if wanted.is_empty() || modules.len() == before {
                break;
            }
        }
        let (release, vmlinuz) = kernel.ok_or("it has no kernel image")?;
        Ok(Self { release, vmlinuz, modules: modules.into_values().collect() })
    }
}

fn pass(
    tar: &Path,
    wanted: &[String],
    kernel: &mut Option<(String, Vec<u8>)>,
    modules: &mut BTreeMap<String, Module>,
) -> Result<(), String> {
    let file = File::open(tar).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(1 << 20, file));
    for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let release = path.rsplit('/').next().and_then(|name| name.strip_prefix("vmlinuz-"));
        if let Some(release) = release.filter(|_| kernel.is_none()) {
            let release = release.to_owned();
            if !crate::manifest::is_plain_name(&release) {
                return Err("its release is not a name".to_owned());
            }
            *kernel = Some((release, bytes(&mut entry, VMLINUZ_BYTES_MAX)?));
        } else if let Some(name) = module::name_of_file(&path).filter(|name| wanted.contains(name)) {
            let packed = bytes(&mut entry, MODULE_BYTES_MAX)?;
            let unpacked =
                module::unpack(&path, packed).map_err(|reason| format!("module {name}: {reason}"))?;
            let depends = module::depends(&unpacked).map_err(|reason| format!("module {name}: {reason}"))?;
            modules.insert(name.clone(), Module { name, depends, bytes: unpacked });
        }
    }
    Ok(())
}

fn bytes(entry: &mut impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit { Err(format!("a file is larger than {limit} bytes")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_names_the_kernel() {
        let text = "Package: linux-image-6.12-cloud-amd64\nVersion: 6.12.9-1\n\
                    Depends: foo, linux-image-6.12.9+deb12-cloud-amd64 (= 6.12.9-1)\n";
        assert_eq!(dependency(text).as_deref(), Some("linux-image-6.12.9+deb12-cloud-amd64"));
        assert_eq!(field(text, "Version"), Some("6.12.9-1"));
    }

    #[test]
    fn without_it_the_highest_number_wins_among_bootable_kernels() {
        let names = "linux-image-6.12.9+deb12-cloud-amd64\nlinux-image-6.12.107+deb12-cloud-amd64\n\
                     linux-image-6.12.111+deb12-cloud-amd64-unsigned\nlinux-image-6.12.112+deb12-cloud-amd64-dbg\n\
                     linux-image-6.12.113+deb12-rt-amd64\nlinux-image-6.12.30+deb12-cloud-amd64\n";
        assert_eq!(highest_of(names).as_deref(), Some("linux-image-6.12.107+deb12-cloud-amd64"));
        assert_eq!(highest_of("linux-image-6.1.0-cloud-amd64\n"), None);
    }

    #[test]
    fn what_would_be_an_option_or_a_path_is_no_kernel() {
        assert!(!is_kernel("linux-image-6.12.1/../x-cloud-amd64"));
        assert!(!is_kernel("-o=linux-image-6.12.1-cloud-amd64"));
    }
}
