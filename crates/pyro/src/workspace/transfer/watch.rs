//! Pushing again whenever a folder of the host changes. This file must not decide what differs.

use super::push::PushReport;
use super::push::PushSpec;
use crate::tree::Batch;
use crate::tree::Watch;
use crate::tree::WatchOptions;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use std::io;
use tokio::sync::mpsc;

impl Workspace {
    /// Pushes, and pushes again after each change, until `stop` says something or the folder is gone. `pushed` is told of each
    /// push, also of those that fail: after the next change there may be nothing wrong any more.
    ///
    /// # Errors
    /// The first push failed, the folder cannot be watched, or nothing can be pushed any more because the guest is gone.
    pub async fn push_watch(
        &self,
        spec: &PushSpec,
        stop: &mut mpsc::Receiver<i32>,
        pushed: &mut (dyn FnMut(Result<PushReport, &WorkspaceError>) + Send),
    ) -> Result<(), WorkspaceError> {
        let mut watch = Watch::new(spec.source.path(), WatchOptions::default())
            .map_err(|error| WorkspaceError::Source(Box::new(error)))?;
        let stopper = watch.stopper();
        let (sender, mut batches) = mpsc::channel(1);
        let watching = tokio::task::spawn_blocking(move || {
            while let Some(batch) = watch.next_batch()? {
                let gone = batch.root_gone;
                if sender.blocking_send(batch).is_err() || gone {
                    break;
                }
            }
            Ok::<(), crate::tree::WatchError>(())
        });
        // What changes while it goes over is in the first batch.
        let first = self.push(spec, &mut |_| {}).await;
        let first = first.map(|report| pushed(Ok(report)));
        let outcome = match first {
            Ok(()) => self.push_batches(spec, stop, &mut batches, pushed).await,
            Err(error) => Err(error),
        };
        drop(batches);
        stopper.stop();
        let failed = |error| WorkspaceError::Caller {
            operation: "watching the files",
            source: io::Error::other(error),
        };
        let watched = watching.await.map_err(failed)?;
        outcome?;
        watched.map_err(|error| WorkspaceError::Source(Box::new(error)))
    }

    async fn push_batches(
        &self,
        spec: &PushSpec,
        stop: &mut mpsc::Receiver<i32>,
        batches: &mut mpsc::Receiver<Batch>,
        pushed: &mut (dyn FnMut(Result<PushReport, &WorkspaceError>) + Send),
    ) -> Result<(), WorkspaceError> {
        loop {
            let batch = tokio::select! {
                _ = stop.recv() => return Ok(()),
                batch = batches.recv() => batch,
            };
            if batch.is_none_or(|batch| batch.root_gone) {
                return Ok(());
            }
            let mut moved = |_| {};
            // A push that is given up has changed nothing.
            let outcome = tokio::select! {
                _ = stop.recv() => return Ok(()),
                outcome = self.push(spec, &mut moved) => outcome,
            };
            match outcome {
                Ok(report) => pushed(Ok(report)),
                Err(error) if !self.is_held() => return Err(error),
                Err(error) => pushed(Err(&error)),
            }
        }
    }
}
