//! The terminal that somebody sits at, while it belongs to a program in a guest: raw, its size watched, and put back whatever
//! happens. This folder must not know what the other end is.

mod detach;
mod keyboard;
mod raw;
mod screen;

pub(crate) use detach::DetachKeys;
pub(crate) use raw::Raw;

use crate::failure::Failure;
use crate::signals;
use keyboard::Keyboard;
use pyro::code;
use pyro::terminal::TerminalSize;
use pyro::workspace::ShellTerminal;
use std::io::IsTerminal as _;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// New sizes waiting to be looked at.
const SIZES_QUEUED: usize = 4;

/// The name of the detach keys when nobody says otherwise, the same as of other such programs.
pub(crate) const DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Fails unless somebody sits at standard input. To be asked before anything is started for them.
pub(crate) fn required(failed: i32) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::plain(
        code::NOT_A_TERMINAL,
        "standard input is not a terminal, and this needs one",
        "call it from a terminal; for programs there are 'pyro workspace shell open', 'write' and 'read'",
        failed,
    ))
}

/// The size of the terminal at standard input.
pub(crate) fn size() -> TerminalSize {
    rustix::termios::tcgetwinsize(rustix::stdio::stdin()).map_or_else(
        |_| TerminalSize::default(),
        |window| TerminalSize::of_window(window.ws_col, window.ws_row),
    )
}

/// Takes the terminal over until the first value is dropped. Must be called within the runtime.
pub(crate) fn take(keys: DetachKeys, failed: i32) -> Result<(Raw, ShellTerminal), Failure> {
    let terminal = prepare(keys, failed)?;
    Ok((Raw::enter().map_err(|error| host_failed(&error, failed))?, terminal))
}

/// The terminal as it is, ready to be taken over. Must be called within the runtime.
pub(crate) fn prepare(keys: DetachKeys, failed: i32) -> Result<ShellTerminal, Failure> {
    required(failed)?;
    // Before the terminal is changed: a signal must not end this process without putting it back.
    let interrupts = signals::listen_at_terminal();
    Ok(ShellTerminal {
        size: Some(size()),
        input: Box::new(Keyboard::new(keys).map_err(|error| host_failed(&error, failed))?),
        output: screen::open(),
        sizes: watch_size(),
        interrupts,
    })
}

fn host_failed(error: &std::io::Error, failed: i32) -> Failure {
    let message = format!("taking over the terminal: {error}");
    Failure::plain(code::HOST_FAILED, message, "try another terminal", failed)
}

/// The terminal's size whenever it changes, and whenever this process goes on after it was stopped.
fn watch_size() -> mpsc::Receiver<TerminalSize> {
    let (sender, receiver) = mpsc::channel(SIZES_QUEUED);
    let changed = signal(SignalKind::window_change()).ok();
    let continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).ok();
    tokio::spawn(async move {
        let (mut changed, mut continued) = (changed, continued);
        loop {
            tokio::select! {
                () = next(&mut changed) => {}
                // Whoever had the terminal meanwhile has left it as people like it.
                () = next(&mut continued) => raw::enter_again(),
            }
            if sender.send(size()).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn next(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}
