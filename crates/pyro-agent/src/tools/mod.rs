//! What a tool does, in a process of its own that is a fork of the agent: it reads records from its standard input and writes
//! records to its standard output, the last of which says how it went. It holds no descriptor of the agent's, may be killed
//! at any moment, and its memory does not grow with the trees it handles.
//!
//! ```text
//!   source (stdin) ---> one tool ---> sink (stdout)
//!                          |
//!            beneath: no path leaves its root, no link is followed
//! ```
//!
//! The agent's own loop must never enter here.

mod attributes;
mod beneath;
mod content;
mod fault;
mod hash;
mod listing;
mod receive;
mod remove;
mod scan;
mod search;
mod send;
mod single;
mod sink;
mod source;
mod walk;
mod write;

use crate::place::Kind;
use fault::Fallible;
use pyro_proto::message::WireError;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Record;
use serde::Serialize;
use sink::Sink;
use source::Source;

/// Exit codes of a tool: the last record says more.
const EXIT_DONE: i32 = 0;
const EXIT_FAILED: i32 = 1;

/// What people call a tool.
pub(crate) const fn name(tool: &Tool) -> &'static str {
    match tool {
        Tool::Scan { .. } => "scan",
        Tool::Hash { .. } => "hash",
        Tool::Receive { .. } => "receive",
        Tool::Send { .. } => "send",
        Tool::Read { .. } => "read",
        Tool::Write { .. } => "write",
        Tool::Stat { .. } => "stat",
        Tool::Move { .. } => "move",
        Tool::Delete { .. } => "delete",
        Tool::MakeDirectory { .. } => "make_directory",
        Tool::RemoveDirectory { .. } => "remove_directory",
        Tool::MakeLink { .. } => "make_link",
        Tool::Change { .. } => "change",
        Tool::Search { .. } => "search",
        Tool::Sync => "sync",
        Tool::Recover => "recover",
    }
}

/// Does a tool's work from the first record to the last; the exit code. To be called in a child only.
pub(crate) fn run(tool: &Tool, kind: Kind) -> i32 {
    let mut sink = Sink::new();
    let (last, code) = match work(tool, kind, &mut sink) {
        Ok(done) => (Record::Done(done), EXIT_DONE),
        Err(error) => (Record::Failed(serde_json::to_vec(&error).unwrap_or_default()), EXIT_FAILED),
    };
    // A host that is gone does not need to know.
    match sink.record(&last).and_then(|()| sink.flush()) {
        Ok(()) => code,
        Err(_) => EXIT_FAILED,
    }
}

fn work(tool: &Tool, kind: Kind, sink: &mut Sink) -> Fallible<Vec<u8>> {
    match tool {
        Tool::Scan { root, exclude, depth_max, entries_max } => {
            document(&scan::run(&root.0, exclude, *depth_max, *entries_max, sink)?)
        }
        Tool::Send { root, exclude, listed: false, bytes_max } => {
            document(&send::walk(&root.0, exclude, *bytes_max, sink)?)
        }
        Tool::Send { root, exclude, listed: true, bytes_max } => {
            document(&send::list(&root.0, exclude, *bytes_max, &mut Source::new(), sink)?)
        }
        Tool::Receive { root, staged, report } => {
            let guest = kind == Kind::Guest;
            let rules = receive::Rules { report: *report, guest };
            document(&receive::run(&root.0, *staged, rules, &mut Source::new(), sink)?)
        }
        Tool::Hash { root } => nothing(hash::run(&root.0, &mut Source::new(), sink)),
        Tool::Read { path, offset, length } => document(&single::read(&path.0, *offset, *length, sink)?),
        Tool::Write { path, mode, make_parents, create_new } => {
            let how = write::How { mode: *mode, make_parents: *make_parents, create_new: *create_new };
            document(&write::run(&path.0, how, &mut Source::new())?)
        }
        Tool::Stat { path } => nothing(single::stat(&path.0, sink)),
        Tool::Move { from, to, replace } => nothing(single::rename(&from.0, &to.0, *replace)),
        Tool::Delete { path, recursive } => nothing(single::delete(&path.0, *recursive)),
        Tool::MakeDirectory { path, mode } => nothing(attributes::make_directory(&path.0, *mode)),
        Tool::RemoveDirectory { path } => nothing(attributes::remove_directory(&path.0)),
        Tool::MakeLink { path, target } => nothing(attributes::make_link(&path.0, &target.0)),
        Tool::Change { path, mode, uid, gid, mtime_s } => {
            let change = attributes::Change { mode: *mode, uid: *uid, gid: *gid, mtime_s: *mtime_s };
            nothing(attributes::change(&path.0, change))
        }
        Tool::Search { root, pattern, fixed, ignore_case, include, exclude, matches_max } => {
            let pattern = search::Pattern::new(pattern, *fixed, *ignore_case)?;
            let scope = search::Scope { include, exclude, matches_max: *matches_max };
            document(&search::run(&root.0, &pattern, &scope, sink)?)
        }
        Tool::Sync => nothing(single::sync()),
        Tool::Recover => {
            let is_guest = kind == Kind::Guest;
            nothing(if is_guest { receive::recover() } else { Ok(()) })
        }
    }
}

/// The document of a tool that has nothing to say but that it is done.
fn nothing(done: Fallible<()>) -> Fallible<Vec<u8>> {
    done.map(|()| b"{}".to_vec())
}

fn document<T: Serialize>(done: &T) -> Result<Vec<u8>, WireError> {
    serde_json::to_vec(done).map_err(|error| fault::malformed("writing what was done", &error))
}
