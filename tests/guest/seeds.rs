//! The files a workspace begins with: whatever they come in, they are in the guest as they were on the host; archives that
//! would do harm are refused; and a workspace whose files did not come does not exist.

use crate::debian;
use crate::zoo;
use crate::zoo::Member;
use crate::zoo::file;
use crate::zoo::host;
use crate::zoo::link;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use pyro_testkit::trees::assert_same;
use pyro_testkit::trees::tree;
use rustix::process::Pid;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

/// Copies a folder of the guest to a new one of the host; what is in that.
#[track_caller]
fn pulled(work: &pyro_testkit::Workspace<'_>, from: &str, to: &Path) -> pyro_testkit::trees::Tree {
    work.call("sync pull", &[from, to.to_str().unwrap(), "--links", "keep"]).succeeds();
    tree(to)
}

fn packed(home: &Sandbox, name: &str, flag: &str) {
    host(home.home(), "tar", &[flag, name, "-C", "zoo", "."]);
}

#[test]
fn any_tree_arrives_as_it_was_whatever_it_came_in() {
    let home = debian();
    let zoo = home.home().join("zoo");
    zoo::make(&zoo);
    packed(&home, "zoo.tar", "-cSf");
    packed(&home, "zoo.tar.gz", "-czSf");
    host(home.home(), "zstd", &["-q", "zoo.tar"]);
    // A relative path is one of the caller's folder.
    let made = home.run(["workspace", "create", "debian:12", "--seed-path", "zoo", "--json"]).succeeds();
    let status = made.json();
    let work = home.adopt(status["workspace_id"].as_str().unwrap());
    assert!(made.stderr().contains("zoo/pipe: a socket, FIFO or device, left out"), "{made:?}");
    fs::remove_file(zoo.join("pipe")).unwrap();
    let expected = tree(&zoo);
    let seed = &status["workspace_seed"];
    assert_eq!((&seed["mode"], &seed["destination"]), (&"directory".into(), &"/workspace".into()));
    assert_eq!(seed["seed_path"], zoo.to_str().unwrap());
    // The folder itself is an entry too.
    assert_eq!(seed["entry_count"], expected.len() + 1, "{seed}");
    assert_same(&pulled(&work, ".", &home.home().join("back")), &expected);
    assert!(fs::metadata(home.home().join("back/sparse")).unwrap().blocks() < 1000, "holes stay holes");
    let seen = work.sh("bin/run.sh; readlink python climbs; stat -c '%h %u' big; stat -c %b sparse");
    assert_eq!(seen, "ran\n/usr/bin/python3\n../../../../etc/passwd\n2 0\n0");
    // GNU tar writes times in whole seconds unless it is asked for more.
    let listing = "find . -mindepth 1 -printf '%P %y %m %Ts %l %s\\n' | sort | sha256sum";
    let plain = work.sh(listing);
    for archive in ["zoo.tar", "zoo.tar.gz", "zoo.tar.zst"] {
        let report = work.call("sync push", &[archive, "--dest", "/srv/t", "--json"]).succeeds().json();
        let sync = &report["workspace_sync"];
        assert_eq!((&sync["mode"], &sync["destination"]), (&"tar_archive".into(), &"/srv/t".into()));
        assert_eq!(sync["warning_count"], 1, "{sync}");
        assert_eq!(work.sh(&format!("cd /srv/t; {listing}; cd /; rm -r /srv/t")), plain, "{archive}");
    }
    drop(work);
    let seeded = home.workspace("debian:12", &["--seed-path", "zoo.tar.gz"]);
    assert_eq!(seeded.status()["workspace_seed"]["mode"], "tar_archive");
    assert_eq!(seeded.sh(listing), plain);
}

#[test]
fn a_clone_begins_with_the_commit_it_says() {
    let home = debian();
    let repository = home.home().join("project");
    fs::create_dir(&repository).unwrap();
    let git = |args: &[&str]| {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"];
        host(&repository, "git", &[&identity, args].concat())
    };
    git(&["init", "-q"]);
    fs::write(repository.join("file"), "first").unwrap();
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    let first = git(&["rev-parse", "HEAD"]);
    fs::write(repository.join("file"), "second").unwrap();
    git(&["commit", "-qam", "second"]);
    fs::write(repository.join("untracked"), "not committed").unwrap();
    let second = git(&["rev-parse", "HEAD"]);
    let address = format!("git+file://{}", repository.display());
    for (given, commit, content) in
        [(format!("project#{first}"), first, "first"), (address, second, "second")]
    {
        let work = home.workspace("debian:12", &["--seed-git", &given]);
        let seed = &work.status()["workspace_seed"];
        assert_eq!((&seed["mode"], &seed["commit"]), (&"git".into(), &commit.as_str().into()), "{seed}");
        let seen = work.sh("cat file; echo; git status --porcelain; git rev-parse HEAD; ls");
        assert_eq!(seen, format!("{content}\n{commit}\nfile"));
    }
    let refused = home.run(["workspace", "create", "debian:12", "--seed-git", "project#nowhere"]);
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr().contains("nowhere"), "{refused:?}");
    home.assert_nothing_running();
}

#[test]
fn archives_that_would_do_harm_are_refused_and_change_nothing() {
    let home = debian();
    fs::write(home.home().join("outside"), "untouched").unwrap();
    let work = home.workspace("debian:12", &[]);
    work.sh("echo mine > mine; echo a > /etc/untouched");
    let long = "n/".repeat(2048) + "x";
    let component = "c".repeat(256);
    let device = |kind| Member { name: "device", kind, target: "", content: b"" };
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("climbs", tar(&[file("../outside", b"x")]), "archive_refused"),
        ("hides a climb", tar(&[file("a/../../outside", b"x")]), "archive_refused"),
        ("is absolute", tar(&[file("/etc/untouched", b"x")]), "archive_refused"),
        (
            "goes through a link",
            tar(&[link(b'2', "l", "/etc"), file("l/untouched", b"x")]),
            "archive_refused",
        ),
        ("links to a file of the guest", tar(&[link(b'1', "hard", "/etc/passwd")]), "archive_refused"),
        ("links upwards", tar(&[link(b'1', "hard", "../etc/passwd")]), "archive_refused"),
        ("has a path of 4097 bytes", tar(&[file(&long, b"x")]), "archive_refused"),
        ("has a name of 256 bytes", tar(&[file(&component, b"x")]), "archive_refused"),
        ("is below a file", tar(&[file("f", b"x"), file("f/g", b"x")]), "archive_refused"),
        ("is cut", tar(&[file("a", &[1; 5000])])[..3000].to_vec(), "archive_invalid"),
        ("is none", vec![b'x'; 5000], "archive_invalid"),
    ];
    for (name, content, code) in &cases {
        fs::write(home.home().join("hostile.tar"), content).unwrap();
        let outcome = work.call("sync push", &["hostile.tar"]);
        assert_eq!(outcome.code(), 1, "{name}: {outcome:?}");
        assert!(outcome.stderr().contains(&format!("({code})")), "{name}: {outcome:?}");
    }
    let harmless = tar(&[
        device(b'3'),
        device(b'6'),
        link(b'2', "escape", "../../../../../etc"),
        file("Readme", b"one"),
        file("README", b"two"),
        file("readme", b"three"),
    ]);
    fs::write(home.home().join("odd.tar"), harmless).unwrap();
    let said = work.call("sync push", &["odd.tar"]).succeeds();
    assert_eq!(said.stderr().matches("[warning]").count(), 2, "{said:?}");
    let seen = work.sh("ls -A | LC_ALL=C sort | tr '\\n' ' '; cat README Readme readme mine /etc/untouched");
    assert_eq!(seen, "README Readme escape mine readme twoonethreemine\na");
    assert_eq!(fs::read_to_string(home.home().join("outside")).unwrap(), "untouched");
}

fn tar(members: &[Member<'_>]) -> Vec<u8> {
    zoo::tar(members)
}

#[test]
fn a_workspace_whose_files_do_not_come_does_not_exist() {
    let home = debian();
    let create =
        |seed: &str| home.run(["workspace", "create", "debian:12", "--name", "it", "--seed-path", seed]);
    create("nowhere").fails_with(1, "source_missing", "nowhere");
    fs::write(home.home().join("hostile.tar"), tar(&[file("fine", b"x"), file("../outside", b"x")])).unwrap();
    create("hostile.tar").fails_with(1, "archive_refused", "../outside");
    host(home.home(), "mkfifo", &["pipe"]);
    assert_eq!(create("pipe").code(), 1);
    // More than fits is an error of the disk, and the same.
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut large = fs::File::create(home.home().join("large.tar")).unwrap();
    let mut content = vec![0; 64 << 20];
    std::io::Read::read_exact(&mut random, &mut content).unwrap();
    std::io::Write::write_all(&mut large, &tar(&[file("large", &content)])).unwrap();
    let args = ["workspace", "create", "debian:12", "--seed-path", "large.tar", "--disk-mib", "64"];
    let full = home.run(args);
    assert!(full.code() == 1 && full.stderr().contains("(guest_disk_full)"), "{full:?}");
    interrupted(&home);
    home.assert_nothing_running();
    let list = home.run(["workspace", "list", "--json"]).succeeds().json();
    assert_eq!(list["workspaces"], serde_json::json!([]));
}

/// A creation that is interrupted while files go over.
fn interrupted(home: &Sandbox) {
    let args = ["workspace", "create", "debian:12", "--seed-path", "large.tar"];
    let child = home.pyro(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let workspaces = home.state().join("workspaces");
    let began = std::time::Instant::now();
    // Its disk takes what the guest writes, and the guest writes nothing like that by itself.
    while disk_bytes(&workspaces) < 4 << 20 {
        assert!(began.elapsed().as_secs() < 120, "nothing is seeded");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let outcome = Outcome::from_output("create", child.wait_with_output().unwrap());
    assert_ne!(outcome.code(), 0, "{outcome:?}");
}

fn disk_bytes(workspaces: &Path) -> u64 {
    let files = pyro_testkit::sandbox::files_below_quietly(workspaces);
    files.iter().filter_map(|file| file.metadata().ok()).map(|found| found.blocks() * 512).sum()
}

/// What this file says of a sandbox.
trait NothingRunning {
    fn assert_nothing_running(&self);
}

impl NothingRunning for Sandbox {
    fn assert_nothing_running(&self) {
        // A command that looks removes what killed ones left.
        self.run(["workspace", "list"]).succeeds();
        processes::wait_until_none_uses(self.home());
        let left = fs::read_dir(self.state().join("workspaces")).unwrap().count();
        assert_eq!(left, 0, "no workspace is left");
    }
}
