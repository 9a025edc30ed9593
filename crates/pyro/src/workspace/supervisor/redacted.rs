//! What a program of the guest prints, without the workspace's secrets. This file must not keep or pass on anything.

use super::Supervisor;
use crate::guest::StreamReader;
use crate::secret::Redactor;
use std::sync::Arc;
use std::time::Duration;

/// How long the first bytes of what could be a secret are held back when nothing follows them.
const HELD_BACK: Duration = Duration::from_millis(50);

/// One output.
pub(super) struct RedactedReader {
    reader: StreamReader,
    redactor: Redactor,
    supervisor: Arc<Supervisor>,
    ended: bool,
}

impl RedactedReader {
    pub(super) fn new(reader: StreamReader, supervisor: &Arc<Supervisor>) -> Self {
        let redactor = Redactor::new(supervisor.vault.needles());
        Self { reader, redactor, supervisor: Arc::clone(supervisor), ended: false }
    }

    /// The next bytes; `None` when there are no more. Must not be given up half-way.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        while !self.ended {
            let bytes = tokio::select! {
                read = self.reader.read() => {
                    // Secrets may have been set meanwhile.
                    self.redactor.look_for(self.supervisor.vault.needles());
                    match read {
                        Some(bytes) => self.redactor.push(&bytes),
                        None => {
                            self.ended = true;
                            self.redactor.end()
                        }
                    }
                }
                () = tokio::time::sleep(HELD_BACK), if self.redactor.has_rest() => self.redactor.rest(),
            };
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }
}
