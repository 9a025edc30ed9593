//! A session's command or shell: run in the workspace, its bytes and its end passed on. Without a terminal it is a command like
//! any other; with one it is a shell of the workspace that belongs to the connection. This file must not decide who may run it.

use crate::channel::Control;
use crate::channel::Incoming;
use crate::signals;
use pyro::Coded;
use pyro::Command;
use pyro::code::chain;
use pyro::run::RunIo;
use pyro::terminal::TerminalSize;
use pyro::workspace::Attached;
use pyro::workspace::ExecSpec;
use pyro::workspace::ShellSpec;
use pyro::workspace::ShellTerminal;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use russh::ChannelId;
use russh::ChannelWriteHalf;
use russh::server::Handle;
use russh::server::Msg;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;

/// The stream of a channel that is standard error.
const STDERR: u32 = 1;

/// What is run when no command was named and there is no terminal.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec /bin/sh; fi";

/// What a client is told of a failure of ours, as OpenSSH's server does.
const FAILED: i32 = 255;

/// Sizes and signals that wait for a program.
const WAITING_MAX: usize = 16;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// A shell string; an interactive shell without it.
    pub(crate) command: Option<Vec<u8>>,
    /// Variables.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// On a terminal of this size.
    pub(crate) terminal: Option<TerminalSize>,
}

/// Where its bytes and its end go.
pub(crate) struct Outgoing {
    pub(crate) channel: ChannelWriteHalf<Msg>,
    pub(crate) session: Handle,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
}

/// Runs it, and closes the channel when it has ended. A client that is gone ends it.
pub(crate) async fn run(workspace: Workspace, wanted: Wanted, incoming: Incoming, outgoing: Outgoing) {
    let ended = match wanted.terminal {
        Some(size) => on_terminal(&workspace, wanted, size, incoming, &outgoing).await,
        None => plainly(&workspace, wanted, incoming, &outgoing).await,
    };
    let ended = match ended {
        Ok(Some(ended)) => ended,
        // Nobody is there to be told.
        Ok(None) => return,
        Err(error) => {
            let text = format!("pyro: {} ({})\r\n", chain(&error), error.code());
            let _ = outgoing.channel.make_writer_ext(Some(STDERR)).write_all(text.as_bytes()).await;
            Ended::Code(FAILED)
        }
    };
    outgoing.end(ended).await;
}

impl Outgoing {
    /// Says how it ended, and closes the channel.
    pub(crate) async fn end(&self, ended: Ended) {
        let id = self.id();
        let _ = match ended {
            Ended::Code(code) => self.session.exit_status_request(id, code.cast_unsigned()).await,
            Ended::Signal(signal) => {
                let none = String::new;
                self.session.exit_signal_request(id, signals::name(signal), false, none(), none()).await
            }
        };
        let _ = self.session.eof(id).await;
        let _ = self.session.close(id).await;
    }

    fn id(&self) -> ChannelId {
        self.channel.id()
    }
}

async fn plainly(
    workspace: &Workspace,
    wanted: Wanted,
    incoming: Incoming,
    outgoing: &Outgoing,
) -> Result<Option<Ended>, WorkspaceError> {
    let Incoming { input, mut controls } = incoming;
    let (signals, interrupts) = mpsc::channel(WAITING_MAX);
    let spec = ExecSpec {
        command: Command::Shell(wanted.command.map_or_else(|| SHELL.into(), OsString::from_vec)),
        timeout: None,
        env: wanted.env,
        cwd: None,
        user: None,
        stdin: true,
        secret_env: Vec::new(),
    };
    let io = RunIo {
        stdin: Box::new(input),
        stdout: Box::new(outgoing.channel.make_writer()),
        stderr: Box::new(outgoing.channel.make_writer_ext(Some(STDERR))),
        interrupts,
        sizes: mpsc::channel(1).1,
    };
    let exec = workspace.exec(spec, io);
    tokio::pin!(exec);
    let report = loop {
        tokio::select! {
            report = &mut exec => break report?,
            control = controls.recv() => match control {
                // A program that has as many waiting as it may gets no more.
                Some(Control::Signal(signal)) => drop(signals.try_send(signal)),
                Some(Control::Size(_)) => {}
                None => return Ok(None),
            },
        }
    };
    if let Some((code, text)) = &report.ended.error {
        let operation = "running the command";
        let source = io::Error::other(format!("{text} ({code})"));
        return Err(WorkspaceError::Caller { operation, source });
    }
    Ok(Some(report.ended.signal.map_or(Ended::Code(report.ended.exit_code), Ended::Signal)))
}

async fn on_terminal(
    workspace: &Workspace,
    wanted: Wanted,
    size: TerminalSize,
    incoming: Incoming,
    outgoing: &Outgoing,
) -> Result<Option<Ended>, WorkspaceError> {
    let Incoming { input, mut controls } = incoming;
    let spec = ShellSpec {
        command: wanted.command.map(|command| Command::Shell(OsString::from_vec(command))),
        cwd: None,
        env: wanted.env,
        user: None,
        size,
        secret_env: Vec::new(),
    };
    let record = workspace.open_shell(spec).await?;
    let shell = record["shell_id"].as_str().unwrap_or_default().to_owned();
    let (sizes, changes) = mpsc::channel(WAITING_MAX);
    let terminal = ShellTerminal {
        size: Some(size),
        // The end of what is typed leaves a shell alone; here the end of the connection ends it.
        input: Box::new(input.chain(Never)),
        output: Box::new(outgoing.channel.make_writer()),
        sizes: changes,
        interrupts: mpsc::channel(1).1,
    };
    let attached = workspace.attach_shell(&shell, terminal, true);
    tokio::pin!(attached);
    let attached = loop {
        tokio::select! {
            attached = &mut attached => break attached?,
            control = controls.recv() => match control {
                Some(Control::Size(size)) => drop(sizes.try_send(size)),
                Some(Control::Signal(signal)) => {
                    // One that has just ended needs none.
                    let _ = workspace.signal_shell(&shell, signal).await;
                }
                None => return Ok(None),
            },
        }
    };
    let Attached::Ended(record) = attached else { return Ok(Some(Ended::Code(0))) };
    let number = |name: &str| record[name].as_i64().and_then(|number| i32::try_from(number).ok());
    let ended = number("ended_by_signal").map(Ended::Signal).or_else(|| number("exit_code").map(Ended::Code));
    Ok(Some(ended.unwrap_or(Ended::Code(FAILED))))
}

/// What never says anything, not even that it has ended.
struct Never;

impl AsyncRead for Never {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
