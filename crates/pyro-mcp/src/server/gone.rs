//! Whether a client has closed its end: then nobody waits for what it asked for, and what is under way ends at once. This file
//! must not end anything.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio::sync::watch;

/// Clones are about the same client.
#[derive(Clone, Debug)]
pub(super) struct Gone(watch::Sender<bool>);

impl Default for Gone {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gone {
    /// Waits until the client is gone.
    pub(super) async fn wait(&self) {
        // It has a sender itself, so that it does not end otherwise.
        let _ = self.0.subscribe().wait_for(|is_gone| *is_gone).await;
    }

    /// What a client sends, which tells when it ends.
    pub(super) fn watching<R>(&self, input: R) -> Watched<R> {
        Watched { input, gone: self.clone() }
    }
}

/// A stream whose end is told.
#[derive(Debug)]
pub(super) struct Watched<R> {
    input: R,
    gone: Gone,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.input).poll_read(context, into);
        let is_over = match &read {
            Poll::Ready(Ok(())) => into.filled().len() == before && into.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.gone.0.send_replace(true);
        }
        read
    }
}
