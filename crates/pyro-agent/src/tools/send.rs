//! Writing a tree with content, walked or as listed by the host. This file must not follow a link below the root.

use super::beneath::Beneath;
use super::beneath::name;
use super::content;
use super::fault;
use super::fault::Fallible;
use super::listing::Listing;
use super::sink::Sink;
use super::source::Source;
use super::walk::Step;
use crate::refusal::refuse;
use pyro_proto::bytes::ByteString;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::ScanDone;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::FileType;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

/// Sends everything below the root.
pub(super) fn walk(
    root: &[u8],
    exclude: &[ByteString],
    bytes_max: u64,
    sink: &mut Sink,
) -> Fallible<ScanDone> {
    let mut send = Send::new(root, exclude, bytes_max, sink);
    while let Some(step) = send.listing.next(send.sink)? {
        if let Some(folder) = send.thing(&step)? {
            send.listing.enter(&step, &folder, send.sink)?;
        }
    }
    Ok(send.done)
}

/// Sends what the host lists.
pub(super) fn list(
    root: &[u8],
    exclude: &[ByteString],
    bytes_max: u64,
    source: &mut Source,
    sink: &mut Sink,
) -> Fallible<ScanDone> {
    let mut beneath = Beneath::open(root)?;
    let excluded = pyro_proto::glob::Globs::new(exclude);
    let mut send = Send::new(root, exclude, bytes_max, sink);
    while let Some(path) = next_path(source, send.sink)? {
        if path.is_in_stage() || excluded.matches(path.as_bytes()) {
            continue;
        }
        let step = match beneath.parent(&path) {
            _ if path.is_root() => Step::root(root),
            Ok(folder) => Step::inside(folder, name(&path), path.clone(), FileType::Unknown),
            // What is not there, or only by way of a link, is left out.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(beneath.fault("reaching", &path, errno)),
        };
        send.thing(&step)?;
    }
    Ok(send.done)
}

/// The next path of a list, which ends with the input or with `Done`. A host that waits for answers first gets them.
pub(super) fn next_path(source: &mut Source, sink: &mut Sink) -> Fallible<Option<TreePath>> {
    loop {
        match source.ready()? {
            Some(Record::Path(path)) => return Ok(Some(path)),
            Some(Record::Done(_)) => return Ok(None),
            Some(_) => return Err(refuse(ErrorCode::BadRequest, "a list holds something else than paths")),
            None => {
                sink.flush()?;
                if !source.fill()? {
                    return Ok(None);
                }
            }
        }
    }
}

struct Send<'a> {
    listing: Listing,
    sink: &'a mut Sink,
    done: ScanDone,
    root: Vec<u8>,
    left: u64,
    bytes_max: u64,
}

impl<'a> Send<'a> {
    fn new(root: &[u8], exclude: &[ByteString], bytes_max: u64, sink: &'a mut Sink) -> Self {
        let listing = Listing::new(root, exclude);
        Self { listing, sink, done: ScanDone::default(), root: root.to_vec(), left: bytes_max, bytes_max }
    }

    /// Sends one thing; if it is a folder, returns what it is so that it may be entered.
    fn thing(&mut self, step: &Step) -> Fallible<Option<Stat>> {
        if step.kind == FileType::RegularFile {
            return self.file(step).map(|()| None);
        }
        let stat = match step.look() {
            Ok(stat) => stat,
            Err(errno) => return self.missed(step, "looking at", errno),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(step).map(|()| None),
            FileType::Directory => {
                self.entry(step, &stat)?;
                Ok(Some(stat))
            }
            FileType::Symlink => self.entry(step, &stat).map(|_| None),
            _ => {
                self.sink.warn(format!("'{}' is a socket, FIFO or device, and was left out", step.path))?;
                Ok(None)
            }
        }
    }

    fn file(&mut self, step: &Step) -> Fallible<()> {
        let opened = step.open(OFlags::empty()).and_then(|file| {
            let stat = rustix::fs::fstat(&file)?;
            Ok((file, stat))
        });
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => return self.missed(step, "opening", errno).map(drop),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return self.sink.warn(format!("'{}' became something else meanwhile", step.path));
        }
        if self.entry(step, &stat)? != Some(EntryKind::File) {
            return Ok(());
        }
        let sent = content::send(&file, &stat, self.left.saturating_add(1), self.sink)?;
        if sent.bytes > self.left {
            let text = format!(
                "'{}' holds more than the {} bytes allowed",
                String::from_utf8_lossy(&self.root),
                self.bytes_max
            );
            return Err(refuse(ErrorCode::TooLarge, text));
        }
        self.left -= sent.bytes;
        self.sink.record(&Record::End)?;
        match sent.stopped {
            None => Ok(()),
            Some(None) => self.sink.warn(format!("'{}' shrank while it was read", step.path)),
            Some(Some(errno)) => self.sink.warn(fault::at("reading", step.path.as_bytes(), errno).message),
        }
    }

    /// Writes an entry; what kind it was, unless it was gone.
    fn entry(&mut self, step: &Step, stat: &Stat) -> Fallible<Option<EntryKind>> {
        let entry = match self.listing.entry(step, stat) {
            Ok(entry) => entry,
            Err(errno) => {
                self.missed(step, "looking at", errno)?;
                return Ok(None);
            }
        };
        let kind = entry.kind;
        self.done.entries += 1;
        self.done.bytes += if kind == EntryKind::File { entry.size_bytes } else { 0 };
        self.sink.record(&Record::Entry(entry))?;
        Ok(Some(kind))
    }

    fn missed(&mut self, step: &Step, doing: &str, errno: Errno) -> Fallible<Option<Stat>> {
        self.listing.missed(step, doing, errno, self.sink)?;
        Ok(None)
    }
}
