//! Listing a tree without content. This file must not open files.

use super::fault::Fallible;
use super::listing::Listing;
use super::sink::Sink;
use pyro_proto::bytes::ByteString;
use pyro_proto::tool::ScanDone;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;

pub(super) fn run(
    root: &[u8],
    exclude: &[ByteString],
    depth_max: Option<u32>,
    entries_max: u64,
    sink: &mut Sink,
) -> Fallible<ScanDone> {
    let depth_max = depth_max.map_or(usize::MAX, |depth| usize::try_from(depth).unwrap_or(usize::MAX));
    let mut listing = Listing::new(root, exclude);
    let mut done = ScanDone::default();
    while let Some(step) = listing.next(sink)? {
        if done.entries >= entries_max {
            done.truncated = true;
            break;
        }
        let looked = step.look().and_then(|stat| listing.entry(&step, &stat).map(|entry| (stat, entry)));
        let (stat, entry) = match looked {
            Ok(found) => found,
            Err(errno) => {
                listing.missed(&step, "looking at", errno, sink)?;
                continue;
            }
        };
        let kind = entry.kind;
        done.entries += 1;
        done.bytes += if kind == EntryKind::File { entry.size_bytes } else { 0 };
        sink.record(&Record::Entry(entry))?;
        if kind == EntryKind::Directory && step.path.components().count() < depth_max {
            listing.enter(&step, &stat, sink)?;
        }
    }
    Ok(done)
}
