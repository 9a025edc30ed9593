//! A real repository from end to end: this one, with what its users have in theirs, a `node_modules` that npm made and a `.venv`
//! that Python made. It goes in, works, changes, and comes out byte for byte. Nothing in it may be made by hand.

use crate::sandbox;
use crate::zoo::host;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::trees::Tree;
use pyro_testkit::trees::assert_same;
use pyro_testkit::trees::tree;
use pyro_testkit::trees::tree_untimed;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The packages that npm installs: one from an archive, which it copies, and one from a folder, which it links to.
const PACKAGES: &str = r##"
set -e
mkdir -p tool/bin tool/lib local/greet/bin
echo '{"name":"@scope/tool","version":"1.0.0","bin":{"tool":"bin/tool.js"}}' > tool/package.json
printf '#!/bin/sh\necho "the tool ran from $0"\n' > tool/bin/tool.js
head -c 100000 /dev/urandom > tool/lib/blob.node
echo '{"name":"greet","version":"1.0.0","bin":"bin/greet"}' > local/greet/package.json
printf '#!/bin/sh\necho hello\n' > local/greet/bin/greet
chmod 755 tool/bin/tool.js local/greet/bin/greet
echo '{"name":"repository","private":true,"dependencies":{"greet":"file:local/greet"}}' > package.json
(cd tool && npm pack --silent --offline --pack-destination ../..)
rm -r tool
npm install --silent --offline --no-audit --no-fund ../scope-tool-1.0.0.tgz
"##;

/// What somebody does to it in the guest: a build by the environment in `.venv`, edits of every kind, and in what npm made.
const CHANGES: &str = r#"
set -e
.venv/bin/python3 -m compileall -q benches
printf '\nA line from inside of a guest.\n' >> README.md
sed -i '1s/.*/#!\/bin\/sh/' scripts/phase-table
mv Makefile Makefile.moved
rm CHANGELOG.md
chmod 644 scripts/test
mkdir -p docs/new
printf 'no newline at its end' > docs/new/page.md
ln -sfn ../@scope/tool/lib/blob.node node_modules/.bin/tool
head -c 5000 /dev/urandom > node_modules/@scope/tool/lib/blob.node
printf '#!/bin/sh\necho new\n' > .venv/bin/new
chmod 755 .venv/bin/new
"#;

/// Runs the system's own tool for this; what is missing is said by `scripts/setup --for test`, which installs it.
fn tool(home: &Sandbox, folder: &Path, script: &str) {
    let made = Command::new("sh").args(["-c", script]).env("HOME", home.home()).current_dir(folder).output();
    let made = Outcome::from_output(script, made.unwrap());
    assert_eq!(made.code(), 0, "is something missing that scripts/setup --for test installs? {made:?}");
}

/// The repository, at `repository` in the sandbox's home.
fn repository(home: &Sandbox) -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = home.home().join("repository");
    host(home.home(), "git", &["clone", "-q", "--no-hardlinks", checkout.to_str().unwrap(), "repository"]);
    tool(home, &folder, PACKAGES);
    // The system's Python, which a guest has at the same place; another one would be a link that leads nowhere there.
    tool(home, &folder, "/usr/bin/python3 -m venv .venv");
    fs::write(folder.join(".git/info/exclude"), "/node_modules/\n/.venv/\n__pycache__/\n").unwrap();
    host(&folder, "git", &["add", "-A"]);
    let commit = ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "With packages"];
    host(&folder, "git", &commit);
    assert_eq!(
        fs::read_link(folder.join("node_modules/.bin/greet")).unwrap(),
        Path::new("../greet/bin/greet")
    );
    assert_eq!(fs::read_link(folder.join("node_modules/greet")).unwrap(), Path::new("../local/greet"));
    assert_eq!(fs::read_link(folder.join(".venv/bin/python3")).unwrap(), Path::new("/usr/bin/python3"));
    assert!(folder.join(".venv/bin/pip").metadata().unwrap().permissions().mode() & 0o111 != 0);
    folder
}

/// All of a workspace's files, copied to a new folder of the host.
#[track_caller]
fn exported(home: &Sandbox, work: &Workspace<'_>, name: &str) -> PathBuf {
    work.call("export", &[".", "--output", name, "--links", "keep"]).succeeds();
    home.home().join(name)
}

fn without_git(mut tree: Tree) -> Tree {
    tree.retain(|path, _| !path.starts_with(b".git/") && path != b".git");
    tree
}

#[test]
fn a_real_repository_goes_in_works_changes_and_comes_out_the_same() {
    let home = sandbox().with_environment("debian:12-build");
    let source = repository(&home);
    let before = tree(&source);
    let work = home.workspace("debian:12-build", &["--seed-path", "repository"]);
    assert_same(&tree(&exported(&home, &work, "seeded")), &before);
    works(&work, &host(&source, "git", &["rev-parse", "HEAD"]));
    work.sh(CHANGES);
    let changed = exported(&home, &work, "changed");
    patch_makes_the_same(&home, &work, &source, &changed);

    work.call("reset", &[]).succeeds();
    assert_eq!(work.call("diff", &[]).succeeds().stdout(), "No workspace changes.\n");
    assert_same(&tree(&exported(&home, &work, "reset")), &before);
    work.call("export", &[".", "--output", "all.tar", "--format", "tar", "--links", "keep"]).succeeds();
    host(home.home(), "sh", &["-c", "mkdir unpacked && tar -xpf all.tar -C unpacked --strip-components=1"]);
    assert_same(&tree_untimed(&home.home().join("unpacked")), &tree_untimed(&source));
    assert_same(&tree(&source), &before);
    synced(&home, &work, &source);
}

/// Its own tests pass in the guest, git finds nothing wrong with it, and what npm and Python put there runs.
#[track_caller]
fn works(work: &Workspace<'_>, head: &str) {
    let git = "export GIT_OPTIONAL_LOCKS=0; git status --porcelain; git fsck --no-dangling 2>&1; git rev-parse HEAD";
    assert_eq!(work.sh(git), head);
    let tests = "GIT_OPTIONAL_LOCKS=0 tests/repository.sh > /tmp/said 2>&1 || cat /tmp/said";
    assert_eq!(work.sh(&format!("{tests}; tail -n 1 /tmp/said")), "6 passed, 0 failed");
    assert_eq!(
        work.sh("node_modules/.bin/tool; node_modules/.bin/greet"),
        "the tool ran from node_modules/.bin/tool\nhello"
    );
    let python = "import sys, pip; print(sys.prefix, pip.__path__[0].startswith(sys.prefix))";
    // A host's Python of another version has its packages in a folder that the guest's does not look into.
    let venv = "PYTHONPATH=$(echo $PWD/.venv/lib/python3*/site-packages) PYTHONDONTWRITEBYTECODE=1 .venv/bin/python3";
    assert_eq!(work.sh(&format!("{venv} -c '{python}'")), "/workspace/.venv True");
}

/// What `diff` prints makes of the host's copy, by git, and of a second workspace, by `patch apply`, what the first has become.
#[track_caller]
fn patch_makes_the_same(home: &Sandbox, work: &Workspace<'_>, source: &Path, changed: &Path) {
    let patch = work.call("diff", &[]).succeeds();
    fs::write(home.home().join("patch"), patch.stdout_bytes()).unwrap();
    host(home.home(), "cp", &["-a", source.to_str().unwrap(), "copy"]);
    let copy = home.home().join("copy");
    host(&copy, "git", &["apply", "--whitespace=nowarn", "../patch"]);
    let expected = tree_untimed(changed);
    assert_same(&tree_untimed(&copy), &expected);
    assert_ne!(tree_untimed(source), expected);

    let second = home.workspace("debian:12-build", &["--seed-path", "repository"]);
    let applied = second.call("patch apply", &["--patch-file", "patch", "--json"]).succeeds().json();
    assert_eq!(applied["total"], work.call("diff", &["--json"]).succeeds().json()["summary"]["total"]);
    assert_same(&tree_untimed(&exported(home, &second, "second")), &expected);
    assert_eq!(second.sh(".venv/bin/new; tail -n 1 README.md"), "new\nA line from inside of a guest.");
    let built =
        "import importlib.util as u, glob; print(len(glob.glob(\"benches/__pycache__/bench.*.pyc\")))";
    assert_eq!(second.sh(&format!(".venv/bin/python3 -c '{built}'")), "1");
}

/// A push brings over what the host has changed and no more, and a pull brings back the same.
#[track_caller]
fn synced(home: &Sandbox, work: &Workspace<'_>, source: &Path) {
    fs::write(source.join("Makefile"), "changed\n").unwrap();
    fs::remove_file(source.join("README.md")).unwrap();
    fs::create_dir(source.join("new")).unwrap();
    fs::write(source.join("new/file"), "new\n").unwrap();
    let expected = host(source, "git", &["status", "--porcelain"]);
    let report =
        work.call("sync push", &["repository", "--delete", "--no-ignore", "--json"]).succeeds().json();
    let report = &report["workspace_sync"];
    assert_eq!(report["deleted_count"], 1, "{report}");
    assert!(report["entry_count"].as_u64().unwrap() < 9, "{report}");
    assert_eq!(work.sh("git status --porcelain").trim_start(), expected.trim_start());
    work.call("sync pull", &[".", "back", "--no-ignore", "--links", "keep"]).succeeds();
    assert_same(&without_git(tree(&home.home().join("back"))), &without_git(tree(source)));
}
