//! What became of the files that were received, told to a host that wants to know. This file must not change anything.

use super::super::fault::Fallible;
use super::super::listing::describe;
use super::super::sink::Sink;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::Stat;
use rustix::io::Errno;

/// Where it is told, if anybody wants to know.
#[derive(Debug)]
pub(super) struct Report<'s>(Option<&'s mut Sink>);

impl<'s> Report<'s> {
    pub(super) fn new(sink: &'s mut Sink, wanted: bool) -> Self {
        Self(wanted.then_some(sink))
    }

    /// Tells how a regular file lies there; nobody looks if nobody wants to know.
    pub(super) fn tell(
        &mut self,
        path: &TreePath,
        look: impl FnOnce() -> Result<Stat, Errno>,
    ) -> Fallible<()> {
        let Some(sink) = &mut self.0 else { return Ok(()) };
        // What somebody else has taken away meanwhile is not there to be told of.
        let Ok(stat) = look() else { return Ok(()) };
        let entry = describe(path.clone(), &stat);
        if entry.kind == EntryKind::File { sink.record(&Record::Entry(entry)) } else { Ok(()) }
    }
}
