//! The signals that ask a run to stop, as a queue. This file must not decide what they do.

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// Signals waiting to be looked at; more than the second makes no difference.
const QUEUED: usize = 4;

/// Listens for SIGINT, SIGTERM and SIGHUP from now on. Must be called within the runtime.
pub(crate) fn listen() -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel(QUEUED);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Without a handler the signal ends this process, and the engine with it: nothing is left either way.
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(kind.as_raw_value()).await.is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// No signals.
pub(crate) fn none() -> mpsc::Receiver<i32> {
    mpsc::channel(1).1
}
