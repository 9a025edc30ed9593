//! What changed in a workspace: of guests that run, write and are stopped, as patches that git takes.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// A folder to seed from, with all kinds of what can change.
pub(crate) fn seed(home: &Sandbox) -> PathBuf {
    let seed = home.home().join("seed");
    std::fs::create_dir_all(seed.join("src")).unwrap();
    std::fs::create_dir(seed.join("empty")).unwrap();
    let moved: String = (1..200).map(|number| format!("{number}\n")).collect();
    for (name, content) in [
        ("text", "one\ntwo\nthree\n"),
        ("no-newline", "x"),
        ("run.sh", "#!/bin/sh\n"),
        ("src/moved", &moved),
        ("gone", "gone\n"),
        ("binary", "\0\u{1}\u{2}"),
    ] {
        std::fs::write(seed.join(name), content).unwrap();
    }
    std::fs::set_permissions(seed.join("run.sh"), Permissions::from_mode(0o755)).unwrap();
    symlink("text", seed.join("link")).unwrap();
    seed
}

/// A workspace with these files; deleted by whoever makes it.
pub(crate) fn create(home: &Sandbox, seed: &Path) -> String {
    let seed = seed.to_str().unwrap();
    let made = home.run(["workspace", "create", "debian:12", "--seed-path", seed, "--id-only"]).succeeds();
    made.stdout().trim().to_owned()
}

/// Runs a script in a workspace.
pub(crate) fn exec(home: &Sandbox, id: &str, script: &str) -> String {
    home.run(["workspace", "exec", id, "--", script]).succeeds().stdout()
}

/// Changes of every kind.
pub(crate) const CHANGES: &str = "set -e; cd /workspace; printf 'one\\n2\\nthree\\nfour' > text; chmod 644 run.sh; \
    mv src/moved src/elsewhere; echo 201 >> src/elsewhere; rm gone; printf y > no-newline; \
    printf '\\000new' > binary; ln -sf run.sh link; mkdir newdir; rmdir empty; echo n > 'a name'; \
    mkdir -p node_modules/.bin node_modules/typescript/bin; echo tsc > node_modules/typescript/bin/tsc; \
    ln -s ../typescript/bin/tsc node_modules/.bin/tsc";

fn diff(home: &Sandbox, id: &str, arguments: &[&str]) -> Outcome {
    home.run([&["workspace", "diff", id], arguments].concat()).succeeds()
}

#[test]
fn a_patch_of_every_kind_of_change_makes_the_same_files() {
    let home = debian();
    let seed = seed(&home);
    let id = create(&home, &seed);
    assert_eq!(diff(&home, &id, &[]).stdout(), "No workspace changes.\n");
    exec(&home, &id, CHANGES);
    let report = diff(&home, &id, &["--json"]).json();
    let statuses: Vec<String> = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["path"].as_str().unwrap(), entry["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        statuses,
        [
            "a name added",
            "binary modified",
            "empty deleted",
            "gone deleted",
            "link modified",
            "newdir added",
            "no-newline modified",
            "node_modules/.bin/tsc added",
            "node_modules/typescript/bin/tsc added",
            "run.sh modified",
            "src/elsewhere renamed",
            "text modified",
        ]
    );
    assert_eq!(report["truncated"], false);
    // A second repository, to which git itself applies what was printed for people.
    let copy = home.home().join("copy");
    assert!(Command::new("cp").arg("-a").arg(&seed).arg(&copy).status().unwrap().success());
    let patch = home.home().join("patch");
    std::fs::write(&patch, diff(&home, &id, &[]).stdout_bytes()).unwrap();
    let applied = Command::new("git").arg("apply").arg(&patch).current_dir(&copy).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let out = home.home().join("out");
    home.run(["workspace", "export", &id, ".", "--output", out.to_str().unwrap()]).succeeds();
    // Git knows no folders without files.
    std::fs::remove_dir(out.join("newdir")).unwrap();
    std::fs::remove_dir(copy.join("empty")).unwrap();
    let same = Command::new("diff").args(["-r", "--no-dereference"]).arg(&out).arg(&copy).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    let mode = |tree: &Path| std::fs::metadata(tree.join("run.sh")).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&out), mode(&copy)), (0o644, 0o644));
    // The same of the stopped workspace, and pages of it.
    let running = diff(&home, &id, &["--name-only"]).stdout();
    home.run(["workspace", "stop", &id]).succeeds();
    assert_eq!(diff(&home, &id, &["--name-only"]).stdout(), running);
    let page = diff(&home, &id, &["--json", "--cursor", "10", "--limit", "1"]).json();
    assert_eq!(page["entries"][0]["path"], "src/elsewhere");
    assert_eq!((&page["next_cursor"], &page["summary"]["total"]), (&11.into(), &12.into()));
    assert_eq!(diff(&home, &id, &["--name-only", "src"]).stdout(), "src/elsewhere\n");
    home.run(["workspace", "delete", &id]).succeeds();
}

#[test]
fn between_snapshots_and_of_the_system() {
    let home = debian();
    let id = create(&home, &seed(&home));
    exec(&home, &id, "echo first > /workspace/first");
    home.run(["workspace", "snapshot", "create", &id, "one"]).succeeds();
    exec(&home, &id, "rm /workspace/first; echo second > /workspace/second; echo x > /etc/y; rm /etc/motd");
    home.run(["workspace", "snapshot", "create", &id, "two"]).succeeds();
    exec(&home, &id, "echo third > /workspace/third");
    let names = |arguments: &[&str]| {
        diff(&home, &id, &[&["--name-only", "--no-renames"], arguments].concat()).stdout()
    };
    assert_eq!(names(&["--to", "one"]), "first\n");
    assert_eq!(names(&["--from", "one", "--to", "two"]), "first\nsecond\n");
    assert_eq!(names(&["--from", "two"]), "third\n");
    let system = diff(&home, &id, &["--system"]).stdout();
    assert!(system.starts_with("deleted etc/motd\nadded etc/y\n[workspace-diff]"), "{system}");
    let patch = diff(&home, &id, &["--system", "--patch", "/etc/y"]).stdout();
    assert!(patch.contains("+++ b/etc/y\n@@ -0,0 +1 @@\n+x\n"), "{patch}");
    // A package less, as its manager would have it.
    exec(
        &home,
        &id,
        "sed -i '/^Package: git$/,/^$/s/^Status: install ok installed/Status: deinstall ok config-files/' /var/lib/dpkg/status",
    );
    let report = diff(&home, &id, &["--system", "--json"]).json();
    assert_eq!(
        (&report["packages"][0]["name"], &report["packages"][0]["status"]),
        (&"git".into(), &"removed".into())
    );
    // One more, and one in another version.
    let stanza =
        "Package: pyro-new\\nStatus: install ok installed\\nArchitecture: all\\nVersion: 1.0-1\\n\\n";
    let upgrade = "/^Package: ca-certificates$/,/^$/s/^Version: .*/Version: 99991231/";
    exec(
        &home,
        &id,
        &format!("sed -i '{upgrade}' /var/lib/dpkg/status; printf '{stanza}' >> /var/lib/dpkg/status"),
    );
    let report = diff(&home, &id, &["--system", "--json"]).json();
    let packages: Vec<String> = report["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            format!("{} {} {}", package["name"], package["status"], package["new_version"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        packages,
        ["ca-certificates changed 99991231", "git removed null", "pyro-new installed 1.0-1"]
    );
    let text = diff(&home, &id, &["--system"]).stdout();
    assert!(text.contains("package installed pyro-new - -> 1.0-1\n"), "{text}");

    let stat = diff(&home, &id, &["--stat", "--no-renames"]).stdout();
    let stat: Vec<&str> = stat.lines().map(str::trim).collect();
    assert_eq!(stat, ["second | 1 +", "third  | 1 +", "2 files changed, 2 insertions(+)"]);
    exec(&home, &id, "seq 100000 > /workspace/zz-long");
    let cut = diff(&home, &id, &["--max-bytes", "4096"]);
    assert!(cut.stdout_bytes().len() < 8192 && cut.stdout().contains("+third\n"), "{cut:?}");
    assert!(cut.stderr().contains("raise --max-bytes"), "{cut:?}");
    assert_eq!(diff(&home, &id, &["--max-bytes", "4096", "--json"]).json()["truncated"], true);
    home.run(["workspace", "diff", &id, "--from", "none"]).fails_with(1, "snapshot_unknown", "none");
    home.run(["workspace", "diff", &id, "--from", "a/b"]).fails_with(2, "usage", "a/b");
    home.run(["workspace", "delete", &id]).succeeds();
}

/// Each file is written and renamed as a whole, and its number is one more than that of the file before it: a state that never
/// was would have gaps.
#[test]
fn a_guest_that_writes_all_the_time_is_seen_as_it_was_at_one_moment() {
    let home = debian();
    let id = create(&home, &seed(&home));
    let script =
        "cd /workspace; mkdir many; n=0; while [ ! -e stop ]; do n=$((n+1)); echo $n > t; mv t many/$n; done";
    home.run(["workspace", "exec", "--detach", &id, "--", script]).succeeds();
    exec(&home, &id, "while [ ! -e /workspace/many/20 ]; do sleep 0.05; done");
    for _ in 0..5 {
        let report = diff(&home, &id, &["--json", "many"]).json();
        let mut numbers: Vec<usize> = report["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["path"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
        // The guest goes on: it was let go.
        let next = numbers.len() + 1;
        exec(&home, &id, &format!("while [ ! -e /workspace/many/{next} ]; do sleep 0.05; done"));
    }
    // What was written just before is there, without anybody having flushed it.
    exec(&home, &id, "touch /workspace/stop; echo late > /workspace/late");
    assert!(diff(&home, &id, &["late"]).stdout().contains("+late\n"));
    home.run(["workspace", "delete", &id]).succeeds();
}
