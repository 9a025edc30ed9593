//! A tree on its way out of the guest: taken record by record, made into files on a thread. What a guest sends is hostile;
//! whoever makes files of it checks it. This file must not know what becomes of it.

use super::Moved;
use super::outgoing::SourceError;
use crate::secret::Needles;
use crate::secret::Redactor;
use crate::workspace::error::WorkspaceError;
use pyro_proto::tree::Record;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Records that are taken ahead of the thread.
const RECORDS_AHEAD: usize = 64;

/// Where records come from: the guest, or a disk that is read on the host.
pub(in crate::workspace) trait Records: Send {
    /// The next one; the last is [`Record::Done`].
    fn next(&mut self) -> impl Future<Output = Result<Option<Record>, WorkspaceError>> + Send;
}

/// Takes secrets out of the contents of files, which stay as long as they are.
struct Mask(Redactor);

impl Mask {
    fn pass(&mut self, record: Record) -> impl Iterator<Item = Record> + use<> {
        let (data, record) = match record {
            Record::Data(bytes) => (self.0.push(&bytes), None),
            // A secret does not go on in the next file, nor behind a hole.
            other => (self.0.end(), Some(other)),
        };
        (!data.is_empty()).then_some(Record::Data(data)).into_iter().chain(record)
    }
}

/// Passes records, without what nobody may see, to `make`, which is done on a thread, and waits for what comes of them.
pub(super) async fn receive_tree<R: Send + 'static>(
    records: &mut impl Records,
    needles: Arc<Needles>,
    make: impl FnOnce(&mut dyn FnMut() -> Option<Record>) -> Result<R, SourceError> + Send + 'static,
    moved: Moved<'_>,
) -> Result<R, WorkspaceError> {
    let (sender, mut queue) = mpsc::channel::<Record>(RECORDS_AHEAD);
    let making = tokio::task::spawn_blocking(move || make(&mut || queue.blocking_recv()));
    let (mut bytes, mut failed) = (0, None);
    let mut mask = Mask(Redactor::masking(needles));
    'all: loop {
        match records.next().await {
            Ok(Some(record)) => {
                if let Record::Data(data) = &record {
                    bytes += data.len() as u64;
                    moved(bytes);
                }
                for record in mask.pass(record) {
                    if sender.send(record).await.is_err() {
                        // It has ended, and says why.
                        break 'all;
                    }
                }
            }
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let made = making.await;
    if let Some(error) = failed {
        return Err(error);
    }
    let broke =
        |error| WorkspaceError::Caller { operation: "writing the files", source: io::Error::other(error) };
    made.map_err(broke)?.map_err(WorkspaceError::Source)
}
