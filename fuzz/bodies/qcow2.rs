//! What must hold for any overlay: where each byte is, is told in runs that move on, are no longer than the disk and agree
//! with what is told of their last byte. It must not depend on a fuzzer: tests run it on the seeds.

use crate::disk::disk;
use pyro_image::disk::Place;
use pyro_image::disk::Qcow2;

/// A disk of terabytes may be told in runs of 2 KiB.
const STEPS_MAX: usize = 2000;

/// Reads the overlay that an input stands for.
pub(crate) fn body(input: &[u8]) {
    let Some(bytes) = disk(input) else { return };
    let Ok(overlay) = Qcow2::open(bytes) else { return };
    let size = overlay.size_bytes();
    let (mut offset, mut steps) = (0, 0);
    while offset < size && steps < STEPS_MAX {
        steps += 1;
        let Ok((place, run)) = overlay.locate(offset) else {
            // Another cluster may be good.
            offset += 64 << 10;
            continue;
        };
        assert!(run > 0 && run <= size - offset, "a run of {run} bytes at {offset} of {size}");
        let last = overlay.locate(offset + run - 1).map(|(place, _)| place);
        let expected = match place {
            Place::Data(at) => Place::Data(at + run - 1),
            other => other,
        };
        assert_eq!(last.ok(), Some(expected), "the end of a run is not like its beginning");
        offset += run;
    }
}
