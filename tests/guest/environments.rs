//! Environments through the command line: listing, installing, damage, pruning.

use crate::debian;
use crate::empty_sandbox;
use crate::linked_sandbox;
use crate::sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

#[test]
fn the_catalogue_is_listed_without_any_installation() {
    let home = empty_sandbox();
    let list = home.run(["env", "list"]).succeeds();
    assert!(list.stdout().starts_with("Catalog version: "), "{list:?}");
    for name in ["debian:12", "debian:12-base", "debian:12-build"] {
        assert!(list.stdout().contains(&format!("\n{name} [not installed] ")), "{list:?}");
    }
    let json = home.run(["env", "list", "--json"]).succeeds().json();
    let names: Vec<&str> =
        json["environments"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["debian:12", "debian:12-base", "debian:12-build"]);
}

#[test]
fn an_installed_environment_is_shown_with_its_files() {
    let home = debian();
    let detail = home.run(["env", "inspect", "debian:12", "--verify", "--json"]).succeeds().json();
    assert_eq!(detail["installed"], true);
    for field in ["kernel_image", "rootfs_image", "install_manifest", "install_dir"] {
        assert!(Path::new(detail[field].as_str().unwrap()).exists(), "{field} of {detail}");
    }
    let text = home.run(["env", "inspect", "debian:12"]).succeeds();
    assert!(text.stdout().starts_with("Environment: debian:12\nVersion: 1.0.0\n"), "{text:?}");
    let image = detail["rootfs_image"].as_str().unwrap();
    let check = std::process::Command::new("e2fsck").args(["-fn", image]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// Puts a copy in the place of a file that is shared with other caches, so that it may be damaged.
fn unshare(file: &Path) {
    let copy = file.with_extension("copy");
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("--sparse=always").args([file, &copy]).status().unwrap().success());
    fs::rename(&copy, file).unwrap();
}

/// The image that guests of `debian:12` are started from.
fn image_of(home: &Sandbox) -> PathBuf {
    let detail = home.run(["env", "inspect", "debian:12", "--json"]).succeeds().json();
    let image = PathBuf::from(detail["rootfs_image"].as_str().unwrap());
    assert!(image.starts_with(home.cache()), "{image:?}");
    image
}

#[test]
fn a_damaged_image_is_noticed_and_named() {
    let home = linked_sandbox();
    let image = image_of(&home);
    unshare(&image);
    let mut permissions = fs::metadata(&image).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "the file is the test's own")]
    permissions.set_readonly(false);
    fs::set_permissions(&image, permissions).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&image).unwrap();
    file.write_all(b"damage").unwrap();
    drop(file);
    let run = home.run(["run", "debian:12", "--", "true"]).fails_with(125, "image_corrupt", "rootfs.ext4");
    assert!(run.stderr().contains("pyro env pull debian:12"), "the hint says how to mend it: {run:?}");
    home.assert_nothing_left();
}

#[test]
fn pruning_removes_what_is_broken_and_never_what_is_in_use() {
    let home = linked_sandbox();
    let image = image_of(&home);
    let environments = image.parent().unwrap().parent().unwrap();
    fs::create_dir(environments.join("debian_12-0.0.1-000000000000")).unwrap();
    let mut user = home
        .pyro(["run", "debian:12", "--mem-mib", "256", "--", "echo begun; read line; git --version"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(user.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    let prune = home.run(["env", "prune", "--json"]).succeeds().json();
    let deleted = prune["deleted_environment_dirs"].as_array().unwrap();
    assert_eq!(prune["count"], deleted.len(), "{prune}");
    assert!(deleted.iter().any(|dir| dir.as_str().unwrap().contains("debian_12-0.0.1")), "{prune}");
    assert!(image.exists());
    user.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("git version"));
    assert!(user.wait().unwrap().success());
}

#[test]
fn no_mirror_is_an_error_that_says_what_to_set() {
    let home = empty_sandbox();
    let pull = Outcome::of(
        home.pyro(["env", "pull", "debian:12"]).env("PYRO_DEBIAN_MIRROR", "http://127.0.0.1:1/debian"),
    );
    pull.fails_with(1, "mirror_unreachable", "127.0.0.1:1");
    let run = Outcome::of(
        home.pyro(["run", "debian:12", "--", "true"]).env("PYRO_DEBIAN_MIRROR", "http://127.0.0.1:1/debian"),
    );
    run.fails_with(125, "mirror_unreachable", "127.0.0.1:1");
    home.assert_nothing_left();
    assert!(partial_dirs(home.cache()).is_empty());
}

/// Unfinished installations below a cache.
fn partial_dirs(cache: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cache.join("environments")) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("partial"))
        .collect()
}

/// A real installation is killed half-way, then done again: nothing of the first is left, and a guest answers.
#[test]
fn a_killed_installation_leaves_nothing_and_the_next_one_works() {
    let home = empty_sandbox();
    let mut pull = home
        .pyro(["env", "pull", "debian:12-base"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(pull.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("phase=install")), "packages were not being installed");
    pull.kill().unwrap();
    pull.wait().unwrap();
    processes::wait_until_none_uses(home.home());
    let list = home.run(["env", "list"]).succeeds();
    assert!(list.stdout().contains("debian:12-base [not installed]"), "{list:?}");
    home.run(["env", "pull", "debian:12-base"]).succeeds();
    assert!(partial_dirs(home.cache()).is_empty());
    home.run(["run", "debian:12-base", "--", "test -e /etc/debian_version"]).succeeds();
}

#[test]
fn a_users_own_environment_stands_beside_the_others() {
    let home = sandbox();
    let file = home.home().join("environments.toml");
    fs::write(&file, "schema = 1\n[[environment]]\nname = \"mine\"\nversion = \"2.0.0\"\ndescription = \"My own.\"\nsuite = \"bookworm\"\npackages = [\"jq\"]\n").unwrap();
    let list = Outcome::of(home.pyro(["env", "list"]).env("PYRO_CATALOG", &file)).succeeds();
    assert!(list.stdout().contains("mine [not installed] My own."), "{list:?}");
    assert!(list.stdout().contains("debian:12-base ["), "{list:?}");
    fs::write(&file, "schema = 1\n[[environment]]\nname = \"mine\"\nspeed = 3\n").unwrap();
    let list = Outcome::of(home.pyro(["env", "list"]).env("PYRO_CATALOG", &file));
    assert!(
        list.stderr().contains("environments.toml") && list.stdout().contains("debian:12-base ["),
        "{list:?}"
    );
}
