//! Watches of real folders; every test waits for events, none for time to pass.

use super::super::fixture;
use super::*;
use std::fs;
use std::os::unix::fs::symlink;

fn watch(root: &Path) -> Watch {
    let quick = Duration::from_millis(20);
    Watch::new(root, WatchOptions { quiet: quick, ..WatchOptions::default() }).unwrap()
}

/// Batches until one has told of this path.
fn until(watch: &mut Watch, path: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    loop {
        let batch = watch.next_batch().unwrap().expect("the watch goes on");
        seen.extend(batch.paths.iter().map(ToString::to_string));
        if seen.contains(path) {
            return seen;
        }
    }
}

#[test]
fn changes_of_all_kinds_are_told() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["a/old", "a/gone", "a/moved", "b/other", "mode"]);
    let mut watch = watch(root.path());
    let at = |path: &str| root.path().join(path);
    fs::write(at("a/old"), "changed").unwrap();
    fs::remove_file(at("a/gone")).unwrap();
    fs::rename(at("a/moved"), at("b/moved")).unwrap();
    symlink("x", at("link")).unwrap();
    fs::set_permissions(at("mode"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(at("last"), "").unwrap();
    let seen = until(&mut watch, "last");
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["a/gone", "a/moved", "a/old", "b/moved", "last", "link", "mode"]
    );
}

#[test]
fn new_folders_are_watched_and_what_is_in_them_is_told() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    fixture::write(root.path(), &["new/deep/er/file"]);
    let seen = until(&mut watch, "new/deep/er/file");
    assert!(seen.contains("new") && seen.contains("new/deep/er"), "{seen:?}");
    fs::write(root.path().join("new/deep/er/later"), "").unwrap();
    until(&mut watch, "new/deep/er/later");
}

#[test]
fn a_folder_that_moved_is_watched_under_its_new_name() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["old/sub/file"]);
    let mut watch = watch(root.path());
    fs::rename(root.path().join("old"), root.path().join("new")).unwrap();
    let seen = until(&mut watch, "new/sub/file");
    assert!(seen.contains("old"), "{seen:?}");
    fs::write(root.path().join("new/sub/file"), "x").unwrap();
    fs::write(root.path().join("end"), "x").unwrap();
    let seen = until(&mut watch, "end");
    assert!(seen.contains("new/sub/file") && !seen.iter().any(|path| path.starts_with("old/")), "{seen:?}");
}

#[test]
fn what_is_skipped_is_neither_watched_nor_told() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["target/debug/x", "src/a"]);
    let skip: Skip = Box::new(|path, _| path.components().any(|name| name == b"target"));
    let options = WatchOptions { quiet: Duration::from_millis(20), skip, ..WatchOptions::default() };
    let mut watch = Watch::new(root.path(), options).unwrap();
    assert_eq!(watch.folders.len(), 2);
    fs::write(root.path().join("target/debug/x"), "y").unwrap();
    fixture::write(root.path(), &["src/target/new", "src/b"]);
    let seen = until(&mut watch, "src/b");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["src/b"]);
}

#[test]
fn links_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("out")).unwrap();
    let mut watch = watch(root.path());
    fs::write(outside.path().join("x"), "").unwrap();
    fs::write(root.path().join("end"), "").unwrap();
    assert_eq!(until(&mut watch, "end").len(), 1);
}

#[test]
fn a_removed_root_ends_the_watch() {
    let parent = tempfile::tempdir().unwrap();
    fixture::write(parent.path(), &["root/a/b"]);
    let mut watch = watch(&parent.path().join("root"));
    fs::remove_dir_all(parent.path().join("root")).unwrap();
    loop {
        let batch = watch.next_batch().unwrap().expect("the end is told first");
        if batch.root_gone {
            break;
        }
    }
    assert_eq!(watch.next_batch().unwrap(), None);
}

#[test]
fn a_watch_is_stopped_from_another_thread() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    let stopper = watch.stopper();
    let waiting = std::thread::spawn(move || watch.next_batch());
    stopper.stop();
    assert_eq!(waiting.join().unwrap().unwrap(), None);
}

/// The kernel keeps so many events and no more; what was lost must be looked for.
#[test]
fn lost_events_ask_for_a_new_look() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path());
    let most: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let folder = root.path().to_owned();
    // Two names in turn, so that the kernel cannot take equal events together.
    for n in 0..=most {
        let name = folder.join(if n % 2 == 0 { "a" } else { "b" });
        fs::set_permissions(&name, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .or_else(|_| fs::write(&name, ""))
            .unwrap();
    }
    loop {
        if watch.next_batch().unwrap().unwrap().rescan {
            break;
        }
    }
    fs::write(folder.join("afterwards"), "").unwrap();
    until(&mut watch, "afterwards");
}

#[test]
fn more_paths_than_a_batch_may_have_ask_for_a_new_look() {
    let root = tempfile::tempdir().unwrap();
    let options = WatchOptions { paths_max: 3, quiet: Duration::from_millis(20), ..WatchOptions::default() };
    let mut watch = Watch::new(root.path(), options).unwrap();
    fixture::write(root.path(), &["d/a", "d/b", "d/c", "d/d"]);
    loop {
        let batch = watch.next_batch().unwrap().unwrap();
        assert!(batch.paths.len() <= 3);
        if batch.rescan {
            return;
        }
    }
}

#[test]
fn a_root_that_is_missing_is_named() {
    let error = Watch::new(Path::new("/nonexistent/root"), WatchOptions::default()).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_MISSING);
}
