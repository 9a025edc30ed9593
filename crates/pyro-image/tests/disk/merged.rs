//! The root as the guest sees it: the overlay's rules, the folders that lie beside it, and paths.

use crate::support::BASE;
use crate::support::RW;
use crate::support::debugfs;
use crate::support::described;
use crate::support::mkfs;
use crate::support::names;
use crate::support::open;
use pyro_image::disk::MergedError;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::system_changes;
use pyro_proto::tree::EntryKind;
use std::os::unix::fs::symlink;
use std::path::Path;

/// An environment, and a workspace whose guest did all that an overlay has a way to say.
fn root(dir: &Path) -> MergedRoot {
    let (tree, base, rw) = (dir.join("tree"), dir.join("base"), dir.join("rw"));
    for folder in ["etc", "usr/bin", "opt/app/old", "var/lib/docker", "workspace", "merged/both"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for (file, content) in [
        ("etc/kept", "kept"),
        ("etc/gone", "gone"),
        ("etc/changed", "before"),
        ("etc/touched", "same"),
        ("opt/app/old/file", "old"),
        ("merged/both/lower", "lower"),
        ("merged/becomes-folder", "file"),
        ("workspace/hidden", "never seen"),
        ("var/lib/docker/hidden", "never seen"),
        ("usr/bin/tool", "tool"),
    ] {
        std::fs::write(tree.join(file), content).unwrap();
    }
    symlink("/usr/bin", tree.join("bin")).unwrap();
    symlink("../../../../etc/kept", tree.join("etc/up")).unwrap();
    symlink("loop", tree.join("loop")).unwrap();
    mkfs(&base, Some(&tree), BASE, 16);
    mkfs(&rw, None, RW, 16);
    let after = dir.join("after");
    std::fs::write(&after, "after!").unwrap();
    std::fs::write(dir.join("same"), "same").unwrap();
    let write = |name: &str| format!("write {} {name}", after.display());
    let commands = [
        "mkdir upper",
        "mkdir work",
        "mkdir workspace",
        "mkdir tmp",
        "mkdir docker",
        "mkdir upper/etc",
        "mknod upper/etc/gone c 0 0",
        &write("upper/etc/changed"),
        &format!("write {} upper/etc/touched", dir.join("same").display()),
        "mkdir upper/opt",
        "mkdir upper/opt/app",
        "ea_set upper/opt/app trusted.overlay.opaque y",
        &write("upper/opt/app/new"),
        "mkdir upper/merged",
        "mkdir upper/merged/both",
        "ea_set upper/merged/both trusted.overlay.impure y",
        &write("upper/merged/both/upper"),
        "mkdir upper/merged/becomes-folder",
        "mkdir upper/run",
        "mkdir upper/proc",
        &write("workspace/mine"),
        "mknod workspace/device c 0 0",
        &write("tmp/scratch"),
        &write("docker/layer"),
    ];
    // The modes of what debugfs writes are made those of the files it stands for.
    debugfs(&rw, &commands);
    debugfs(&rw, &["sif upper/etc/changed mode 0100644", "sif upper/etc/touched mode 0100644"]);
    MergedRoot::new(open(&base), open(&rw)).unwrap()
}

#[test]
fn the_overlay_and_the_folders_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let found = described(&root, "/");
    let seen: Vec<String> = names(&found).into_iter().filter(|name| name.contains('/')).collect();
    assert_eq!(
        seen,
        [
            "etc/changed",
            "etc/kept",
            "etc/touched",
            "etc/up",
            "merged/becomes-folder",
            "merged/both",
            "merged/both/lower",
            "merged/both/upper",
            "opt/app",
            "opt/app/new",
            "tmp/scratch",
            "usr/bin",
            "usr/bin/tool",
            "var/lib",
            "var/lib/docker",
            "var/lib/docker/layer",
            "workspace/device",
            "workspace/mine",
        ]
    );
    assert_eq!(found[&b"etc/changed"[..]].content, b"after!");
    assert_eq!(found[&b"merged/becomes-folder"[..]].kind, EntryKind::Directory);
    assert_eq!(
        found[&b"workspace/device"[..]].kind,
        EntryKind::Special,
        "whiteouts are of the overlay alone"
    );
}

#[test]
fn a_walk_lists_folders_first_and_names_in_byte_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let start = root.lookup(b"/merged", false).unwrap();
    let mut seen = Vec::new();
    root.walk::<MergedError>(&start, |entry, content| {
        assert_eq!(entry.kind == EntryKind::File, content.is_some());
        seen.push(entry.path.to_string());
        Ok(pyro_image::disk::merged::Visit::Continue)
    })
    .unwrap();
    assert_eq!(seen, ["", "becomes-folder", "both", "both/lower", "both/upper"]);
}

#[test]
fn paths_lead_where_they_would_lead_the_guest() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let content = |path: &str| {
        let node = root.lookup(path.as_bytes(), true)?;
        let mut buffer = [0; 20];
        let count = root.read_at(&node, 0, &mut buffer)?;
        Ok::<_, MergedError>(String::from_utf8_lossy(&buffer[..count]).into_owned())
    };
    assert_eq!(content("/bin/tool").unwrap(), "tool");
    assert_eq!(content("/bin/../bin/./tool").unwrap(), "tool", "beside what the link leads to");
    assert_eq!(content("/etc/up").unwrap(), "kept", "above the root is the root");
    assert_eq!(content("/../../workspace/../workspace//mine").unwrap(), "after!");
    assert_eq!(root.lookup(b"/bin", false).unwrap().kind(), EntryKind::Symlink);
    assert_eq!(root.lookup(b"/bin/", false).unwrap().kind(), EntryKind::Directory);
    assert!(matches!(content("/etc/gone"), Err(MergedError::NotFound { .. })));
    assert!(matches!(content("/workspace/hidden"), Err(MergedError::NotFound { .. })));
    assert!(matches!(content("/etc/kept/x"), Err(MergedError::NotAFolder { .. })));
    assert!(matches!(content("/etc/kept/"), Err(MergedError::NotAFolder { .. })));
    assert!(matches!(content("/loop"), Err(MergedError::Links { .. })));
    assert!(matches!(content("etc"), Err(MergedError::Path { .. })));
    assert!(matches!(content(&format!("/{}", "x".repeat(4095))), Err(MergedError::Path { .. })));
}

#[test]
fn what_the_overlay_has_elsewhere_is_refused() {
    for attribute in ["redirect", "metacopy"] {
        let dir = tempfile::tempdir().unwrap();
        root(dir.path());
        let rw = dir.path().join("rw");
        debugfs(&rw, &[&format!("ea_set upper/opt trusted.overlay.{attribute} /x")]);
        let root = MergedRoot::new(open(&dir.path().join("base")), open(&rw)).unwrap();
        let error = root.lookup(b"/opt", true).unwrap_err();
        assert!(matches!(error, MergedError::Overlay { .. }), "{error}");
    }
}

#[test]
fn a_disk_that_no_guest_ever_had_shows_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    root(dir.path());
    let fresh = dir.path().join("fresh");
    mkfs(&fresh, None, RW, 16);
    let base = open(&dir.path().join("base"));
    let root = MergedRoot::new(base.clone(), open(&fresh)).unwrap();
    assert!(described(&root, "/") == described(&MergedRoot::of_base(base), "/"));
}

#[test]
fn what_a_workspace_changed_of_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let owner = root.lookup(b"/etc/kept", true).unwrap().metadata().uid;
    let changes = system_changes(&root).unwrap();
    let shown: Vec<String> = changes
        .iter()
        // To debugfs all is root's, to mkfs its user's.
        .filter(|change| {
            owner == 0 || change.old.as_ref().map(|old| old.kind) != change.new.as_ref().map(|new| new.kind)
        })
        .map(|change| {
            let side = |there: bool, sign| if there { sign } else { "" };
            format!("{}{}{}", side(change.old.is_some(), "-"), side(change.new.is_some(), "+"), change.path)
        })
        .collect();
    let mut expected = vec![
        "-+etc/changed",
        "-etc/gone",
        "-+merged/becomes-folder",
        "+merged/both/upper",
        "+opt/app/new",
        "-opt/app/old",
        "-opt/app/old/file",
    ];
    if owner != 0 {
        expected.remove(0);
    }
    assert_eq!(shown, expected);
}
