//! Plans of made-up trees: what must hold for any, and each rule by itself.

use super::*;
use proptest::prelude::*;
use pyro_proto::tree::Timestamp;
use std::collections::BTreeMap;

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    let mut entry = Entry::new(at(path), kind);
    entry.mode = 0o644;
    entry.mtime = Timestamp { s: 10, ns: 0 };
    entry.size_bytes = if kind == EntryKind::File { 4 } else { 0 };
    entry
}

fn file(path: &str, content: u8) -> HostEntry {
    HostEntry { entry: entry(path, EntryKind::File), sha256: Some([content; 32]) }
}

fn other(path: &str, kind: EntryKind, target: &str) -> HostEntry {
    let mut entry = entry(path, kind);
    entry.target = target.as_bytes().to_vec();
    let sha256 = (kind == EntryKind::HardLink).then_some([1; 32]);
    HostEntry { entry, sha256 }
}

fn folder(path: &str) -> HostEntry {
    other(path, EntryKind::Directory, "")
}

/// The guest's scan after it was given exactly this.
fn scan(host: &[HostEntry]) -> Vec<Entry> {
    let seen = |(inode, host): (usize, &HostEntry)| Entry {
        inode: inode as u64 + 1,
        ctime: Timestamp { s: 99, ns: inode as u32 },
        ..host.entry.clone()
    };
    host.iter().enumerate().map(seen).collect()
}

fn shown(paths: &[TreePath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

const NOTHING: &dyn Fn(&TreePath, bool) -> bool = &|_, _| false;

fn planned(host: &[HostEntry], guest: &[Entry], pushed: &PushedManifest) -> PushPlan {
    plan(&HostManifest::from_entries(host.iter().cloned()), guest, pushed, true, NOTHING)
}

fn pushed(host: &[HostEntry], scan: &[Entry]) -> PushedManifest {
    PushedManifest::after_push(&HostManifest::from_entries(host.iter().cloned()), scan, &HashSet::new())
}

#[test]
fn an_empty_guest_gets_everything() {
    let host = [folder(""), folder("d"), file("d/f", 1), other("l", EntryKind::Symlink, "/x")];
    let plan = planned(&host, &[], &PushedManifest::default());
    assert_eq!(shown(&plan.send), ["", "d", "d/f", "l"]);
    assert_eq!((plan.bytes, plan.unchanged), (4, 0));
}

#[test]
fn a_second_push_sends_and_asks_nothing() {
    let host = [folder(""), folder("d"), file("d/f", 1), other("h", EntryKind::HardLink, "d/f")];
    let guest = scan(&host);
    let plan = planned(&host, &guest, &pushed(&host, &guest));
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.unchanged, 4);
}

#[test]
fn a_file_the_guest_touched_is_asked_for_and_then_decided() {
    let host = [file("same", 1), file("other", 2), file("gone", 3)];
    let mut guest = scan(&host);
    let known = pushed(&host, &guest);
    guest.iter_mut().for_each(|entry| entry.ctime.s += 1);
    let manifest = HostManifest::from_entries(host.iter().cloned());
    let mut plan = plan(&manifest, &guest, &known, false, NOTHING);
    assert_eq!(shown(&plan.need_guest_hash), ["same", "other", "gone"]);
    plan.resolve(&manifest, &HashMap::from([(at("same"), [1; 32]), (at("other"), [9; 32])]));
    assert_eq!(shown(&plan.send), ["other", "gone"]);
    assert_eq!((plan.unchanged, plan.bytes), (1, 8));
    assert!(plan.need_guest_hash.is_empty());
}

#[test]
fn what_the_host_changed_is_sent() {
    let before = [
        folder("d"),
        file("content", 1),
        file("mode", 1),
        file("mtime", 1),
        other("l", EntryKind::Symlink, "x"),
        file("kind", 1),
    ];
    let guest = scan(&before);
    let known = pushed(&before, &guest);
    let mut now = before.clone();
    now[0].entry.mode = 0o700;
    now[1].sha256 = Some([2; 32]);
    now[2].entry.mode = 0o755;
    now[3].entry.mtime.ns = 1;
    now[4].entry.target = b"y".to_vec();
    now[5] = other("kind", EntryKind::Symlink, "x");
    let plan = planned(&now, &guest, &known);
    assert_eq!(shown(&plan.send), ["d", "content", "mode", "mtime", "l", "kind"]);
    let mut folder_time = before.clone();
    folder_time[0].entry.mtime.s += 9;
    assert!(planned(&folder_time, &guest, &known).is_empty());
}

/// A name sent alone would become a file of its own in the guest.
#[test]
fn names_of_one_file_are_sent_together() {
    let host = [
        file("a", 1),
        other("b", EntryKind::HardLink, "a"),
        other("c", EntryKind::HardLink, "a"),
        file("d", 1),
    ];
    let full = scan(&host);
    let known = pushed(&host, &full);
    let without_c: Vec<Entry> = full.iter().filter(|entry| entry.path != at("c")).cloned().collect();
    let plan = planned(&host, &without_c, &known);
    assert_eq!(shown(&plan.send), ["a", "b", "c"]);
    assert_eq!((plan.unchanged, plan.bytes), (1, 4));
}

#[test]
fn a_mirror_deletes_whole_folders_but_nothing_excluded() {
    let host = [folder(""), folder("keep"), file("keep/f", 1), file("now-a-file", 1)];
    let mut guest = scan(&[
        folder(""),
        folder("keep"),
        file("keep/f", 1),
        file("keep/extra", 1),
        folder("old"),
        file("old/a", 1),
        folder("old/b"),
        file("old/b/c", 1),
        folder("mixed"),
        file("mixed/a", 1),
        folder("mixed/target"),
        file("mixed/target/x", 1),
        folder("now-a-file"),
        file("now-a-file/x", 1),
        folder("target"),
        file("target/y", 1),
    ]);
    guest.iter_mut().for_each(|entry| entry.ctime.s += 1);
    let excluded = |path: &TreePath, _: bool| path.components().any(|name| name == b"target");
    let manifest = HostManifest::from_entries(host.iter().cloned());
    let plan_of = |mirror| plan(&manifest, &guest, &PushedManifest::default(), mirror, &excluded);
    let mirror = plan_of(true);
    assert_eq!(shown(&mirror.delete), ["keep/extra", "old", "mixed/a"]);
    assert_eq!(shown(&mirror.send), ["now-a-file"]);
    assert!(plan_of(false).delete.is_empty());
}

#[test]
fn a_file_does_not_take_the_place_of_what_is_excluded() {
    let host = [file("d", 1)];
    let guest = scan(&[folder("d"), file("d/secret", 1)]);
    let excluded = |path: &TreePath, _: bool| *path == at("d/secret");
    let manifest = HostManifest::from_entries(host.iter().cloned());
    let plan = plan(&manifest, &guest, &PushedManifest::default(), true, &excluded);
    assert_eq!(shown(&plan.conflicts), ["d"]);
    assert!(plan.send.is_empty() && plan.delete.is_empty());
}

#[test]
fn a_file_that_was_unsteady_or_touched_is_not_known() {
    let host = [file("steady", 1), file("unsteady", 1), file("touched", 1)];
    let mut guest = scan(&host);
    guest[2].mtime.s += 1;
    let manifest = HostManifest::from_entries(host.iter().cloned());
    let known = PushedManifest::after_push(&manifest, &guest, &HashSet::from([at("unsteady")]));
    assert_eq!(known.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pushed.json");
    known.save(&path).unwrap();
    assert_eq!(PushedManifest::load(&path), known);
    std::fs::write(&path, "{\"schema\":9,\"files\":[]}").unwrap();
    assert!(PushedManifest::load(&path).is_empty());
}

/// A tree as a map from path to content: 0 is a folder, 1 a link, the rest files.
type Model = BTreeMap<TreePath, u8>;

fn any_model() -> impl Strategy<Value = Model> {
    let path = prop::collection::vec("[abx]", 1..4).prop_map(|names| names.join("/"));
    prop::collection::vec((path, 0u8..6), 0..14).prop_map(|things| {
        let mut model = Model::new();
        for (path, what) in things {
            let path = at(&path);
            let mut above = path.parent();
            while let Some(folder) = above.filter(|folder| !folder.is_root()) {
                above = folder.parent();
                model.insert(folder, 0);
            }
            let has_children = model.keys().any(|other| is_below(other, &path));
            model.insert(path, if has_children { 0 } else { what });
        }
        model
    })
}

fn is_below(path: &TreePath, folder: &TreePath) -> bool {
    path.as_bytes().strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// In the order of a walk: by components.
fn in_order(model: &Model) -> Vec<HostEntry> {
    let mut paths: Vec<&TreePath> = model.keys().collect();
    paths.sort_by(|a, b| a.components().cmp(b.components()));
    let entry = |path: &TreePath| match model[path] {
        0 => folder(&path.to_string()),
        1 => other(&path.to_string(), EntryKind::Symlink, "x"),
        content => file(&path.to_string(), content),
    };
    paths.into_iter().map(entry).collect()
}

/// What a guest has after it has done as the plan says.
fn carried_out(plan: &PushPlan, host: &Model, guest: &Model) -> Model {
    let mut guest = guest.clone();
    for path in &plan.delete {
        guest.retain(|other, _| other != path && !is_below(other, path));
    }
    for path in &plan.send {
        if host[path] != 0 {
            guest.retain(|other, _| !is_below(other, path));
        }
        guest.insert(path.clone(), host[path]);
    }
    guest
}

proptest! {
    /// A mirror makes the guest as the host is, but for what is excluded, which stays; and then there is nothing more to do.
    #[test]
    fn a_mirror_makes_them_the_same(host in any_model(), guest in any_model(), known in any::<bool>()) {
        let excluded = |path: &TreePath, _: bool| path.components().any(|name| name == b"x");
        let host: Model = host.into_iter().filter(|(path, _)| !excluded(path, false)).collect();
        let (host_entries, guest_entries) = (in_order(&host), in_order(&guest));
        let guest_scan = scan(&guest_entries);
        let pushed = if known { pushed(&guest_entries, &guest_scan) } else { PushedManifest::default() };
        let manifest = HostManifest::from_entries(host_entries);
        let mut plan = plan(&manifest, &guest_scan, &pushed, true, &excluded);
        prop_assert!(!known || plan.need_guest_hash.is_empty());
        let hashes = guest.iter().filter(|(_, what)| **what > 1).map(|(path, what)| (path.clone(), [*what; 32]));
        plan.resolve(&manifest, &hashes.collect());
        prop_assert_eq!(plan.send.len() + plan.conflicts.len() + plan.unchanged as usize, host.len());

        let after = carried_out(&plan, &host, &guest);
        for (path, what) in &guest {
            prop_assert!(!excluded(path, false) || after.get(path) == Some(what), "{} was excluded", path);
        }
        if plan.conflicts.is_empty() {
            for (path, what) in &host {
                prop_assert_eq!(after.get(path), Some(what));
            }
            let keeps = |path: &TreePath| after.keys().any(|other| excluded(other, false) && (other == path || is_below(other, path)));
            let extra: Vec<_> = after.keys().filter(|path| !host.contains_key(path) && !keeps(path)).collect();
            prop_assert!(extra.is_empty(), "{:?} should be gone", extra);
        }
    }

    /// Without a mirror nothing is deleted; what is sent comes in an order that can be put in place.
    #[test]
    fn a_push_deletes_nothing_and_sends_folders_first(host in any_model(), guest in any_model()) {
        let manifest = HostManifest::from_entries(in_order(&host));
        let plan = plan(&manifest, &scan(&in_order(&guest)), &PushedManifest::default(), false, NOTHING);
        prop_assert!(plan.delete.is_empty() && plan.conflicts.is_empty());
        let mut there: HashSet<TreePath> = guest.iter().filter(|(_, what)| **what == 0).map(|(path, _)| path.clone()).collect();
        there.insert(TreePath::default());
        for path in &plan.send {
            prop_assert!(there.contains(&path.parent().unwrap()), "{} has no folder yet", path);
            if host[path] == 0 {
                there.insert(path.clone());
            }
        }
    }
}
