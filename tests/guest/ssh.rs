//! OpenSSH's own programs at a workspace: what they do with a real server they must be able to do here.

use crate::debian;
use crate::sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Pty;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::sandbox::search_path;
use rustix::process::Signal;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// A home of OpenSSH's programs, which know a workspace by its entry and nothing else of pyro.
struct Client<'a> {
    home: &'a Sandbox,
    config: PathBuf,
}

impl<'a> Client<'a> {
    fn of(home: &'a Sandbox, workspace: &Workspace<'_>) -> Self {
        let entry = workspace.call("ssh-config", &[]).succeeds();
        let config = home.home().join("ssh_config");
        fs::write(&config, entry.stdout_bytes()).unwrap();
        Self { home, config }
    }

    fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.arg("-F").arg(&self.config).args(args);
        command.env_clear().env("PATH", search_path()).env("HOME", self.home.home());
        command.current_dir(self.home.home()).stdin(Stdio::null());
        command
    }

    fn ssh(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.program("ssh", args))
    }

    fn ssh_with_input(&self, args: &[&str], input: &[u8]) -> Outcome {
        let mut ssh = self.program("ssh", args);
        let mut child =
            ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let outcome = Outcome::from_output("ssh", child.wait_with_output().unwrap());
        let _ = writer.join().unwrap();
        outcome
    }
}

/// Bytes of every value, that do not repeat soon.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn commands_have_their_own_end_and_their_bytes_as_they_are() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    // By name and by id.
    assert_eq!(client.ssh(&["box", "id -un; pwd"]).succeeds().stdout(), "root\n/workspace\n");
    let both = client.ssh(&[workspace.id(), "echo out; echo err >&2; exit 7"]);
    assert_eq!((both.code(), both.stdout().as_str(), both.stderr().as_str()), (7, "out\n", "err\n"));
    // Killed by a signal, which ssh says as it always does.
    assert_eq!(client.ssh(&["box", "kill -KILL $$"]).code(), 255);
    let variable = client.ssh(&["-o", "SetEnv=LC_THIS=that", "box", "echo $LC_THIS"]);
    assert_eq!(variable.succeeds().stdout(), "that\n");
    // More than every buffer on the way, in both directions at once, and a program that reads late.
    let all = bytes(12 << 20);
    assert!(client.ssh_with_input(&["box", "cat"], &all).succeeds().stdout_bytes() == all, "bytes differ");
    let late = client.ssh_with_input(&["box", "head -c 3000000 /dev/zero; sha256sum"], &all).succeeds();
    assert_eq!(late.stdout_bytes().len(), 3_000_000 + 68);
    // No command: a shell that reads its commands.
    let shell = client.ssh_with_input(&["-T", "box"], b"echo $((6 * 7))\nexit 3\n");
    assert_eq!((shell.code(), shell.stdout().as_str()), (3, "42\n"));
}

#[test]
fn nobody_comes_in_without_the_key_and_nobody_takes_another_for_the_host() {
    let home = debian();
    let (workspace, other) =
        (home.workspace("debian:12", &["--name", "box"]), home.workspace("debian:12", &[]));
    let client = Client::of(&home, &workspace);
    other.call("ssh-config", &[]).succeeds();
    let folder = |workspace: &Workspace<'_>| home.state().join("workspaces").join(workspace.id()).join("ssh");
    for name in ["host_key", "id_ed25519", "known_hosts"] {
        let mode = fs::metadata(folder(&workspace).join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let foreign = folder(&other).join("id_ed25519");
    let identity = format!("IdentityFile={}", foreign.display());
    // One's own key is in the entry; without it there is only the other's.
    let entry = fs::read_to_string(&client.config).unwrap();
    let without: Vec<&str> = entry.lines().filter(|line| !line.contains("IdentityFile")).collect();
    fs::write(&client.config, without.join("\n")).unwrap();
    let refused = client.ssh(&["-o", &identity, "box", "true"]).ends_with(255);
    assert!(refused.stderr().contains("Permission denied"), "{refused:?}");
    fs::write(&client.config, &entry).unwrap();
    client.ssh(&["-l", "nobody", "box", "true"]).ends_with(255);
    let known = format!("UserKnownHostsFile={}", home.home().join("other").display());
    let other_known = fs::read_to_string(folder(&other).join("known_hosts")).unwrap();
    fs::write(home.home().join("other"), other_known.replace(other.id(), workspace.id())).unwrap();
    let entry = entry.replace("    UserKnownHostsFile", "    # UserKnownHostsFile");
    fs::write(&client.config, entry).unwrap();
    let refused = client.ssh(&["-o", &known, "box", "true"]).ends_with(255);
    assert!(refused.stderr().contains("Host key verification failed"), "{refused:?}");
    // What is wrong is said where the user sees it.
    let client = Client::of(&home, &workspace);
    workspace.call("stop", &[]).succeeds();
    let stopped = client.ssh(&["box", "true"]).ends_with(255);
    assert!(stopped.stderr().contains("(workspace_not_running)"), "{stopped:?}");
}

#[test]
fn a_session_on_a_terminal_is_a_shell_that_ends_with_it() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    let mut pty = Pty::start(&client.program("ssh", &["box"]), 100, 33);
    pty.wait_for("pyro$ ");
    pty.type_in("stty size; tty | tr 'a-z' 'A-Z'\r");
    pty.wait_for("33 100");
    pty.wait_for("/DEV/PTS/");
    pty.resize(80, 24);
    pty.type_in("until [ \"$(stty size)\" = '24 80' ]; do :; done; echo is=$((1+1))\r");
    pty.wait_for("is=2");
    // A key that means something reaches what runs, and not the shell.
    pty.type_in("sh -c 'echo run=$((1+1)); exec sleep 1000'\r");
    pty.wait_for("run=2");
    pty.type_in("\x03");
    pty.wait_for("pyro$ ");
    pty.type_in("exit 3\r");
    assert_eq!(pty.end(), 3);
    assert!(pty.is_as_before());
    let mut pty = Pty::start(&client.program("ssh", &["-t", "box", "echo pid=$$.; exec sleep 1000"]), 80, 24);
    pty.wait_for("pid=");
    let pid = pty.wait_for(".").trim_end_matches('.').to_owned();
    // Whoever's connection ends is gone, and so is what runs on its terminal.
    pty.signal(Signal::KILL);
    pty.end();
    workspace.sh(&format!("tail --pid={pid} -f /dev/null"));
}

#[test]
fn files_and_folders_go_both_ways() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    let scp = |args: &[&str]| Outcome::of(&mut client.program("scp", &[&["-q"], args].concat()));
    let all = bytes(5 << 20);
    let file = home.home().join("file");
    fs::write(&file, &all).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
    scp(&["-p", "file", "box:copy"]).succeeds();
    let mtime = fs::metadata(&file).unwrap().mtime();
    assert_eq!(workspace.sh("stat -c '%a %s %Y' copy"), format!("750 {} {mtime}", all.len()));
    scp(&["box:/workspace/copy", "back"]).succeeds();
    assert!(fs::read(home.home().join("back")).unwrap() == all, "bytes differ");
    fs::create_dir_all(home.home().join("tree/sub/empty")).unwrap();
    fs::write(home.home().join("tree/sub/one"), "1\n").unwrap();
    scp(&["-r", "tree", "box:tree"]).succeeds();
    assert_eq!(
        workspace.sh("cd tree && find . | sort | tr '\\n' ' '; cat sub/one"),
        ". ./sub ./sub/empty ./sub/one 1"
    );
    workspace.sh("echo 2 > tree/sub/two");
    scp(&["-r", "box:tree", "home"]).succeeds();
    assert_eq!(fs::read_to_string(home.home().join("home/sub/two")).unwrap(), "2\n");
    // A file is replaced whole, and what is wrong is said.
    fs::write(&file, "short\n").unwrap();
    scp(&["file", "box:copy"]).succeeds();
    assert_eq!(workspace.sh("cat copy; stat -c %a copy"), "short\n750");
    for (from, to, said) in [
        ("file", "box:no/such/folder", "No such file"),
        ("box:nothing", "x", "No such file"),
        ("file", "box:/dev/null", "Failure"),
    ] {
        let refused = scp(&[from, to]);
        assert!(refused.code() != 0 && refused.stderr().contains(said), "{refused:?}");
    }
}

#[test]
fn sftp_does_all_that_it_can() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    fs::write(home.home().join("local"), bytes(300_000)).unwrap();
    let batch = "pwd\nmkdir folder\ncd folder\nput local first\nrename first second\nln -s second link\nchmod 600 second\n\
        ls -l\nget link copied\nput local doomed\nrm doomed\n-rmdir /workspace/folder\nmkdir gone\nrmdir gone\nreget second copied\n";
    let mut sftp = client.program("sftp", &["-b", "-", "box"]);
    let mut child = sftp.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    let done = Outcome::from_output("sftp", child.wait_with_output().unwrap()).succeeds();
    assert!(done.stdout().contains("Remote working directory: /workspace"), "{done:?}");
    let listed = done.stdout();
    let line = listed
        .lines()
        .find(|line| line.starts_with('-') && line.ends_with(" second"))
        .unwrap_or_else(|| panic!("{done:?}"));
    assert!(line.starts_with("-rw-------") && line.contains(" 300000 "), "{line}");
    // It holds something, so it stays.
    assert!(
        done.stderr().contains("Couldn't remove directory") || done.stderr().contains("remote rmdir"),
        "{done:?}"
    );
    assert_eq!(
        workspace
            .sh("cd folder; ls | tr '\\n' ' '; readlink link; stat -c '%a %s' second; sha256sum < second"),
        format!("link second second\n600 300000\n{}", workspace.sh("sha256sum < folder/second"))
    );
    assert!(fs::read(home.home().join("copied")).unwrap() == bytes(300_000), "bytes differ");
}

#[test]
fn ports_and_sockets_of_the_guest_are_forwarded() {
    let home = debian();
    let workspace = home.workspace("debian:12", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    let server = "use IO::Socket::IP; $SIG{PIPE} = 'IGNORE'; $l = IO::Socket::IP->new(Listen => 9, LocalHost => '127.0.0.1', LocalPort => 8000, ReuseAddr => 1) or die; \
        while ($c = $l->accept) { $n = 0; while ($r = sysread($c, $b, 65536)) { $n += $r } print $c \"got $n\\n\"; close $c }";
    let probe = ["--ready-tcp", "localhost:8000"];
    workspace
        .call("service start", &[&["echo"], &probe[..], &["--", "perl", "-e", server]].concat())
        .succeeds();
    // Two forwards of one connection, which are there once its command has begun.
    let (one, two) = (home.home().join("one"), home.home().join("two"));
    let to = |path: &PathBuf, what: &str| format!("{}:{what}", path.display());
    let (first, second) = (to(&one, "localhost:8000"), to(&two, "localhost:8001"));
    let args = ["-L", &first, "-L", &second, "box", "echo ready; exec sleep 1000"];
    let mut ssh = client.program("ssh", &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(ssh.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let mut stream = UnixStream::connect(&one).unwrap();
    stream.write_all(&bytes(3_000_000)).unwrap();
    // The end of what is sent is not the end of what comes.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "got 3000000\n");
    // Nobody listens there, and the connection says so by its end.
    let mut nobody = UnixStream::connect(&two).unwrap();
    answer.clear();
    assert_eq!(nobody.read_to_string(&mut answer).unwrap_or(0), 0);
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    // Without a listener of this host.
    let direct = client.ssh_with_input(&["-W", "localhost:8000", "box"], b"12345").succeeds();
    assert_eq!(direct.stdout(), "got 5\n");
}

#[test]
fn secrets_do_not_come_out_this_way_either() {
    let home = debian();
    let flags = ["--name", "box", "--secret", "TOKEN=swordfish/9c1f"];
    let (workspace, other) =
        (home.workspace("debian:12", &flags), home.workspace("debian:12", &["--name", "other"]));
    let client = Client::of(&home, &workspace);
    workspace.sh("mkdir d; cat /run/pyro-secrets/TOKEN > d/kept");
    let shown = client.ssh(&["box", "cat d/kept; cat d/kept >&2"]).succeeds();
    assert_eq!((shown.stdout().as_str(), shown.stderr().as_str()), ("[REDACTED]", "[REDACTED]"));
    let masked = "[REDACTED]****";
    let read = |name: &str| fs::read_to_string(home.home().join(name)).unwrap();
    Outcome::of(&mut client.program("scp", &["-q", "box:d/kept", "by-scp"])).succeeds();
    home.run(["cp", "box:d/kept", "by-cp"]).succeeds();
    home.run(["cp", "box:d", "folder"]).succeeds();
    assert_eq!(["by-scp", "by-cp", "folder/kept"].map(read), [masked; 3]);
    home.run(["cp", "box:d/kept", "other:file"]).succeeds();
    home.run(["cp", "box:d", "other:folder"]).succeeds();
    assert_eq!(other.sh("cat file folder/kept"), format!("{masked}{masked}"));
}

const CATALOGUE: &str = r#"
schema = 1

[[environment]]
name = "test-rsync"
version = "1.0.0"
description = "Debian 12 with rsync"
suite = "bookworm"
packages = ["rsync"]
"#;

#[test]
fn rsync_brings_a_folder_up_to_date() {
    let home = sandbox().with_catalogue(CATALOGUE).with_environment("test-rsync");
    let workspace = home.workspace("test-rsync", &["--name", "box"]);
    let client = Client::of(&home, &workspace);
    let folder = home.home().join("src");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("big"), bytes(4 << 20)).unwrap();
    fs::write(folder.join("sub/small"), "1\n").unwrap();
    let rsync = |from: &str, to: &str| {
        let mut rsync = Command::new("rsync");
        rsync
            .args(["-a", "--stats", "-e"])
            .arg(format!("ssh -F {}", client.config.display()))
            .args([from, to]);
        rsync.env_clear().env("PATH", search_path()).env("HOME", home.home()).current_dir(home.home());
        Outcome::of(&mut rsync).succeeds()
    };
    rsync("src/", "box:dst");
    fs::write(folder.join("sub/small"), "changed\n").unwrap();
    let again = rsync("src/", "box:dst");
    assert!(again.stdout().contains("Number of regular files transferred: 1\n"), "{again:?}");
    assert_eq!(workspace.sh("cat dst/sub/small; stat -c %s dst/big"), format!("changed\n{}", 4 << 20));
    rsync("box:dst/", "back");
    assert!(fs::read(home.home().join("back/big")).unwrap() == bytes(4 << 20), "bytes differ");
}
