//! A tree on a disk as the records that a guest's tool would send of it, read on a thread. This file must not know what
//! becomes of them.

use super::error::FilesError;
use super::list::absolute;
use super::view::Environment;
use crate::tree::Rules;
use crate::workspace::error::WorkspaceError;
use crate::workspace::transfer::Records;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::merged::ContentReader;
use pyro_image::disk::merged::Piece;
use pyro_image::disk::merged::Visit;
use pyro_proto::tool::ScanDone;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Records that are read ahead of whoever takes them.
const RECORDS_AHEAD: usize = 64;

/// Records of a disk.
pub(in crate::workspace) struct FromDisk {
    queue: mpsc::Receiver<Record>,
    reading: Option<JoinHandle<Result<(), FilesError>>>,
}

/// What to read.
pub(in crate::workspace) struct Wanted {
    pub(in crate::workspace) path: Vec<u8>,
    pub(in crate::workspace) exclude: Vec<String>,
    pub(in crate::workspace) bytes_max: u64,
    /// Where a link leads, if the path is one.
    pub(in crate::workspace) follow: bool,
}

impl FromDisk {
    /// Begins reading. `keep` lives until all was read.
    pub(super) fn new(
        root: MergedRoot,
        environment: Environment,
        wanted: Wanted,
        keep: impl Send + 'static,
    ) -> Self {
        let (sender, queue) = mpsc::channel(RECORDS_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let done = read(&root, &wanted, &sender);
            drop((environment, keep));
            done
        });
        Self { queue, reading: Some(reading) }
    }
}

impl Records for FromDisk {
    async fn next(&mut self) -> Result<Option<Record>, WorkspaceError> {
        if let Some(record) = self.queue.recv().await {
            return Ok(Some(record));
        }
        let Some(reading) = self.reading.take() else { return Ok(None) };
        let broke = |error| WorkspaceError::Caller {
            operation: "reading the disk",
            source: std::io::Error::other(error),
        };
        reading.await.map_err(broke)??;
        Ok(None)
    }
}

/// Whoever takes the records has gone, and says why.
struct Gone;

enum Fault {
    Gone,
    Files(FilesError),
}

impl From<Gone> for Fault {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<pyro_image::disk::MergedError> for Fault {
    fn from(error: pyro_image::disk::MergedError) -> Self {
        Self::Files(error.into())
    }
}

struct Reader<'a> {
    sender: &'a mpsc::Sender<Record>,
    rules: Rules,
    done: ScanDone,
    left: u64,
}

fn read(root: &MergedRoot, wanted: &Wanted, sender: &mpsc::Sender<Record>) -> Result<(), FilesError> {
    let rules = Rules::new(&wanted.exclude)
        .map_err(|(pattern, error)| FilesError::Pattern { pattern, reason: error.kind().to_string() })?;
    let node = root.lookup(&absolute(&wanted.path), wanted.follow)?;
    let mut reader = Reader { sender, rules, done: ScanDone::default(), left: wanted.bytes_max };
    match root.walk(&node, |entry, content| reader.visit(entry, content)) {
        Ok(()) => {
            let done = serde_json::to_vec(&reader.done).unwrap_or_default();
            let _ = reader.send(Record::Done(done));
            Ok(())
        }
        Err(Fault::Gone) => Ok(()),
        Err(Fault::Files(error)) => Err(error),
    }
}

impl Reader<'_> {
    fn send(&self, record: Record) -> Result<(), Gone> {
        self.sender.blocking_send(record).map_err(|_| Gone)
    }

    fn visit(&mut self, entry: Entry, content: Option<ContentReader<'_>>) -> Result<Visit, Fault> {
        if entry.path.is_in_stage() || self.rules.excludes(&entry.path, entry.kind == EntryKind::Directory) {
            return Ok(Visit::Skip);
        }
        if entry.kind == EntryKind::Special {
            self.send(Record::Warning(format!(
                "'{}' is a socket, FIFO or device, and was left out",
                entry.path
            )))?;
            return Ok(Visit::Continue);
        }
        self.done.entries += 1;
        let bytes = if entry.kind == EntryKind::File { entry.size_bytes } else { 0 };
        self.done.bytes += bytes;
        self.left = self.left.checked_sub(bytes).ok_or(Fault::Files(FilesError::TooLarge))?;
        self.send(Record::Entry(entry))?;
        if let Some(content) = content {
            self.content(content)?;
            self.send(Record::End)?;
        }
        Ok(Visit::Continue)
    }

    fn content(&self, mut content: ContentReader<'_>) -> Result<(), Fault> {
        let mut buffer = vec![0; DATA_BYTES_MAX];
        loop {
            match content.next_piece(&mut buffer)? {
                Piece::End => return Ok(()),
                Piece::Hole(bytes) => self.send(Record::Hole(bytes))?,
                Piece::Data(count) => {
                    self.send(Record::Data(buffer.get(..count).unwrap_or_default().to_vec()))?;
                }
            }
        }
    }
}
