//! The store over installations made by hand: what is opened, refused, kept and removed.

use super::*;
use crate::NoProgress;
use crate::digest::FileRecord;
use crate::initrd::tests::fake_kernel;
use crate::lock::Lock;
use crate::manifest::EnvironmentManifest;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;

const NAME: &str = "debian:12";

fn store(dir: &TempDir) -> ImageStore {
    let mut config = Config::new(dir.path().join("cache"));
    config.apt_dir = dir.path().join("no-apt");
    config.agent = b"agent";
    ImageStore::new(config).unwrap()
}

/// Installs something that looks like `name` was built from its present definition.
fn install_fake(store: &ImageStore, name: &str, version_of_definition: &str) -> PathBuf {
    let mut entry = store.catalogue.find(name).unwrap().clone();
    entry.version = version_of_definition.to_owned();
    let kernel =
        fake_kernel(&store.layout.kernels().join("6.12.1-cloud-amd64-0123456789ab"), &[("virtio_blk", &[])]);
    let dir = store.layout.environments().join(format!("{}-{}-0123456789ab", entry.slug(), entry.version));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("rootfs.ext4"), b"an image").unwrap();
    let manifest = EnvironmentManifest {
        schema: manifest::SCHEMA,
        name: entry.name.clone(),
        version: entry.version.clone(),
        definition: entry.definition(),
        platform: PLATFORM.to_owned(),
        source: pull::source_of(&entry),
        installed_at: 1,
        rootfs: FileRecord::of_file(&dir, "rootfs.ext4", &Cancel::new().unwrap(), &mut |_| {}).unwrap(),
        kernel: kernel.id(),
    };
    manifest::write(&dir, manifest::ENVIRONMENT_FILE, &manifest).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    entries.unwrap_or_default().iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn listing_makes_nothing_and_tells_what_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert!(store.list().iter().all(|environment| !environment.installed));
    assert!(!dir.path().join("cache").exists());
    let installed = install_fake(&store, NAME, "1.0.0");
    let environment = store.inspect(NAME).unwrap();
    assert!(environment.installed);
    assert_eq!(environment.install_dir, Some(installed));
    assert_eq!(environment.distribution_version, "12");
    assert!(environment.source_digest.unwrap().starts_with("sha256:"));
    assert_eq!(store.list().iter().filter(|environment| environment.installed).count(), 1);
}

#[test]
fn opening_needs_an_installation_of_the_present_definition() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(store.open(NAME).unwrap_err().code(), "environment_not_installed");
    install_fake(&store, NAME, "0.9.0");
    assert_eq!(store.open(NAME).unwrap_err().code(), "environment_not_installed");
    install_fake(&store, NAME, "1.0.0");
    let installed = store.open(NAME).unwrap();
    assert_eq!(std::fs::read(&installed.rootfs).unwrap(), b"an image");
    assert_eq!(std::fs::read(&installed.kernel).unwrap(), b"kernel");
    assert!(std::fs::read(&installed.initrd).unwrap().starts_with(b"070701"));
    assert!(installed.modules_dir.join("virtio_blk.ko").is_file());
}

#[test]
fn a_damaged_file_is_named_and_a_copied_one_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let installed = install_fake(&store, NAME, "1.0.0");
    let rootfs = installed.join("rootfs.ext4");
    std::fs::copy(&rootfs, installed.join("copy")).unwrap();
    std::fs::rename(installed.join("copy"), &rootfs).unwrap();
    store.open(NAME).unwrap();
    let manifest = EnvironmentManifest::read(&installed).unwrap();
    assert!(manifest.rootfs.is_untouched(&installed, NAME).unwrap(), "the new stamp is remembered");
    std::fs::write(&rootfs, b"an imagE").unwrap();
    let error = store.open(NAME).unwrap_err();
    assert_eq!(error.code(), "image_corrupt");
    assert!(error.to_string().contains("rootfs.ext4"), "{error}");
    assert!(error.hints()[0].contains("pyro env pull debian:12"));
    std::fs::write(&rootfs, b"an image").unwrap();
    store.open(NAME).unwrap();
    std::fs::write(
        store.layout.kernels().join("6.12.1-cloud-amd64-0123456789ab/modules/virtio_blk.ko"),
        b"evil",
    )
    .unwrap();
    assert_eq!(store.open(NAME).unwrap_err().code(), "image_corrupt");
}

#[test]
fn verifying_reads_what_a_stamp_cannot_tell() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let installed = install_fake(&store, NAME, "1.0.0");
    let cancel = Cancel::new().unwrap();
    store.verify(NAME, &NoProgress, &cancel).unwrap();
    assert!(store.pull(NAME, &NoProgress, &cancel).unwrap().reused);
    let rootfs = installed.join("rootfs.ext4");
    let before = std::fs::metadata(&rootfs).unwrap().modified().unwrap();
    std::fs::write(&rootfs, b"an imagE").unwrap();
    std::fs::File::options().write(true).open(&rootfs).unwrap().set_modified(before).unwrap();
    assert!(store.open(NAME).is_ok(), "the stamp is the same");
    assert_eq!(store.verify(NAME, &NoProgress, &cancel).unwrap_err().code(), "image_corrupt");
}

#[test]
fn prune_removes_what_nothing_needs_and_keeps_what_is_leased() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let kept = install_fake(&store, NAME, "1.0.0");
    let old = install_fake(&store, NAME, "0.9.0");
    let environments = store.layout.environments();
    std::fs::create_dir_all(environments.join("partial-debian_12-1-2/root")).unwrap();
    std::fs::create_dir_all(environments.join("broken")).unwrap();
    std::fs::create_dir_all(store.layout.kernels().join("unreferenced")).unwrap();
    let lease = store.open(NAME).unwrap();
    std::fs::write(store.layout.initrds().join("initrd-old.img"), b"").unwrap();
    std::fs::write(store.layout.initrds().join("initrd-x.img.4294967295.tmp"), b"").unwrap();
    let report = store.prune(&|_| false).unwrap();
    assert_eq!(report.count, 3);
    assert!(report.deleted_environment_dirs.contains(&old));
    assert!(report.deleted_other.contains(&store.layout.kernels().join("unreferenced")));
    assert_eq!(names(&environments), [kept.file_name().unwrap().to_string_lossy()]);
    assert_eq!(names(&store.layout.kernels()).len(), 1);
    assert_eq!(names(&store.layout.initrds()).len(), 2, "the initrd and its record");
    assert!(lease.rootfs.is_file() && lease.initrd.is_file());
}

#[test]
fn prune_leaves_a_living_build_and_a_leased_installation_that_is_no_longer_defined() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let old = install_fake(&store, NAME, "0.9.0");
    let partial = store.layout.make_partial(&store.layout.environments(), "debian_12").unwrap();
    let building = Lock::try_exclusive(&partial).unwrap();
    let lease = Lock::try_shared(&old).unwrap();
    let report = store.prune(&|_| false).unwrap();
    assert_eq!(report.count, 0);
    assert_eq!(report.in_use.len(), 2);
    drop((building, lease));
    let digest = EnvironmentManifest::read(&old).unwrap().rootfs.sha256.as_str().to_owned();
    assert_eq!(store.prune(&|needed| needed == digest).unwrap().count, 1, "a workspace needs the other");
    assert_eq!(store.open_digest(NAME, &digest).unwrap().version, "0.9.0");
    assert!(store.open(NAME).is_err(), "the catalogue wants another");
    assert_eq!(store.prune(&|_| false).unwrap().count, 1);
    assert!(names(&store.layout.environments()).is_empty());
}

#[test]
fn an_unreadable_user_catalogue_does_not_cost_its_installations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("environments.toml");
    std::fs::write(&path, "schema = 1\n[[environment]]\nname = \"mine\"\nversion = \"1\"\nsuite = \"sid\"\n")
        .unwrap();
    let mut config = store(&dir).config;
    config.user_catalogue = Some(path.clone());
    let mine = install_fake(&ImageStore::new(config.clone()).unwrap(), "mine", "1");
    std::fs::write(&path, "schema = ").unwrap();
    assert_eq!(ImageStore::new(config.clone()).unwrap().prune(&|_| false).unwrap().count, 0);
    assert!(mine.exists());
    std::fs::write(&path, "schema = 1\n").unwrap();
    assert_eq!(ImageStore::new(config).unwrap().prune(&|_| false).unwrap().count, 1);
}

#[test]
fn a_pull_that_cannot_begin_says_why_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = Cancel::new().unwrap();
    let mut config = store(&dir).config;
    let attempt = |config: &Config| {
        let store = ImageStore::new(config.clone()).unwrap();
        let error = store.pull(NAME, &NoProgress, &cancel).unwrap_err();
        assert!(names(&store.layout.environments()).is_empty());
        error
    };
    config.program_path = dir.path().join("no-programs").into_os_string();
    let error = attempt(&config);
    assert_eq!(error.code(), "program_missing");
    assert!(error.hints()[0].contains("apt-get install"));
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["unshare", "mkfs.ext4", "find", "dpkg-deb", "apt-get", "mmdebstrap"] {
        std::fs::write(bin.join(name), "").unwrap();
    }
    config.program_path = bin.into_os_string();
    assert_eq!(attempt(&config).code(), "mirror_missing");
    config.mirror = Some("nonsense".to_owned());
    assert_eq!(attempt(&config).code(), "mirror_invalid");
    cancel.cancel();
    config.mirror = Some("http://m.example/debian".to_owned());
    assert_eq!(attempt(&config).code(), "program_missing", "apt-config is looked for before anything runs");
}
