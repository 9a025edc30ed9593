//! `pyro cp`: between the host and workspaces, by the rules of `docker cp`.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::Appearance;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

fn cp(home: &Sandbox, from: &str, to: &str) -> Outcome {
    home.run(["cp", from, to])
}

/// Bytes that are no text and do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

fn folder(home: &Sandbox) -> PathBuf {
    let folder = home.home().join("d");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("one"), "1\n").unwrap();
    fs::write(folder.join("sub/two"), "2\n").unwrap();
    symlink("one", folder.join("link")).unwrap();
    // What a push would leave out.
    fs::write(folder.join(".gitignore"), "one\n").unwrap();
    folder
}

#[test]
fn files_go_in_and_come_out_as_they_are() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let bytes = noise(5 << 20);
    let file = home.home().join("f");
    fs::write(&file, &bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
    let report = home.run(["cp", "f", "box:g", "--json"]).succeeds().json();
    assert_eq!(report["destination"], "box:/workspace/g");
    assert_eq!(report["bytes_written"], 5 << 20);
    assert_eq!(workspace.sh("stat -c %a g"), "750");
    // Into a folder under its own name, also by the id.
    let done = cp(&home, "f", &format!("{}:/tmp/", workspace.id())).succeeds();
    assert!(done.stdout().starts_with("[cp] source="), "what it did is what was asked for: {done:?}");
    cp(&home, "box:/tmp/f", "back").succeeds();
    assert_eq!(fs::read(home.home().join("back")).unwrap(), bytes);
    assert_eq!(fs::metadata(home.home().join("back")).unwrap().permissions().mode() & 0o777, 0o750);
    // A file replaces a file, whose mode and links stay as they are.
    workspace.sh("echo new > n");
    let old = home.home().join("old");
    fs::write(&old, "old and longer\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("old", home.home().join("way")).unwrap();
    cp(&home, "box:n", "way").succeeds();
    assert_eq!(fs::read_to_string(&old).unwrap(), "new\n");
    assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(home.home().join("way")).unwrap().is_symlink());
    workspace.sh("chmod 640 g");
    cp(&home, "old", "box:g").succeeds();
    assert_eq!(workspace.sh("cat g; stat -c %a g"), "new\n640");
    // A name with a colon.
    fs::write(home.home().join("a:b"), "colon\n").unwrap();
    cp(&home, "./a:b", "box:").succeeds();
    assert_eq!(workspace.sh("cat a:b"), "colon");
    cp(&home, "box:a:b", "./c:d").succeeds();
    assert_eq!(fs::read_to_string(home.home().join("c:d")).unwrap(), "colon\n");
}

#[test]
fn folders_go_where_docker_puts_them() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    folder(&home);
    let list = |at: &str| workspace.sh(&format!("cd {at} && find . -mindepth 1 | sort | tr '\\n' ' '"));
    let all = "./.gitignore ./link ./one ./sub ./sub/two";
    cp(&home, "d", "box:new").succeeds();
    assert_eq!(list("new"), all);
    assert_eq!(workspace.sh("readlink new/link; cat new/sub/two"), "one\n2");
    // It is there now, so the next goes into it; but what is in a folder goes where it is told to.
    cp(&home, "d/", "box:new/").succeeds();
    assert_eq!(list("new/d"), all);
    workspace.sh("mkdir into");
    cp(&home, "d/.", "box:into").succeeds();
    assert_eq!(list("into"), all);
    // What is only there stays.
    workspace.sh("echo mine > into/mine; echo changed > into/one");
    cp(&home, "d/.", "box:into").succeeds();
    assert_eq!(workspace.sh("cat into/mine into/one"), "mine\n1");
    // And out again.
    cp(&home, "box:into", "out").succeeds();
    assert_eq!(fs::read_to_string(home.home().join("out/mine")).unwrap(), "mine\n");
    assert_eq!(fs::read_link(home.home().join("out/link")).unwrap().to_str(), Some("one"));
    cp(&home, "box:into", "out").succeeds();
    assert_eq!(fs::read_to_string(home.home().join("out/into/one")).unwrap(), "1\n");
    workspace.sh("echo again > into/one");
    cp(&home, "box:into/.", "out").succeeds();
    assert_eq!(fs::read_to_string(home.home().join("out/one")).unwrap(), "again\n");
}

#[test]
fn nothing_takes_the_place_of_another_kind() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    folder(&home);
    fs::write(home.home().join("f"), "f\n").unwrap();
    workspace.sh("echo x > file; mkdir -p folder/f folder/one; mkfifo pipe; ln -s /etc/passwd folder/away");
    cp(&home, "d", "box:file").fails_with(1, "path_exists", "box:/workspace/file");
    cp(&home, "f", "box:folder").fails_with(1, "is_a_directory", "box:/workspace/folder/f");
    // In the midst of a folder, too; nothing else has come then.
    cp(&home, "d/.", "box:folder").fails_with(1, "is_a_directory", "one");
    assert_eq!(workspace.sh("ls -A folder | tr '\\n' ' '"), "away f one");
    cp(&home, "box:folder", "f").fails_with(1, "path_exists", "f");
    cp(&home, "box:folder/.", "d").fails_with(1, "path_exists", "one");
    cp(&home, "f", "box:missing/").fails_with(1, "path_not_found", "box:/workspace/missing");
    cp(&home, "f", "box:missing/f").fails_with(1, "path_not_found", "box:/workspace/missing");
    cp(&home, "d", "box:missing/d").fails_with(1, "path_not_found", "box:/workspace/missing");
    cp(&home, "f", "box:file/").fails_with(1, "not_a_directory", "box:/workspace/file");
    cp(&home, "box:file/", "g").fails_with(1, "not_a_directory", "box:/workspace/file");
    cp(&home, "box:file", "missing/").fails_with(1, "path_not_found", "missing");
    cp(&home, "box:file", "missing/g").fails_with(1, "path_not_found", "missing");
    cp(&home, "box:nothing", "g").fails_with(1, "path_not_found", "box:/workspace/nothing");
    cp(&home, "nothing", "box:").fails_with(1, "source_missing", "nothing");
    cp(&home, "box:pipe", "g").fails_with(1, "path_unsuitable", "box:/workspace/pipe");
    cp(&home, "box:folder", "g").fails_with(1, "link_escapes", "away");
    assert!(!home.home().join("g").exists());
    home.run(["cp", "--links", "skip", "box:folder", "g"]).succeeds();
    assert!(home.home().join("g/one").is_dir() && !home.home().join("g/away").exists());
    cp(&home, "box:folder", "box:folder/below").fails_with(1, "path_unsuitable", "box:/workspace/folder");
    cp(&home, "f", "nobody:f").fails_with(1, "workspace_unknown", "nobody");
    workspace.call("stop", &[]).succeeds();
    cp(&home, "f", "box:f").fails_with(1, "workspace_not_running", workspace.id());
}

#[test]
fn a_command_line_without_a_workspace_is_refused() {
    let home = empty_sandbox();
    cp(&home, "a", "b").fails_with(2, "usage", "neither");
    cp(&home, "-", "b").fails_with(2, "usage", "neither");
    cp(&home, ":a", "b").fails_with(2, "usage", ":a");
    cp(&home, "", "box:").fails_with(2, "usage", "nothing is named");
    let both = home.run(["cp", "box:a", "-", "--json"]).ends_with(2);
    assert_eq!(both.json()["code"], "usage");
}

#[test]
fn archives_pass_through_standard_input_and_output() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    folder(&home);
    let packed = Outcome::of(std::process::Command::new("tar").args(["-c", "d"]).current_dir(home.home()));
    let mut child = home
        .pyro(["cp", "-", "box:/srv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(packed.succeeds().stdout_bytes()).unwrap();
    Outcome::from_output("cp -", child.wait_with_output().unwrap()).succeeds();
    assert_eq!(workspace.sh("cat /srv/d/sub/two; readlink /srv/d/link"), "2\none");
    let archive = cp(&home, "box:/srv/d", "-").succeeds();
    fs::write(home.home().join("out.tar"), archive.stdout_bytes()).unwrap();
    let out = home.home().join("unpacked");
    fs::create_dir(&out).unwrap();
    let mut tar = std::process::Command::new("tar");
    Outcome::of(tar.args(["-xf", "../out.tar"]).current_dir(&out)).succeeds();
    assert_eq!(fs::read_to_string(out.join("d/sub/two")).unwrap(), "2\n");
    cp(&home, "-", "box:/no/such").fails_with(1, "path_not_found", "box:/no/such");
    cp(&home, "-", "box:/etc/passwd").fails_with(1, "not_a_directory", "box:/etc/passwd");
}

#[test]
fn guests_give_each_other_files_and_folders() {
    let home = debian();
    let (one, two) =
        (home.workspace("debian:12", &["--name", "one"]), home.workspace("debian:12", &["--name", "two"]));
    one.sh("mkdir -p d/sub; head -c 3000000 /dev/urandom > d/sub/big; chmod 700 d/sub; ln -s sub/big d/l; ln d/sub/big d/hard");
    cp(&home, "one:d", "two:").succeeds();
    let look = "cd d && sha256sum hard sub/big | sort; readlink l; stat -c %a sub; stat -c %h hard";
    assert_eq!(one.sh(look), two.sh(look));
    cp(&home, "one:d/l", "two:/tmp/big").succeeds();
    assert_eq!(one.sh("sha256sum < d/sub/big"), two.sh("sha256sum < /tmp/big"));
    // Within one guest as well, and a folder that fails to come whole does not come at all.
    cp(&home, "one:d", "one:e").succeeds();
    assert_eq!(one.sh("sha256sum < e/sub/big"), one.sh("sha256sum < d/sub/big"));
    two.sh("rm -r d; mkdir -p d/l; echo mine > d/l/mine");
    cp(&home, "one:d/.", "two:d").fails_with(1, "is_a_directory", "l");
    assert_eq!(two.sh("find d -type f"), "d/l/mine");
}

#[test]
fn a_copy_that_was_killed_leaves_nothing_for_long() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    workspace
        .sh("mkdir big; truncate -s 64M big/zeros; head -c 64M /dev/urandom > big/noise; echo small > small");
    let to = home.home().join("to");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("old"), "old\n").unwrap();
    let hidden = || {
        let names = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect::<Vec<_>>()
    };
    for (from, target) in [("box:big/noise", "to/new"), ("box:big", "to/folder"), ("box:big/noise", "to/old")]
    {
        let watch = Appearance::below(&to);
        let mut copy = home.pyro(["cp", from, target]).spawn().unwrap();
        watch.wait_for(|path| {
            path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b".pyro-"))
        });
        copy.kill().unwrap();
        copy.wait().unwrap();
        // The next one there puts it away, and nothing that is in use.
        cp(&home, "box:small", "to/small").succeeds();
        assert_eq!(hidden(), [""; 0], "{from} {target}");
        assert_eq!(fs::read_to_string(to.join("small")).unwrap(), "small\n");
        fs::remove_file(to.join("small")).unwrap();
    }
    assert_eq!(fs::read_to_string(to.join("old")).unwrap(), "old\n");
}

#[test]
fn a_link_alone_is_exported_as_the_link_it_is() {
    let home = debian();
    let workspace = home.workspace("debian:12", &[]);
    workspace.sh("echo x > file; ln -s file near; ln -s /etc/passwd far");
    let export = |name: &str, output: &str, flags: &[&str]| {
        workspace.call("export", &[&[name, "--output", output], flags].concat())
    };
    for state in ["running", "stopped"] {
        let name = |what: &str| format!("{state}-{what}");
        let report = export("near", &name("near"), &["--json"]).succeeds().json();
        assert_eq!(report["artifact_type"], "symlink");
        let link = fs::read_link(home.home().join(name("near"))).unwrap();
        assert_eq!(link.to_str(), Some("file"));
        export("far", &name("far"), &[]).fails_with(1, "link_escapes", "/etc/passwd");
        assert!(fs::symlink_metadata(home.home().join(name("far"))).is_err());
        export("far", &name("far"), &["--links", "keep"]).succeeds();
        let link = fs::read_link(home.home().join(name("far"))).unwrap();
        assert_eq!(link.to_str(), Some("/etc/passwd"));
        if state == "running" {
            // A copy is of what a link leads to.
            cp(&home, &format!("{}:near", workspace.id()), "followed").succeeds();
            assert_eq!(fs::read_to_string(home.home().join("followed")).unwrap(), "x\n");
            workspace.call("stop", &[]).succeeds();
        }
    }
}
