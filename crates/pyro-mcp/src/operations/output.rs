//! What a command prints, on its way to its caller: passed on as it comes, and kept up to a limit. A slow reader is waited for.
//! This file must not run anything.

use super::progress::Progress;
use super::progress::Stream;
use pyro::run::RunIo;
use pyro::workspace::Excerpt;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

/// Bytes that may wait between the command and whoever is told.
const PIPE_BYTES: usize = 64 * 1024;

/// What was kept of both outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) stdout: Excerpt,
    pub(super) stderr: Excerpt,
}

/// Does something with streams of which at most `bytes_max` each are kept, and no input.
pub(super) async fn kept<F: Future>(
    progress: &dyn Progress,
    bytes_max: usize,
    work: impl FnOnce(RunIo) -> F,
) -> (F::Output, Kept) {
    let (stdout, stdout_end) = tokio::io::duplex(PIPE_BYTES);
    let (stderr, stderr_end) = tokio::io::duplex(PIPE_BYTES);
    let io = RunIo {
        stdin: Box::new(tokio::io::empty()),
        stdout: Box::new(stdout_end),
        stderr: Box::new(stderr_end),
        interrupts: mpsc::channel(1).1,
        sizes: mpsc::channel(1).1,
    };
    // The work has the writing ends, and drops them when it is done.
    let (done, stdout, stderr) = tokio::join!(
        work(io),
        keep(stdout, Stream::Stdout, progress, bytes_max),
        keep(stderr, Stream::Stderr, progress, bytes_max),
    );
    (done, Kept { stdout, stderr })
}

async fn keep(
    mut from: impl AsyncRead + Unpin,
    stream: Stream,
    progress: &dyn Progress,
    bytes_max: usize,
) -> Excerpt {
    let mut excerpt = Excerpt::default();
    let mut piece = vec![0; PIPE_BYTES];
    // A pipe in memory does not fail.
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let bytes = &piece[..count];
        progress.output(stream, bytes);
        let room = bytes_max.saturating_sub(excerpt.bytes.len());
        excerpt.bytes.extend_from_slice(&bytes[..room.min(count)]);
        excerpt.total_bytes += count as u64;
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::super::progress::Silent;
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_nothing_is_waited_for_afterwards() {
        let (done, kept) = kept(&Silent, 10, async |mut io: RunIo| {
            io.stdout.write_all(&vec![b'x'; 3 * PIPE_BYTES]).await.unwrap();
            io.stderr.write_all(b"short").await.unwrap();
            7
        })
        .await;
        assert_eq!(done, 7);
        assert_eq!((kept.stdout.bytes.len(), kept.stdout.total_bytes), (10, 3 * PIPE_BYTES as u64));
        assert_eq!((kept.stderr.bytes.as_slice(), kept.stderr.is_truncated()), (&b"short"[..], false));
    }
}
