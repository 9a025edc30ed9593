//! What receives that were killed left behind, and the way back from it: cut again and begun again, mixed up with receives
//! that go on, and forged by programs of the guest.

use crate::host::Host;
use crate::trees::receive;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

/// An agent and a tree with a stage in it that nobody uses any more.
struct Scene {
    host: Host,
    root: PathBuf,
    stage: PathBuf,
}

impl Scene {
    /// The tree as it was before the receive that left the stage.
    fn new() -> Self {
        let host = Host::new();
        let root = host.folder.path().join("root");
        let stage = root.join(".pyro-stage-1-2");
        fs::create_dir_all(root.join("gone")).unwrap();
        fs::create_dir(root.join("dull")).unwrap();
        for (name, content) in [("a", "old a"), ("b", "old b"), ("gone/inner", "old inner")] {
            fs::write(root.join(name), content).unwrap();
        }
        fs::set_permissions(root.join("dull"), fs::Permissions::from_mode(0o711)).unwrap();
        Self { host, root, stage }
    }

    /// The stage, with what was put in place of it so far.
    fn begin(&self) {
        fs::DirBuilder::new().mode(0o700).create(&self.stage).unwrap();
        for (number, content) in [("1", "new a"), ("2", "new b"), ("3", "new c"), ("4", "new again")] {
            fs::write(self.stage.join(number), content).unwrap();
        }
        self.note(0, "began//");
    }

    fn note(&self, number: u64, step: &str) {
        symlink(step, self.stage.join(format!("u{number}"))).unwrap();
    }

    fn inode(&self, number: u64) -> u64 {
        fs::metadata(self.stage.join(number.to_string())).unwrap().ino()
    }

    fn swap(&self, number: u64, name: &str) {
        let (one, other) = (self.stage.join(number.to_string()), self.root.join(name));
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
    }

    /// One step, and its way back.
    fn step(&self, number: u64, forward: bool) {
        let (root, stage) = (&self.root, &self.stage);
        let rename = |from: PathBuf, to: PathBuf| {
            let (from, to) = if forward { (from, to) } else { (to, from) };
            fs::rename(from, to).unwrap();
        };
        match number {
            1 => self.swap(1, "a"),
            2 => self.swap(2, "b"),
            3 => rename(stage.join("3"), root.join("c")),
            // The same name once more: what it changes places with is of this receive too.
            4 => self.swap(4, "a"),
            5 => rename(root.join("gone"), stage.join("5")),
            6 if forward => fs::create_dir(root.join("gone")).unwrap(),
            6 => fs::remove_dir(root.join("gone")).unwrap(),
            7 if forward => fs::remove_dir(root.join("dull")).unwrap(),
            7 => fs::DirBuilder::new().mode(0o711).create(root.join("dull")).unwrap(),
            _ => unreachable!(),
        }
    }

    fn steps(&self) -> Vec<(u64, String)> {
        let dull = fs::metadata(self.root.join("dull")).unwrap();
        let (uid, gid) = (dull.uid(), dull.gid());
        [
            format!("swapped 1 {}//a", self.inode(1)),
            format!("swapped 2 {}//b", self.inode(2)),
            "placed 3//c".into(),
            format!("swapped 4 {}//a", self.inode(4)),
            "removed 5//gone".into(),
            "made//gone".into(),
            format!("unmade {} {uid} {gid} {} {}//dull", 0o711, 1_000, 5),
        ]
        .into_iter()
        .zip(1..)
        .map(|(step, number)| (number, step))
        .collect()
    }

    fn receive(&mut self, records: &[Record]) {
        let mut wire = Vec::new();
        records.iter().for_each(|record| record.encode(&mut wire));
        Record::Done(Vec::new()).encode(&mut wire);
        self.host.tool_with(receive(&self.root, true), &wire).done::<ReceiveDone>();
    }

    fn state(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for name in ["a", "b", "c", "gone/inner"] {
            if let Ok(content) = fs::read_to_string(self.root.join(name)) {
                found.insert(name.to_owned(), content);
            }
        }
        for entry in fs::read_dir(&self.root).unwrap() {
            let entry = entry.unwrap();
            if entry.metadata().unwrap().is_dir() {
                let mode = entry.metadata().unwrap().mode() & 0o7777;
                found.insert(entry.file_name().into_string().unwrap(), format!("{mode:o}"));
            }
        }
        found
    }
}

fn file(at: &str, content: &str) -> [Record; 3] {
    let path = TreePath::new(at.as_bytes()).unwrap();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let entry = Entry { mode: 0o644, uid, gid, ..Entry::new(path, EntryKind::File) };
    [Record::Entry(entry), Record::Data(content.into()), Record::End]
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[test]
fn a_way_back_that_was_cut_is_begun_again_with_the_same_result() {
    for (forward, back) in
        [2, 4, 7].into_iter().flat_map(|forward| (0..=forward).map(move |back| (forward, back)))
    {
        // It was killed before it struck out any step, the last step, or none; or before it took the step it had written down.
        for kept in if back == 0 { 0..=1 } else { 0..=2 } {
            let mut scene = Scene::new();
            let before = scene.state();
            scene.begin();
            let steps = scene.steps();
            for (number, step) in &steps[..forward] {
                scene.note(*number, step);
                scene.step(*number, true);
            }
            if let Some((number, step)) = steps.get(forward).filter(|_| back == 0 && kept == 1) {
                scene.note(*number, step);
            }
            let last = steps.len().min(forward - back + 1) as u64;
            for (number, _) in steps[forward - back..forward].iter().rev() {
                scene.step(*number, false);
                if kept == 0 || (kept == 1 && *number != last) {
                    fs::remove_file(scene.stage.join(format!("u{number}"))).unwrap();
                }
            }
            scene.receive(&[]);
            assert_eq!(scene.state(), before, "{forward} {back} {kept}");
        }
    }
}

#[test]
fn a_step_is_struck_out_when_it_was_taken_back_and_no_sooner() {
    let mut scene = Scene::new();
    let before = scene.state();
    scene.begin();
    for (number, step) in &scene.steps() {
        scene.note(*number, step);
        scene.step(*number, true);
    }
    // Somebody else has put something where the folder was.
    fs::remove_dir(scene.root.join("gone")).unwrap();
    fs::write(scene.root.join("gone"), "somebody else's").unwrap();
    scene.receive(&[]);
    let left = fs::read_dir(&scene.stage).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.filter_map(|name| name.into_string().ok()).collect();
    left.retain(|name| name.starts_with('u'));
    left.sort();
    assert_eq!(left, ["u0", "u5"]);
    assert_eq!(fs::read_to_string(scene.root.join("gone")).unwrap(), "somebody else's");
    assert_eq!(fs::read_to_string(scene.root.join("a")).unwrap(), "old a");
    // And what came since is nobody's to take back.
    scene.receive(&file("a", "newer"));
    fs::remove_file(scene.root.join("gone")).unwrap();
    scene.receive(&file("a", "newest"));
    assert_eq!(scene.state(), before.into_iter().chain([("a".into(), "newest".into())]).collect());
    let dull = fs::metadata(scene.root.join("dull")).unwrap();
    assert_eq!((dull.mtime(), dull.mtime_nsec()), (1_000, 5));
}

#[test]
fn numbers_that_are_missing_cost_nothing() {
    let mut scene = Scene::new();
    let before = scene.state();
    scene.begin();
    scene.note(7, &scene.steps()[0].1);
    scene.step(1, true);
    scene.note(u64::MAX, &format!("swapped 2 {}//b", scene.inode(2)));
    scene.step(2, true);
    scene.receive(&[]);
    assert_eq!(scene.state(), before);
}

#[test]
fn a_folder_that_is_no_stage_but_in_name_is_left_alone() {
    let is_root = rustix::process::geteuid().is_root();
    for (mode, owner) in [(0o755, None), (0o770, None), (0o700, Some(4711))] {
        if owner.is_some() && !is_root {
            continue;
        }
        let mut scene = Scene::new();
        scene.begin();
        let steps = scene.steps();
        scene.note(1, &steps[0].1);
        scene.step(1, true);
        fs::set_permissions(&scene.stage, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&scene.stage, owner, owner).unwrap();
        let before = scene.state();
        scene.receive(&file("b", "newer"));
        assert!(exists(&scene.stage.join("u1")) && exists(&scene.stage.join("2")), "{mode:o} {owner:?}");
        let after: BTreeMap<_, _> = before.into_iter().chain([("b".into(), "newer".into())]).collect();
        assert_eq!(scene.state(), after, "{mode:o} {owner:?}");
    }
}

#[test]
fn what_was_left_while_another_receive_collected_is_taken_back_before_that_one_goes_on() {
    let mut scene = Scene::new();
    let running = scene.host.start_tool(receive(&scene.root, true), true).unwrap();
    let is_stage = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().starts_with(".pyro-stage-")
    };
    while !fs::read_dir(&scene.root).unwrap().any(is_stage) {
        std::thread::yield_now();
    }
    scene.begin();
    let steps = scene.steps();
    for (number, step) in &steps[..3] {
        scene.note(*number, step);
        scene.step(*number, true);
    }
    let mut wire = Vec::new();
    file("a", "newest a").iter().for_each(|record| record.encode(&mut wire));
    Record::Done(Vec::new()).encode(&mut wire);
    scene.host.feed(running.out, &wire);
    scene.host.finish_tool(&running).done::<ReceiveDone>();
    scene.receive(&[]);
    let state = scene.state();
    let found = |name: &str| state.get(name).map(String::as_str);
    assert_eq!((found("a"), found("b"), found("c")), (Some("newest a"), Some("old b"), None));
}

#[test]
fn nothing_is_taken_back_while_another_receive_puts_things_in_place() {
    let mut scene = Scene::new();
    let before = scene.state();
    scene.begin();
    let steps = scene.steps();
    scene.note(1, &steps[0].1);
    scene.step(1, true);
    let lock = fs::File::open(&scene.root).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let running = scene.host.start_tool(receive(&scene.root, true), true).unwrap();
    // The kernel's own list says when somebody waits for it.
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let waits = |line: &str| line.contains("->") && line.contains(&inode);
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(scene.root.join("a")).unwrap(), "new a");
    drop(lock);
    let mut wire = Vec::new();
    Record::Done(Vec::new()).encode(&mut wire);
    scene.host.feed(running.out, &wire);
    scene.host.finish_tool(&running).done::<ReceiveDone>();
    assert_eq!(scene.state(), before);
}

#[test]
fn folders_that_nobody_described_are_made_with_a_way_back() {
    let mut scene = Scene::new();
    let times = |scene: &Scene| {
        let found = fs::metadata(scene.root.join("dull")).unwrap();
        (found.mtime(), found.mtime_nsec())
    };
    let before = (scene.state(), times(&scene));
    let mut wire = Vec::new();
    file("dull/made/up/x", "x").iter().for_each(|record| record.encode(&mut wire));
    file(&"y".repeat(256), "fails").iter().for_each(|record| record.encode(&mut wire));
    Record::Done(Vec::new()).encode(&mut wire);
    scene.host.tool_with(receive(&scene.root, true), &wire).refused();
    assert_eq!((scene.state(), times(&scene)), before);
    assert!(!exists(&scene.root.join("dull/made")));
}

/// Kills receives again and again in whatever they are doing, and so the ways back that the next ones begin with.
#[test]
fn receives_that_are_killed_at_any_moment_leave_all_or_nothing() {
    let mut scene = Scene::new();
    let before = scene.state();
    let names: Vec<String> = (0..200).map(|at| format!("new/deep{}/{at}", at % 7)).collect();
    let mut wire = Vec::new();
    for name in names.iter().map(String::as_str).chain(["a", "b"]) {
        file(name, "all").iter().for_each(|record| record.encode(&mut wire));
    }
    Record::Delete(TreePath::new("gone").unwrap()).encode(&mut wire);
    Record::Done(Vec::new()).encode(&mut wire);
    for _ in 0..30 {
        let running = scene.host.start_tool(receive(&scene.root, true), true).unwrap();
        scene.host.feed(running.out, &wire);
        // As soon as anything of it is in place.
        while !exists(&scene.root.join("new")) && !scene.host.ended.contains(&running.out) {
            std::thread::yield_now();
        }
        let kill = RequestBody::Signal { job: running.request, signal: 9, target: SignalTarget::Tree };
        // It may have ended by itself.
        let _ = scene.host.ask(kill);
        scene.host.finish(&running);
        scene.receive(&[]);
        if exists(&scene.root.join("new")) {
            assert!(names.iter().all(|name| exists(&scene.root.join(name))));
            assert_eq!(scene.state()["a"], "all");
            return;
        }
        assert_eq!(scene.state(), before);
    }
}
