//! One channel's incoming side: bytes go to a backlog, the rest to whoever runs the channel, and nothing ever holds up the
//! connection. This file must not answer a client.

use crate::backlog::Backlog;
use crate::backlog::Inlet;
use crate::backlog::backlog;
use crate::signals;
use pyro::terminal::TerminalSize;
use russh::ChannelMsg;
use russh::ChannelReadHalf;
use std::path::Path;
use tokio::sync::mpsc;

/// What a client says beside bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Its terminal has another size.
    Size(TerminalSize),
    /// It sends a signal.
    Signal(i32),
}

/// The incoming side of a channel.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What the client sends.
    pub(crate) input: Backlog,
    /// What it says; ends when the channel is closed.
    pub(crate) controls: mpsc::UnboundedReceiver<Control>,
}

/// Takes what comes for a channel from now on.
pub(crate) fn take(mut channel: ChannelReadHalf, folder: &Path) -> Incoming {
    let (inlet, input) = backlog(folder.to_owned());
    let (sender, controls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = channel.wait().await {
            if matches!(message, ChannelMsg::Close) {
                return;
            }
            if let Some(control) = pass_on(message, &inlet) {
                // Whoever has ended does not want to know.
                let _ = sender.send(control);
            }
        }
    });
    Incoming { input, controls }
}

fn pass_on(message: ChannelMsg, inlet: &Inlet) -> Option<Control> {
    match message {
        ChannelMsg::Data { data } => inlet.put(&data),
        ChannelMsg::Eof => inlet.end(),
        ChannelMsg::WindowChange { col_width, row_height, .. } => {
            return Some(Control::Size(size(col_width, row_height)));
        }
        ChannelMsg::Signal { signal } => return signals::number(&signal).map(Control::Signal),
        _ => {}
    }
    None
}

/// A terminal's size as a client says it.
pub(crate) fn size(cols: u32, rows: u32) -> TerminalSize {
    let near = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
    TerminalSize::of_window(near(cols), near(rows))
}
