//! Disks of several layers, with a guest that needs no kernel and knows what its disk must hold.

use super::layer_guest;
use super::layer_guest::DISK_BYTES;
use super::layer_guest::FAILURES;
use super::tests::counting_guest;
use super::tests::engine;
use super::tests::numbers;
use super::tests::restore;
use super::tests::start;
use super::*;
use crate::spec::Disk;
use crate::spec::DiskFormat;
use crate::spec::DiskSource;
use crate::spec::Durability;
use crate::spec::Layer;
use crate::spec::Memory;
use sha2::Digest as _;
use sha2::Sha256;
use std::error::Error as _;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

/// A folder with a raw layer called `base`.
struct Lab {
    folder: TempDir,
    engine: QemuEngine,
    spec: GuestSpec,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = counting_guest(folder.path(), Memory::Anonymous);
        std::fs::write(&spec.kernel, layer_guest::elf()).unwrap();
        File::create(folder.path().join("base")).unwrap().set_len(DISK_BYTES).unwrap();
        Self { folder, engine: engine(), spec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self, name: &str) -> SnapshotFiles {
        SnapshotFiles {
            state: self.path(&format!("{name}.state")),
            memory: self.path(&format!("{name}.memory")),
        }
    }

    /// A new empty layer.
    fn overlay(&self, name: &str) -> File {
        let file = File::options().read(true).write(true).create_new(true).open(self.path(name)).unwrap();
        file.write_all_at(&layer_guest::qcow2(), 0).unwrap();
        file
    }

    /// A guest's description, with a disk of these layers from the bottom up.
    fn spec(&self, layers: &[&str]) -> GuestSpec {
        let format = |name: &str| if name == "base" { DiskFormat::Raw } else { DiskFormat::Qcow2 };
        let layer = |name: &&str| Layer { source: DiskSource::Path(self.path(name)), format: format(name) };
        let layers = layers.iter().map(layer).collect();
        GuestSpec {
            disks: vec![Disk { layers, read_only: false, durability: Durability::Throwaway }],
            ..self.spec.clone()
        }
    }

    async fn boot(&self, layers: &[&str]) -> QemuGuest {
        start(&self.engine, self.spec(layers)).await.unwrap()
    }

    async fn restore(&self, layers: &[&str], files: &SnapshotFiles) -> QemuGuest {
        restore(&self.engine, self.spec(layers), files).await.unwrap()
    }

    fn digest(&self, name: &str) -> Vec<u8> {
        Sha256::digest(std::fs::read(self.path(name)).unwrap()).to_vec()
    }
}

/// What the guest says first, which is never the end of a line that another began.
async fn first(guest: &QemuGuest) -> u32 {
    let first = guest.console().wait_for(|console| numbers(console).first().copied()).await;
    assert!(first < FAILURES, "{first:x}");
    first
}

/// Lets the guest say so many more lines, and returns the last.
async fn counts_on(guest: &QemuGuest, lines: usize) -> u32 {
    let before = numbers(&guest.console().bytes()).len();
    let enough = |console: &[u8]| Some(numbers(console)).filter(|numbers| numbers.len() >= before + lines);
    let last = *guest.console().wait_for(enough).await.last().unwrap();
    assert!(last < FAILURES, "{last:x}");
    last
}

fn descriptors(guest: &QemuGuest) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", guest.pid())).unwrap().count()
}

async fn kill(mut guest: QemuGuest) {
    guest.kill();
    guest.wait().await;
}

#[tokio::test]
async fn layers_are_pushed_under_a_running_guest_and_never_change_again() {
    let lab = Lab::new();
    let mut guest = lab.boot(&["base"]).await;
    let mut frozen = Vec::new();
    let names = ["base", "one", "two", "three"];
    for pair in names.windows(2) {
        let [below, above] = pair else { unreachable!() };
        // What it says after this may be in the next layer: it goes on counting before the push is known to be over.
        let said = counts_on(&guest, 40).await;
        guest.push_layer(0, lab.overlay(above)).await.unwrap();
        frozen.push((*below, lab.digest(below), said));
    }
    let last = counts_on(&guest, 40).await;

    // While that guest runs, others read what was frozen, from outside: each layer was complete when its push returned.
    for (count, (_, _, said)) in frozen.iter().enumerate() {
        let scratch = format!("scratch{count}");
        drop(lab.overlay(&scratch));
        let layers: Vec<&str> = names[..=count].iter().copied().chain([scratch.as_str()]).collect();
        let other = lab.boot(&layers).await;
        let found = first(&other).await;
        assert!(found > *said && found < last, "{found} after {said}");
        counts_on(&other, 20).await;
        kill(other).await;
    }
    kill(guest).await;
    let again = lab.boot(&names).await;
    assert!(first(&again).await > last);
    counts_on(&again, 20).await;
    for (name, digest, _) in frozen {
        assert!(lab.digest(name) == digest, "{name} was written to after it was frozen");
    }
}

/// The mapping of a qcow2 layer is in QEMU's memory first; what the guest flushed is nevertheless in the file.
#[tokio::test]
async fn what_the_guest_flushed_survives_its_qemu() {
    let lab = Lab::new();
    drop(lab.overlay("one"));
    let guest = lab.boot(&["base", "one"]).await;
    let said = counts_on(&guest, 100).await;
    kill(guest).await;
    assert!(first(&lab.boot(&["base", "one"]).await).await > said);
}

#[tokio::test]
async fn a_state_of_a_raw_disk_is_restored_over_layers() {
    let lab = Lab::new();
    let mut original = lab.boot(&["base"]).await;
    counts_on(&original, 40).await;
    original.pause().await.unwrap();
    original.snapshot(&lab.files("template")).await.unwrap();
    let seen = *numbers(&original.console().bytes()).last().unwrap();
    kill(original).await;
    let digest = lab.digest("base");
    let names = ["one", "other"];
    names.iter().for_each(|name| drop(lab.overlay(name)));
    let one = lab.restore(&["base", "one"], &lab.files("template")).await;
    let other = lab.restore(&["base", "other"], &lab.files("template")).await;
    for guest in [&one, &other] {
        assert!(counts_on(guest, 50).await > seen + 40);
    }
    kill(one).await;
    kill(other).await;
    for name in names {
        assert!(first(&lab.boot(&["base", name]).await).await > seen + 40);
    }
    assert!(lab.digest("base") == digest);
}

/// A fork: the children have the memory of the moment and the disk of the moment, and so has the parent.
#[tokio::test]
async fn a_paused_guest_is_forked_with_its_disk() {
    let lab = Lab::new();
    drop(lab.overlay("one"));
    let mut parent = lab.boot(&["base", "one"]).await;
    counts_on(&parent, 40).await;
    parent.pause().await.unwrap();
    parent.resume().await.unwrap();
    let before = descriptors(&parent);
    for generation in ["two", "three"] {
        parent.pause().await.unwrap();
        parent.snapshot(&lab.files(generation)).await.unwrap();
        parent.push_layer(0, lab.overlay(generation)).await.unwrap();
        parent.resume().await.unwrap();
        counts_on(&parent, 20).await;
    }
    // Neither the layers nor the states keep more open than the files of the layers: what it started with, and two more.
    assert_eq!(descriptors(&parent), before + 2);
    let digests = ["base", "one", "two"].map(|name| lab.digest(name));
    for child in ["left", "right"] {
        drop(lab.overlay(child));
        let mut child_guest = lab.restore(&["base", "one", "two", child], &lab.files("three")).await;
        counts_on(&child_guest, 20).await;
        // Its own disk can grow as well, and be forked again.
        let above = format!("{child}2");
        child_guest.pause().await.unwrap();
        child_guest.snapshot(&lab.files(child)).await.unwrap();
        child_guest.push_layer(0, lab.overlay(&above)).await.unwrap();
        drop(lab.overlay("grandchild"));
        kill(child_guest).await;
        let grandchild = lab.restore(&["base", "one", "two", child, "grandchild"], &lab.files(child)).await;
        counts_on(&grandchild, 20).await;
        kill(grandchild).await;
        std::fs::remove_file(lab.path("grandchild")).unwrap();
    }
    counts_on(&parent, 20).await;
    assert!(digests == ["base", "one", "two"].map(|name| lab.digest(name)));
}

#[tokio::test]
async fn a_layer_that_cannot_be_pushed_leaves_the_disk_as_it_was() {
    let lab = Lab::new();
    let mut guest = lab.boot(&["base"]).await;
    counts_on(&guest, 10).await;
    let nodes = guest.block_nodes().await;
    assert!(matches!(guest.push_layer(1, lab.overlay("none")).await, Err(EngineError::Refused { .. })));
    let raw = File::options().read(true).write(true).open(lab.path("base")).unwrap();
    assert!(matches!(guest.push_layer(0, raw).await, Err(EngineError::Host { .. })));
    // This crate finds nothing wrong with its first bytes, but QEMU does: its mapping is not where it says.
    let damaged = lab.overlay("damaged");
    damaged.write_all_at(&[0xff; 8], 40).unwrap();
    let error = guest.push_layer(0, damaged).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    // Nor does it mind the size, but the guest would.
    let small = lab.overlay("small");
    small.write_all_at(&[0; 8], 24).unwrap();
    let error = guest.push_layer(0, small).await.unwrap_err();
    assert!(matches!(error, EngineError::Host { .. }), "{error}");
    let top = guest.mislead(0, "nowhere");
    let error = guest.push_layer(0, lab.overlay("unused")).await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    guest.mislead(0, &top);
    assert_eq!(guest.block_nodes().await, nodes);
    counts_on(&guest, 10).await;
    guest.push_layer(0, lab.overlay("good")).await.unwrap();
    // A layer that has one above it is no longer the last, whoever asks: the guest's writes are never diverted into it.
    guest.mislead(0, &top);
    let error = guest.push_layer(0, lab.overlay("between")).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    counts_on(&guest, 10).await;
}

#[tokio::test]
async fn a_disk_that_cannot_have_layers_is_refused() {
    let lab = Lab::new();
    let mut spec = lab.spec(&["base"]);
    spec.disks[0].read_only = true;
    let mut guest = start(&lab.engine, spec.clone()).await.unwrap();
    assert!(matches!(guest.push_layer(0, lab.overlay("one")).await, Err(EngineError::Refused { .. })));
    spec.disks[0].layers.extend(lab.spec(&["base"]).disks[0].layers.clone());
    let error = start(&lab.engine, spec.clone()).await.unwrap_err();
    assert!(error.source().is_some_and(|source| source.to_string().contains("hide")), "{error}");
    spec.disks[0].layers.clear();
    assert!(matches!(start(&lab.engine, spec).await, Err(EngineError::Host { .. })));
    File::options().write(true).open(lab.path("base")).unwrap().set_len(DISK_BYTES * 2).unwrap();
    let error = start(&lab.engine, lab.spec(&["base", "one"])).await.unwrap_err();
    assert!(error.source().is_some_and(|source| source.to_string().contains("below it")), "{error}");
}
