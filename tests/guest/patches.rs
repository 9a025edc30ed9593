//! Patches as git in the guest makes them, applied to a workspace: all of one or nothing, and never over what somebody else
//! changed.

use crate::files::Guest;
use serde_json::Value;

/// Everything about the files but when they were touched.
const STATE: &str =
    "find . -path ./.git -prune -o -printf '%p %y %m %U:%G %s %l\\n' -type f -exec sha256sum {} + | sort";

/// Two commits, of which the second does all that git knows: the patch from one to the other is in `/tmp/patch`, and the
/// first is checked out.
const HISTORY: &str = r#"
set -e
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q . && git config core.quotePath false
seq 1 400 > numbers; mkdir -p src/deep old; echo 'fn main() {}' > src/main.rs; printf 'no newline' > tail
printf 'SELECT 1;\n-- a comment\n--- another\nSELECT 2;\n' > query.sql
head -c 5000 /dev/urandom > blob; echo gone > old/only; seq 1 90 > old/moved; printf '#!/bin/sh\necho hi\n' > tool.sh
ln -s numbers link; echo x > 'with space'; printf 'n' > "$(printf 'b\377d')"; seq 1 50 > mode
git add -A; git commit -qm one
sed -i '200s/.*/two hundred/;399d' numbers; echo '// more' >> src/main.rs; printf 'still no newline' > tail
printf 'SELECT 1;\nSELECT 2;\n-- the end\n' > query.sql
head -c 6000 /dev/urandom > blob; git rm -q old/only; mkdir new; git mv old/moved new/place; echo end >> new/place
chmod 755 tool.sh mode; ln -sf src/main.rs link; rm 'with space'; mkdir 'with space'; echo y > 'with space/in it'
printf 'N\n' > "$(printf 'b\377d')"; echo added > src/deep/added; printf '' > empty
git add -A; git commit -qm two; rmdir old
git diff --binary HEAD~ HEAD > /tmp/patch
"#;

fn statuses(document: &Value) -> Vec<String> {
    let entries = document["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| format!("{} {}", entry["path"].as_str().unwrap(), entry["status"].as_str().unwrap()))
        .collect()
}

/// The patch, as a user saves it: with the file tools.
fn fetch(guest: &Guest, path: &str) -> Vec<u8> {
    let args = [path, "--content-only", "--max-bytes", "9000000"];
    guest.run("file read", args).succeeds().stdout_bytes().to_vec()
}

#[test]
fn all_that_git_writes_is_applied_as_git_would() {
    let guest = Guest::new();
    guest.sh(HISTORY);
    let wanted = guest.sh(STATE);
    let patch = fetch(&guest, "/tmp/patch");
    guest.sh("git checkout -q HEAD~");
    let before = guest.sh(STATE);
    assert_ne!(before, wanted);
    let dry =
        guest.fed("patch apply", &["--patch-file", "-", "--dry-run", "--json"], &patch).succeeds().json();
    assert_eq!((&dry["changed"], &dry["dry_run"]), (&false.into(), &true.into()));
    assert_eq!(guest.sh(STATE), before);
    let applied = guest.fed("patch apply", &["--patch-file", "-", "--json"], &patch).succeeds().json();
    assert_eq!(guest.sh(STATE), wanted, "{applied}");
    let statuses = statuses(&applied);
    for status in [
        "new/place renamed",
        "old/only deleted",
        "mode mode_changed",
        "src/deep/added added",
        "numbers modified",
    ] {
        assert!(statuses.iter().any(|found| found == status), "{status} in {statuses:?}");
    }
    assert_eq!(applied["total"], statuses.len());
    assert_eq!(
        guest.sh("./tool.sh; git diff HEAD~..feature 2>/dev/null | wc -l; ls -A | grep -c pyro || true"),
        "hi\n0\n0"
    );
    // A second time it does not fit, says why, and changes nothing.
    let again = guest.fed("patch apply", &["--patch-file", "-"], &patch).fails_with(
        1,
        "patch_conflict",
        "does not apply",
    );
    assert!(again.stderr().contains("applied already"), "{again:?}");
    assert_eq!(guest.sh(STATE), wanted);
    let back = guest.fed("patch apply", &["--patch-file", "-", "--reverse"], &patch).succeeds();
    assert!(back.stdout().starts_with("[workspace-patch] "), "{back:?}");
    assert_eq!(guest.sh(STATE), before);
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing() {
    let guest = Guest::new();
    guest.sh(HISTORY);
    let patch = fetch(&guest, "/tmp/patch");
    // Everything but one line fits.
    guest.sh("git checkout -q HEAD~; sed -i '200s/.*/somebody else/' numbers");
    let before = guest.sh(STATE);
    let failed =
        guest.fed("patch apply", &["--patch-file", "-"], &patch).fails_with(1, "patch_conflict", "numbers");
    assert!(failed.stderr().contains("no file was changed"), "{failed:?}");
    assert_eq!(guest.sh(STATE), before);
    let one = |from: &str, to: &str| format!("--- a/{from}\n+++ b/{to}\n@@ -1 +1 @@\n-x\n+y\n");
    for (patch, code) in [
        (one("../etc/passwd", "../etc/passwd"), "patch_path_escapes"),
        ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-x\n+y\n".to_owned(), "patch_path_escapes"),
        (one("none", "none"), "patch_conflict"),
        (one("src", "src"), "patch_conflict"),
        ("no patch".to_owned(), "patch_invalid"),
        (String::new(), "patch_invalid"),
    ] {
        guest.fed("patch apply", &["--patch-file", "-"], patch.as_bytes()).fails_with(1, code, "");
    }
    // A link on the way is not followed, nor is a device replaced.
    guest.sh("ln -s /etc out; mkfifo pipe");
    guest.run("patch apply", ["--patch", &one("out/hostname", "out/hostname")]).fails_with(
        1,
        "patch_path_escapes",
        "out",
    );
    let pipe = "--- /dev/null\n+++ b/pipe\n@@ -0,0 +1 @@\n+y\n";
    guest.run("patch apply", ["--patch", pipe]).fails_with(1, "path_exists", "pipe");
    guest.run("patch apply", ["--patch", &one("a", "a"), "--directory", "/none"]).fails_with(
        1,
        "path_not_found",
        "/none",
    );
    guest.run("patch apply", ["--patch-file", "/none"]).fails_with(1, "usage", "/none");
    guest.run("patch apply", [] as [&str; 0]).fails_with(2, "usage", "required");
    guest.sh("rm out pipe");
    assert_eq!(guest.sh(STATE), before);
}

#[test]
fn hunks_find_their_place() {
    let guest = Guest::new();
    guest.sh("mkdir -p /srv/app; cd /srv/app; seq 1 60 > f; chmod 640 f; chown 7:8 f");
    let patch = "--- a/f\n+++ b/f\n@@ -29,3 +29,3 @@\n 29\n-30\n+thirty\n 31\n";
    guest.sh("cd /srv/app; sed -i '1i new\\nlines' f");
    let applied = guest.json("patch apply", ["--directory", "/srv/app", "--patch", patch]);
    assert_eq!(applied["entries"][0]["hunks"][0]["offset"], 2, "{applied}");
    assert_eq!(guest.sh("cd /srv/app; sed -n 32p f; stat -c '%a %u:%g' f"), "thirty\n640 7:8");
    let fuzzy = "--- a/f\n+++ b/f\n@@ -42,3 +42,3 @@\n other\n-41\n+forty-one\n 42\n";
    guest.run("patch apply", ["--directory", "/srv/app", "--patch", fuzzy]).fails_with(
        1,
        "patch_conflict",
        "f",
    );
    guest.run("patch apply", ["--directory", "/srv/app", "--fuzz", "1", "--patch", fuzzy]).succeeds();
    assert_eq!(guest.sh("sed -n 43p /srv/app/f"), "forty-one");
}

/// Reproduce, mend, check, go back: what an agent does all day.
#[test]
fn a_bug_is_found_mended_and_the_mend_taken_back() {
    let guest = Guest::new();
    guest.run("file write", ["message.txt", "--text", "broken\n"]).succeeds();
    guest.run("reset", [] as [&str; 0]).succeeds();
    assert_eq!(guest.json("diff", [] as [&str; 0])["changed"], false);
    guest.run("file write", ["message.txt", "--text", "broken\n"]).succeeds();
    let check = "#!/bin/sh\ntest \"$(cat message.txt)\" = fixed || { echo 'not fixed' >&2; exit 1; }\n";
    guest.run("file write", ["check.sh", "--mode", "755", "--text", check]).succeeds();
    guest.run("snapshot create", ["broken"]).succeeds();
    guest.run("exec", ["--", "./check.sh"]).ends_with(1);
    assert_eq!(guest.json("file read", ["message.txt"])["content"], "broken\n");
    let patch = "--- a/message.txt\n+++ b/message.txt\n@@ -1 +1 @@\n-broken\n+fixed\n";
    let applied = guest.json("patch apply", ["--patch", patch]);
    assert_eq!((&applied["modified"], &applied["total"]), (&1.into(), &1.into()));
    guest.run("exec", ["--", "./check.sh"]).ends_with(0);
    let diff = guest.json("diff", ["--from", "broken"]);
    assert_eq!((&diff["changed"], &diff["summary"]["modified"]), (&true.into(), &1.into()), "{diff}");
    let mended = guest.home.home().join("mended.txt");
    guest.run("export", ["message.txt", "--output", mended.to_str().unwrap()]).succeeds();
    assert_eq!(std::fs::read_to_string(&mended).unwrap(), "fixed\n");
    guest.run("reset", ["--snapshot", "broken"]).succeeds();
    assert_eq!(guest.json("diff", ["--from", "broken"])["changed"], false);
    assert_eq!(guest.json("status", [] as [&str; 0])["reset_count"], 2);
    guest.run("exec", ["--", "./check.sh"]).ends_with(1);
}
