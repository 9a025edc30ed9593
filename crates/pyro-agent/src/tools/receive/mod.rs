//! Making a tree so as the host says, in place or all at once. This file takes the records apart and checks their order; it
//! must not touch the tree.
//!
//! ```text
//!   Entry(file) (Data | Hole)* End     other Entry     Delete     Expect     Prune     ...     Done     --> whole
//!   anything else, or an end without Done                                          --> nothing happened (staged)
//! ```

mod attributes;
mod direct;
mod expect;
mod file;
mod home;
mod plan;
mod report;
mod stage;
mod staged;
mod step;
mod undo;

use super::beneath::Beneath;
use super::fault;
use super::fault::Fallible;
use super::sink::Sink;
use super::source::Source;
use super::source::cut_short;
use crate::refusal::refuse;
use direct::Direct;
use file::NewFile;
use home::Home;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use report::Report;
use staged::Staged;

/// How a receive goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Tell how the files lie there in the end.
    pub(super) report: bool,
    /// The system is a guest's own.
    pub(super) guest: bool,
}

/// Where things go: straight into the tree, or beside it first.
trait Target {
    /// Makes a folder, or takes one that is there.
    fn folder(&mut self, entry: Entry) -> Fallible<()>;
    /// Begins a file; it is written where this says.
    fn begin(&mut self, entry: Entry) -> Fallible<NewFile>;
    /// Ends a file that was written.
    fn end(&mut self, file: NewFile) -> Fallible<()>;
    /// Makes a symbolic link.
    fn link(&mut self, entry: Entry) -> Fallible<()>;
    /// Gives a file another name.
    fn hard_link(&mut self, entry: Entry) -> Fallible<()>;
    /// Removes whatever is there.
    fn delete(&mut self, path: TreePath) -> Fallible<()>;
    /// Goes on only if something is as the entry says when everything before it is in place.
    fn expect(&mut self, entry: Entry) -> Fallible<()>;
    /// Removes a folder if nothing is in it when everything before it is in place.
    fn prune(&mut self, path: TreePath) -> Fallible<()>;
    /// Everything came: makes it last.
    fn finish(self: Box<Self>) -> Fallible<ReceiveDone>;
}

pub(super) fn run(
    root: &[u8],
    staged: bool,
    rules: Rules,
    source: &mut Source,
    sink: &mut Sink,
) -> Fallible<ReceiveDone> {
    make_root(root)?;
    let beneath = Beneath::open(root)?;
    let home = Home::of(&beneath, rules.guest);
    let alone = home.alone().map_err(|errno| fault::at("waiting for other receives into", root, errno))?;
    // What cannot be put right stays, and must not keep everybody else from going on.
    let _ = stage::clear_stale(&home, &alone);
    drop(alone);
    let report = Report::new(sink, rules.report);
    let mut target: Box<dyn Target + '_> = if staged {
        Box::new(Staged::new(beneath, home, report)?)
    } else {
        Box::new(Direct::new(beneath, report))
    };
    while let Some(record) = source.next()? {
        match record {
            Record::Entry(entry) => take_entry(entry, &mut *target, source)?,
            Record::Delete(path) => {
                check_path(&path)?;
                target.delete(path)?;
            }
            Record::Prune(path) => {
                check_path(&path)?;
                target.prune(path)?;
            }
            Record::Expect(entry) => target.expect(entry)?,
            Record::Done(_) => return target.finish(),
            _ => return Err(refuse(ErrorCode::BadRequest, "content came without a file that it belongs to")),
        }
    }
    Err(cut_short())
}

/// Puts right what receives that were killed left behind in a guest, wherever they were into.
pub(super) fn recover() -> Fallible<()> {
    let mut failed = None;
    for mount in crate::init::own_mounts() {
        // Where there is no such folder nothing was left.
        let Ok(beneath) = Beneath::open(mount.as_bytes()) else { continue };
        let home = Home::of(&beneath, true);
        let alone =
            home.alone().map_err(|errno| fault::at("waiting for receives into", mount.as_bytes(), errno));
        if let Err(error) = alone.and_then(|alone| stage::clear_stale(&home, &alone)) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

fn take_entry(entry: Entry, target: &mut dyn Target, source: &mut Source) -> Fallible<()> {
    if !entry.path.is_root() || entry.kind != EntryKind::Directory {
        check_path(&entry.path)?;
    }
    match entry.kind {
        EntryKind::Directory => target.folder(entry),
        EntryKind::Symlink => target.link(entry),
        EntryKind::HardLink => target.hard_link(entry),
        EntryKind::Special => {
            let text = format!("'{}' is a socket, FIFO or device, which is not received", entry.path);
            Err(refuse(ErrorCode::BadRequest, text))
        }
        EntryKind::File => {
            let mut file = target.begin(entry)?;
            take_content(&mut file, source)?;
            target.end(file)
        }
    }
}

fn take_content(file: &mut NewFile, source: &mut Source) -> Fallible<()> {
    loop {
        match source.next()? {
            Some(Record::Data(bytes)) => file.write(&bytes)?,
            Some(Record::Hole(bytes)) => file.skip(bytes)?,
            Some(Record::End) => return Ok(()),
            Some(_) => {
                let text = format!("the content of '{}' ends without saying so", file.path());
                return Err(refuse(ErrorCode::BadRequest, text));
            }
            None => return Err(cut_short()),
        }
    }
}

/// The root itself is neither replaced nor removed, and nobody writes into the folders that receives use.
fn check_path(path: &TreePath) -> Result<(), WireError> {
    if path.is_root() {
        return Err(refuse(ErrorCode::BadRequest, "the root of a tree can only be a folder, and stays"));
    }
    if path.is_in_stage() {
        return Err(refuse(
            ErrorCode::BadRequest,
            format!("'{path}' is a name that receives use themselves"),
        ));
    }
    Ok(())
}

/// Makes the root's folder and those above it, as far as they are missing.
fn make_root(root: &[u8]) -> Fallible<()> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::DirBuilderExt as _;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(root));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| {
        match rustix::io::Errno::from_io_error(&error) {
            // Something that is no folder is where one is needed.
            None | Some(rustix::io::Errno::EXIST) => fault::at("making", root, rustix::io::Errno::NOTDIR),
            Some(errno) => fault::at("making", root, errno),
        }
    })
}
