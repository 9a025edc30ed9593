//! Disks with bytes that were changed at random: reading them may fail, and must end and not panic.

use crate::support::BASE;
use crate::support::RW;
use crate::support::debugfs;
use crate::support::mkfs;
use pyro_image::disk::Ext4;
use pyro_image::disk::MergedError;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::Qcow2;
use pyro_image::disk::ReadAt;
use pyro_image::disk::create_overlay;
use pyro_image::disk::merged::Piece;
use pyro_image::disk::merged::Visit;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A disk with some of its bytes replaced.
struct Changed {
    disk: Arc<Vec<u8>>,
    bytes: Vec<(u64, u8)>,
}

impl ReadAt for Changed {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_exact_at(buffer, offset)?;
        for (at, byte) in &self.bytes {
            if let Some(there) =
                at.checked_sub(offset).and_then(|at| buffer.get_mut(usize::try_from(at).unwrap()))
            {
                *there = *byte;
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.disk.size_bytes()
    }
}

/// The same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// Where there is something, and a byte that is often an extreme one.
    fn change(&mut self, places: &[u64]) -> (u64, u8) {
        let byte = [0, 1, 0x7f, 0x80, 0xff, self.below(256) as u8][self.below(6)];
        (places[self.below(places.len())], byte)
    }
}

/// Reads everything, up to a bound: a file of holes may be of any size.
fn read_all(fs: Ext4) -> Result<(), MergedError> {
    let fs = Arc::new(fs);
    let mut left = 3000;
    let mut visit = |root: &MergedRoot| {
        root.walk::<MergedError>(&root.root()?, |_, content| {
            let mut buffer = [0; 4096];
            if let Some(mut content) = content {
                while left > 0 && content.next_piece(&mut buffer)? != Piece::End {
                    left -= 1;
                }
            }
            left -= 1;
            Ok(if left > 0 { Visit::Continue } else { Visit::Stop })
        })
    };
    visit(&MergedRoot::of_base(fs.clone()))?;
    visit(&MergedRoot::new(fs.clone(), fs)?)
}

/// An image with everything in it that there is code for.
fn image(options: &[&str], journal: bool) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = (dir.path().join("tree"), dir.path().join("image"));
    std::fs::create_dir_all(tree.join("upper/folder")).unwrap();
    std::fs::write(tree.join("upper/folder/file"), vec![5; 9000]).unwrap();
    std::os::unix::fs::symlink("x".repeat(100), tree.join("upper/link")).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    for index in 0..30_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", index * 8192).unwrap();
    }
    mkfs(&path, Some(&tree), options, if journal { 8 } else { 1 });
    let content = dir.path().join("content");
    std::fs::write(&content, [b'j'; 8192]).unwrap();
    let write = format!("jw -b 100,101 {}", content.display());
    let mut commands = vec!["ea_set upper/folder trusted.overlay.opaque y"];
    if journal {
        commands.extend(["jo -c -v 3", &write, "jw -r 100", "jc"]);
    }
    debugfs(&path, &commands);
    std::fs::read(path).unwrap()
}

/// Where an inode of an image with one group and blocks of 4 KiB is.
fn inode_at(image: &[u8], number: u32) -> usize {
    let table = u32::from_le_bytes(image[4096 + 8..][..4].try_into().unwrap());
    table as usize * 4096 + (number as usize - 1) * 256
}

/// An image with a file or folder `first`, and others that claim its size and the blocks that it has.
fn shared(make: impl Fn(&std::path::Path), others: usize, folders: bool) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = (dir.path().join("tree"), dir.path().join("image"));
    std::fs::create_dir(&tree).unwrap();
    make(&tree.join("first"));
    for n in 0..others {
        let other = tree.join(format!("other{n}"));
        if folders { std::fs::create_dir(other).unwrap() } else { drop(File::create(other).unwrap()) }
    }
    mkfs(&path, Some(&tree), BASE, 16);
    let fs = crate::support::open(&path);
    let mut image = std::fs::read(path).unwrap();
    let all = fs.list(&fs.root().unwrap()).unwrap();
    let number = |name: &str| all.iter().find(|entry| entry.name == name.as_bytes()).unwrap().inode;
    let first = inode_at(&image, number("first"));
    for n in 0..others {
        let other = inode_at(&image, number(&format!("other{n}")));
        // The size; the flags, which say that there are extents; and the extents.
        for part in [0x4..0x8, 0x20..0x24, 0x28..0x64] {
            image.copy_within(first + part.start..first + part.end, other + part.start);
        }
    }
    image
}

fn walked(image: Vec<u8>) -> Result<(), MergedError> {
    let root = MergedRoot::of_base(Arc::new(Ext4::open(Box::new(image)).unwrap()));
    root.walk::<MergedError>(&root.root()?, |_, content| {
        let mut buffer = [0; 4096];
        if let Some(mut content) = content {
            while content.next_piece(&mut buffer)? != Piece::End {}
        }
        Ok(Visit::Continue)
    })
}

#[test]
fn folders_that_share_what_is_in_them_end() {
    let make = |folder: &std::path::Path| {
        std::fs::create_dir(folder).unwrap();
        for n in 0..1000 {
            std::os::unix::fs::symlink("nowhere", folder.join(format!("{n}{}", "x".repeat(200)))).unwrap();
        }
    };
    walked(shared(make, 3, true)).unwrap();
    let error = walked(shared(make, 100, true)).unwrap_err();
    assert!(matches!(error, MergedError::TooMuch { .. }), "{error}");
}

#[test]
fn files_that_share_their_holes_end() {
    let make = |file: &std::path::Path| {
        let sparse = File::create(file).unwrap();
        for index in 0..600_u64 {
            std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", index * 8192).unwrap();
        }
    };
    walked(shared(make, 3, false)).unwrap();
    let error = walked(shared(make, 300, false)).unwrap_err();
    assert!(matches!(error, MergedError::TooMuch { .. }), "{error}");
}

#[test]
fn a_folder_of_one_block_many_times_is_found_out_by_whoever_looks() {
    let mut image = shared(|folder| std::fs::create_dir(folder).unwrap(), 0, true);
    let fs = Ext4::open(Box::new(image.clone())).unwrap();
    let number = fs.find(&fs.root().unwrap(), b"first").unwrap().unwrap();
    let at = inode_at(&image, number);
    let extent = image[at + 0x28 + 12..][..12].to_vec();
    for n in 1..4_u8 {
        let there = at + 0x28 + 12 * (usize::from(n) + 1);
        image[there..there + 12].copy_from_slice(&extent);
        image[there] = n;
    }
    image[at + 0x28 + 2] = 4;
    image[at + 4..at + 8].copy_from_slice(&(4 * 4096_u32).to_le_bytes());
    let fs = Ext4::open(Box::new(image)).unwrap();
    let folder = fs.inode(number).unwrap();
    for error in [fs.find(&folder, b"nothing").unwrap_err(), fs.list(&folder).unwrap_err()] {
        assert!(error.to_string().ends_with("a folder has a block twice"), "{error}");
    }
}

fn hammer(disk: Vec<u8>, rounds: usize, read: fn(Changed) -> bool) {
    let places: Vec<u64> =
        disk.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at as u64).collect();
    let near: Vec<u64> = places.iter().flat_map(|at| [*at, at ^ 1, at ^ 2]).collect();
    let (disk, mut numbers, mut readable) = (Arc::new(disk), Numbers(7), 0);
    for _ in 0..rounds {
        let bytes = (0..=numbers.below(4)).map(|_| numbers.change(&near)).collect();
        readable += usize::from(read(Changed { disk: Arc::clone(&disk), bytes }));
    }
    assert!(readable > 0, "none of the disks could be read");
}

#[test]
fn file_systems() {
    let read = |disk: Changed| Ext4::open(Box::new(disk)).is_ok_and(|fs| read_all(fs).is_ok());
    hammer(image(&[BASE, &["-b", "1024"]].concat(), false), 1000, read);
    hammer(image(&[RW, &["-b", "1024", "-J", "size=1"]].concat(), true), 700, read);
}

#[test]
fn overlays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    create_overlay(&File::create_new(&path).unwrap(), 1 << 30).unwrap();
    for command in ["write -P 0 70000 100000", "write -z 600M 1M", "write -P 0 1000M 3k"] {
        crate::support::run("qemu-io", &["-c".as_ref(), command.as_ref(), path.as_os_str()]);
    }
    // The content is zeros, so that only structures are changed.
    hammer(std::fs::read(path).unwrap(), 2000, |disk| {
        Qcow2::open(disk).is_ok_and(|overlay| {
            let (mut offset, mut left) = (0, 3000);
            while offset < overlay.size_bytes() && left > 0 {
                let Ok((_, run)) = overlay.locate(offset) else { return false };
                assert!(run > 0);
                (offset, left) = (offset + run, left - 1);
            }
            true
        })
    });
}
