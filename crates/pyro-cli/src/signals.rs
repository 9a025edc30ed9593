//! The signals that ask a run to stop, as a queue. This file must not decide what they do.

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// Signals waiting to be looked at; more than the second makes no difference.
const QUEUED: usize = 4;

/// Listens for SIGINT, SIGTERM and SIGHUP from now on. Must be called within the runtime.
pub(crate) fn listen() -> mpsc::Receiver<i32> {
    listen_for(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])
}

/// Listens for these and SIGQUIT: for whoever has changed the terminal and must put it back. SIGTSTP does nothing from now on.
pub(crate) fn listen_at_terminal() -> mpsc::Receiver<i32> {
    // A process that was stopped by it would leave the terminal raw.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())));
    listen_for(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()])
}

fn listen_for(kinds: &[SignalKind]) -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel(QUEUED);
    for kind in kinds {
        let kind = *kind;
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
