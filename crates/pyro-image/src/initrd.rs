//! The initial RAM disk: the agent, the modules a guest needs to reach its disks, and nothing else. This file must not know
//! environments.
//!
//! ```text
//!   /init             the agent
//!   /modules/*.ko     and /modules/order: file names in load order, one per line
//!   /dev/console      so that the kernel can give the agent its standard streams
//! ```

use crate::atomic;
use crate::cpio::Archive;
use crate::digest::FileRecord;
use crate::digest::Sha256Hex;
use crate::error::At;
use crate::error::ImageError;
use crate::kernel::Kernel;
use crate::kernel::module;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::manifest;
use crate::manifest::ModuleRecord;
use serde::Deserialize;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// Changes when the same inputs are to give another initrd.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct InitrdManifest {
    schema: u32,
    record: FileRecord,
}

/// The digest of everything that goes into the initrd of `kernel` and `agent`.
pub(crate) fn key(kernel: &Kernel, agent: &'static [u8]) -> Sha256Hex {
    let mut inputs = format!("{FORMAT}\n{}\n", crate::agent::sha256(agent).as_str());
    for module in boot_modules(kernel) {
        let _ = writeln!(inputs, "{} {}", module.name, module.record.sha256.as_str());
    }
    Sha256Hex::of(inputs.as_bytes())
}

/// The file of the initrd with this key.
pub(crate) fn file_name(key: &Sha256Hex) -> String {
    format!("initrd-{}.img", key.as_str())
}

/// The initrd for `kernel` and `agent`, made if there is none or the one there was touched; held against removal.
pub(crate) fn ensure(
    layout: &Layout,
    kernel: &Kernel,
    agent: &'static [u8],
) -> Result<(PathBuf, Lock), ImageError> {
    let dir = layout.initrds();
    let file = file_name(&key(kernel, agent));
    let path = dir.join(&file);
    let record_path = path.with_extension("json");
    if is_good(&dir, &record_path, &file)
        && let Some(lease) = Lock::try_shared(&path)?
    {
        return Ok((path, lease));
    }
    layout.make(&dir)?;
    let bytes = build(kernel, agent)?;
    let sha256 = Sha256Hex::of(&bytes);
    atomic::write(&path, &[&bytes])?;
    let lease = Lock::try_shared(&path)?.ok_or(std::io::ErrorKind::NotFound).at("leasing", &path)?;
    let stamp = crate::digest::Stamp::of(&std::fs::metadata(&path).at("examining", &path)?);
    let document = InitrdManifest { schema: manifest::SCHEMA, record: FileRecord { file, sha256, stamp } };
    atomic::write_json(&record_path, &document)?;
    Ok((path, lease))
}

fn is_good(dir: &std::path::Path, record_path: &std::path::Path, file: &str) -> bool {
    let document: Option<InitrdManifest> = manifest::read(record_path);
    document.is_some_and(|document| {
        document.record.file == file && document.record.is_untouched(dir, "").unwrap_or(false)
    })
}

fn build(kernel: &Kernel, agent: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut archive = Archive::default();
    let too_large = |_| std::io::Error::from(std::io::ErrorKind::FileTooLarge);
    let path = &kernel.dir;
    archive.directory("dev");
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.directory("modules");
    let mut order = String::new();
    for module in boot_modules(kernel) {
        let path = kernel.dir.join(&module.record.file);
        let bytes = std::fs::read(&path).at("reading", &path)?;
        let name = format!("{}.ko", module.name);
        archive.file(&format!("modules/{name}"), 0o644, &bytes).map_err(too_large).at("packing", &path)?;
        let _ = writeln!(order, "{name}");
    }
    archive.file("modules/order", 0o644, order.as_bytes()).map_err(too_large).at("packing", path)?;
    archive.file("init", 0o755, agent).map_err(too_large).at("packing the agent for", path)?;
    Ok(archive.finish())
}

/// The modules to load, each after what it depends on, and otherwise the way to the disks first.
fn boot_modules(kernel: &Kernel) -> Vec<&ModuleRecord> {
    let mut order = Vec::new();
    for name in module::BOOT {
        visit(kernel, name, &mut order);
    }
    order
}

/// Adds a module after its dependencies; names without a module are built into the kernel. The kernel's list is in load order
/// already, so that a module only ever leads to ones before it, and circles cannot be followed.
fn visit<'a>(kernel: &'a Kernel, name: &str, order: &mut Vec<&'a ModuleRecord>) {
    let all = &kernel.manifest.modules;
    let Some(position) = all.iter().position(|module| module.name == name) else { return };
    let module = &all[position];
    if order.iter().any(|other| other.name == module.name) {
        return;
    }
    for depends in &module.depends {
        if all[..position].iter().any(|other| other.name == *depends) {
            visit(kernel, depends, order);
        }
    }
    order.push(module);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Cancel;
    use crate::manifest::KernelManifest;

    /// A kernel whose files exist: an empty vmlinux, and modules that hold their names.
    pub(crate) fn fake_kernel(dir: &std::path::Path, modules: &[(&str, &[&str])]) -> Kernel {
        std::fs::create_dir_all(dir.join("modules")).unwrap();
        std::fs::write(dir.join("vmlinux"), b"kernel").unwrap();
        let cancel = Cancel::new().unwrap();
        let record = |file: &str| FileRecord::of_file(dir, file, &cancel, &mut |_| {}).unwrap();
        let modules = modules.iter().map(|(name, depends)| {
            let file = format!("modules/{name}.ko");
            std::fs::write(dir.join(&file), name).unwrap();
            let depends = depends.iter().map(|name| (*name).to_owned()).collect();
            ModuleRecord { name: (*name).to_owned(), depends, record: record(&file) }
        });
        let manifest = KernelManifest {
            schema: manifest::SCHEMA,
            package: "linux-image-6.12.1-cloud-amd64".to_owned(),
            package_version: "6.12.1-1".to_owned(),
            release: "6.12.1-cloud-amd64".to_owned(),
            modules: modules.collect(),
            vmlinux: record("vmlinux"),
        };
        manifest::write(dir, manifest::KERNEL_FILE, &manifest).unwrap();
        Kernel::read(dir).unwrap()
    }

    fn has(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn it_holds_the_agent_and_boot_modules_in_order_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = fake_kernel(
            &dir.path().join("k"),
            &[("libcrc32c", &[]), ("overlay", &["libcrc32c"]), ("virtio_blk", &[]), ("virtio_net", &[])],
        );
        let layout = Layout::new(dir.path());
        let (path, _lease) = ensure(&layout, &kernel, b"agent bytes").unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(has(&bytes, b"agent bytes"));
        assert!(has(&bytes, b"virtio_blk.ko\nlibcrc32c.ko\noverlay.ko\n"));
        assert!(!has(&bytes, b"virtio_net"));
    }

    #[test]
    fn it_is_made_once_and_made_again_when_touched() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = fake_kernel(&dir.path().join("k"), &[("virtio_blk", &[])]);
        let layout = Layout::new(dir.path());
        let (path, _) = ensure(&layout, &kernel, b"agent").unwrap();
        let good = std::fs::read(&path).unwrap();
        let first = std::fs::metadata(&path).unwrap();
        let (again, _) = ensure(&layout, &kernel, b"agent").unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&again).unwrap().ino(), first.ino());
        std::fs::write(&path, b"evil").unwrap();
        let (healed, _) = ensure(&layout, &kernel, b"agent").unwrap();
        assert_eq!(std::fs::read(healed).unwrap(), good);
        let (other, _) = ensure(&layout, &kernel, b"another agent").unwrap();
        assert_ne!(other, path);
    }
}
