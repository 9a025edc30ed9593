//! What must hold for any disk: reading all of it, as an environment and as a workspace, ends and does not panic, a walk
//! meets nothing twice, and what a walk tells is found again by its path. It must not depend on a fuzzer: tests run it on the
//! seeds.

use crate::disk::disk;
use pyro_image::disk::Ext4;
use pyro_image::disk::MergedError;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::compare;
use pyro_image::disk::merged::Piece;
use pyro_image::disk::merged::Visit;
use pyro_image::disk::system_changes;
use std::collections::HashSet;
use std::sync::Arc;

/// A few hundred bytes can stand for millions of holes.
const STEPS_MAX: usize = 2000;

/// Reads the disk that an input stands for.
pub(crate) fn body(input: &[u8]) {
    let Some(bytes) = disk(input) else { return };
    let Ok(fs) = Ext4::open(Box::new(bytes)).map(Arc::new) else { return };
    read(&MergedRoot::of_base(Arc::clone(&fs)));
    let Ok(root) = MergedRoot::new(Arc::clone(&fs), fs) else { return };
    read(&root);
    let _ = system_changes(&root);
    if let Ok(changes) = compare(&root, &root, b"/") {
        assert!(changes.is_empty(), "a disk differs from itself");
    }
}

fn read(root: &MergedRoot) {
    let Ok(start) = root.root() else { return };
    let (mut seen, mut steps) = (HashSet::new(), 0);
    let mut buffer = [0; 4096];
    let _ = root.walk::<MergedError>(&start, |entry, content| {
        steps += 1;
        let path = [b"/", entry.path.as_bytes()].concat();
        let node = root.lookup(&path, false)?;
        assert_eq!(u64::from(node.metadata().number), entry.inode, "a path leads elsewhere");
        assert!(seen.insert(path), "a walk met something twice");
        if let Some(mut content) = content {
            while steps < STEPS_MAX && content.next_piece(&mut buffer)? != Piece::End {
                steps += 1;
            }
        }
        Ok(if steps < STEPS_MAX { Visit::Continue } else { Visit::Stop })
    });
}
