//! The disks of stopped workspaces, and what is copied out of workspaces: read on the host, without a guest.

use crate::debian;
use crate::diffs::CHANGES;
use crate::diffs::create;
use crate::diffs::exec;
use crate::diffs::seed;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

#[test]
fn a_stopped_workspace_is_listed_read_and_exported_whole() {
    let home = debian();
    let id = create(&home, &seed(&home));
    exec(
        &home,
        &id,
        &format!("{CHANGES}; echo y > /etc/y; rm /etc/motd; ln /etc/y /etc/z; chown 12:345 /etc/y"),
    );
    home.run(["workspace", "disk", "list", &id]).fails_with(1, "workspace_running", &id);
    let baseline = ["workspace", "disk", "read", &id, "gone", "--snapshot", "baseline", "--content-only"];
    assert_eq!(home.run(baseline).succeeds().stdout(), "gone\n");
    home.run(["workspace", "stop", &id]).succeeds();
    let list = home.run(["workspace", "disk", "list", &id, "--recursive"]).succeeds().stdout();
    assert!(list.starts_with("Workspace disk path: /workspace (recursive=yes)\n"), "{list}");
    assert!(
        list.contains("/workspace/node_modules/.bin/tsc [symlink] size=0 -> ../typescript/bin/tsc\n"),
        "{list}"
    );
    assert!(!list.contains("gone"), "{list}");
    let etc = home.run(["workspace", "disk", "list", &id, "/etc", "--json"]).succeeds().json();
    let has = |name: &str| etc["entries"].as_array().unwrap().iter().any(|entry| entry["path"] == name);
    assert_eq!([has("/etc/y"), has("/etc/motd"), has("/etc/passwd")], [true, false, true]);
    let part = ["workspace", "disk", "read", &id, "text", "--offset", "4", "--max-bytes", "3", "--json"];
    let part = home.run(part).succeeds().json();
    assert_eq!(
        (&part["content"], &part["truncated"], &part["size_bytes"]),
        (&"2\nt".into(), &true.into(), &16.into())
    );
    home.run(["workspace", "disk", "read", &id, "gone"]).fails_with(1, "path_not_found", "gone");
    home.run(["workspace", "disk", "read", &id, "/etc"]).fails_with(1, "is_a_directory", "/etc");
    let image = home.home().join("disk.img");
    let export = ["workspace", "disk", "export", &id, "--output", image.to_str().unwrap()];
    let line = home.run(export).succeeds().stdout();
    assert!(line.contains("disk_format=ext4 bytes_written="), "{line}");
    home.run(export).fails_with(1, "output_exists", "disk.img");
    let check = Command::new("/sbin/e2fsck").arg("-fn").arg(&image).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let ask = |request: &str| {
        let output = Command::new("/sbin/debugfs").args(["-R", request]).arg(&image).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask("cat /workspace/text"), "one\n2\nthree\nfour");
    assert!(!ask("stat /etc/motd").contains("Inode:"));
    let stat = ask("stat /etc/z");
    assert!(
        stat.contains("Links: 2") && stat.contains("User:    12") && stat.contains("Group:   345"),
        "{stat}"
    );
    let compressed = home.home().join("disk.zst");
    home.run(["workspace", "disk", "export", &id, "--zstd", "--output", compressed.to_str().unwrap()])
        .succeeds();
    // What is free on an image is a hole, and what is compressed is an image that holds the same.
    let found = std::fs::metadata(&image).unwrap();
    assert!(
        found.blocks() * 512 < found.len() / 4 * 3,
        "{} of {} bytes are taken",
        found.blocks() * 512,
        found.len()
    );
    let fresh = home.home().join("fresh.img");
    let unpacked =
        Command::new("zstd").args(["-dq", "--sparse"]).arg(&compressed).arg("-o").arg(&fresh).status();
    assert!(unpacked.unwrap().success());
    assert!(std::fs::metadata(&compressed).unwrap().len() < found.blocks() * 512 / 2);
    assert_eq!(std::fs::metadata(&fresh).unwrap().len(), found.len());
    let check = Command::new("/sbin/e2fsck").arg("-fn").arg(&fresh).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let text =
        Command::new("/sbin/debugfs").args(["-R", "cat /workspace/text"]).arg(&fresh).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&text.stdout), "one\n2\nthree\nfour");
    home.run(["workspace", "disk", "list", &id, "--snapshot", "a/b"]).fails_with(2, "usage", "a/b");
    home.run(["workspace", "delete", &id]).succeeds();
}

#[test]
fn paths_are_copied_out_of_running_and_stopped_workspaces_and_snapshots() {
    let home = debian();
    let id = create(&home, &seed(&home));
    exec(
        &home,
        &id,
        &format!(
            "{CHANGES}; mkdir out; ln -s /etc/passwd out/absolute; ln -s ../text out/inside; echo k > out/kept"
        ),
    );
    let out = |name: &str| home.home().join(name).to_str().unwrap().to_owned();
    for state in ["running", "stopped"] {
        let modules = out(&format!("modules-{state}"));
        home.run(["workspace", "export", &id, "node_modules", "--output", &modules]).succeeds();
        let link = std::fs::read_link(format!("{modules}/.bin/tsc")).unwrap();
        assert_eq!(link.to_str(), Some("../typescript/bin/tsc"));
        let refused = out(&format!("refused-{state}"));
        home.run(["workspace", "export", &id, "out", "--output", &refused]).fails_with(
            1,
            "link_escapes",
            "absolute",
        );
        assert!(!std::path::Path::new(&refused).exists(), "something is left of what was refused");
        let skipped = out(&format!("skipped-{state}"));
        home.run(["workspace", "export", &id, "out", "--links", "skip", "--output", &skipped]).succeeds();
        assert_eq!(std::fs::read_to_string(format!("{skipped}/kept")).unwrap(), "k\n");
        let text = home.run(["workspace", "export", &id, "text", "--output", "-"]).succeeds();
        assert_eq!(text.stdout(), "one\n2\nthree\nfour");
        let old = home
            .run(["workspace", "export", &id, "text", "--snapshot", "baseline", "--output", "-"])
            .succeeds();
        assert_eq!(old.stdout(), "one\ntwo\nthree\n");
        for (format, flag) in [("tar", "-tf"), ("tar.gz", "-tzf"), ("tar.zst", "--zstd -tf")] {
            let archive =
                home.run(["workspace", "export", &id, "src", "--format", format, "--output", "-"]).succeeds();
            assert!(
                archive.stderr().contains(" output_path=- artifact_type=directory entry_count=2 "),
                "{archive:?}"
            );
            std::fs::write(out("piped"), archive.stdout_bytes()).unwrap();
            let command = format!("tar {flag} piped");
            let listed = Command::new("sh").args(["-c", &command]).current_dir(home.home()).output().unwrap();
            assert_eq!(
                String::from_utf8_lossy(&listed.stdout),
                "src/\nsrc/elsewhere\n",
                "{format}: {listed:?}"
            );
        }
        // Neither a folder nor a link is a stream of bytes; nothing is written over.
        for name in ["src", "link"] {
            let whole = home.run(["workspace", "export", &id, name, "--output", "-"]);
            let whole = whole.fails_with(1, "path_unsuitable", "standard output");
            assert!(whole.stdout_bytes().is_empty(), "{whole:?}");
        }
        // A link that is named is treated as one in a folder.
        let named = out(&format!("named-{state}"));
        let export = ["workspace", "export", &id, "out/absolute", "--output", &named];
        home.run(export).fails_with(1, "link_escapes", "leads out");
        let link = home.run([&export[..], &["--links", "keep"]].concat()).succeeds();
        assert!(link.stdout().contains(" artifact_type=symlink "), "{link:?}");
        assert!(std::fs::symlink_metadata(&named).unwrap().is_symlink());
        for format in ["tree", "tar"] {
            let again = ["workspace", "export", &id, "text", "--format", format, "--output", &skipped];
            home.run(again).fails_with(1, "output_exists", "skipped");
        }
        assert_eq!(std::fs::read_to_string(format!("{skipped}/kept")).unwrap(), "k\n");
        if state == "running" {
            home.run(["workspace", "stop", &id]).succeeds();
        }
    }
    let tar = out("all.tar.zst");
    home.run(["workspace", "export", &id, "src", "--format", "tar.zst", "--output", &tar]).succeeds();
    let listed = Command::new("tar").args(["--zstd", "-tf", &tar]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("elsewhere"), "{listed:?}");
    home.run(["workspace", "delete", &id]).succeeds();
}
