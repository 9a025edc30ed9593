//! A folder from guest to guest. What the one sends is as hostile to the other as to the host: the codec checks it, and the
//! other guest's agent stays beneath its root. This file must not write files.

use super::Moved;
use super::check_kinds;
use super::export::FromGuest;
use super::incoming::receive_tree;
use super::outgoing::Destination;
use super::outgoing::SourceError;
use super::seed::boxed;
use crate::tree;
use crate::tree::Encoder;
use crate::tree::Warnings;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::GuestPath;
use crate::workspace::handle::Workspace;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Record;
use std::sync::Arc;
use std::sync::mpsc;

/// Records between the one thread and the other.
const RECORDS_AHEAD: usize = 64;

/// What went over.
pub(in crate::workspace) struct Across {
    pub(in crate::workspace) entries: u64,
    pub(in crate::workspace) bytes: u64,
    pub(in crate::workspace) warnings: Vec<String>,
}

impl Workspace {
    /// Sends a folder of this guest to one of another, where it is put in place whole or not at all.
    pub(in crate::workspace) async fn send_across(
        &self,
        from: &GuestPath,
        to: &Self,
        path: &GuestPath,
        moved: Moved<'_>,
    ) -> Result<Across, WorkspaceError> {
        let (source, there) = (self.scan(from.as_bytes()).await?, to.scan(path.as_bytes()).await?);
        check_kinds(&source, &there)?;
        let activity = Some(format!("export {from}"));
        let send =
            Tool::Send { root: from.to_wire(), exclude: Vec::new(), listed: false, bytes_max: u64::MAX };
        let mut records = FromGuest::new(self.tool(send, false, activity).await?);
        let needles = Arc::new(self.needles().await?);
        let (queue, taken) = mpsc::sync_channel(RECORDS_AHEAD);
        let pass = move |next: &mut dyn FnMut() -> Option<Record>| {
            let mut warnings = Warnings::default();
            while let Some(record) = next() {
                match record {
                    Record::Warning(text) => warnings.add(text),
                    // Whoever takes no more says why on its own side.
                    record => {
                        if queue.send(record).is_err() {
                            break;
                        }
                    }
                }
            }
            Ok(warnings)
        };
        let destination = Destination {
            root: path.as_bytes().to_vec(),
            staged: true,
            activity: format!("copy {}:{from}", self.id()),
        };
        let receive = receive_tree(&mut records, needles, pass, moved);
        let mut silent = |_| {};
        let send = to.send_tree(destination, move |encoder| encode(&taken, encoder), &mut silent, None);
        let (passed, sent) = tokio::join!(receive, send);
        // Why the one guest sent no more is the better reason.
        let (warnings, (_, done)) = (passed?, sent?);
        Ok(Across { entries: done.entries, bytes: done.bytes, warnings: warnings.list().to_vec() })
    }
}

/// Encodes what comes. Without its last record it is not whole, and must not be put in place.
fn encode(taken: &mpsc::Receiver<Record>, encoder: &mut Encoder<'_>) -> Result<(), SourceError> {
    while let Ok(record) = taken.recv() {
        if matches!(record, Record::Done(_)) {
            return Ok(());
        }
        encoder.record(&record).map_err(|stop| boxed(tree::SendError::from(stop)))?;
    }
    Err(boxed(tree::ExtractError::Cut))
}
