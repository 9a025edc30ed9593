//! A tool under way in a guest, as its starter sees it: records in, records out, and how it went. What a guest says here is
//! checked by the codec and held one record at a time; this file must not believe any of it. How the bytes travel, over the
//! guest's own channel or through whoever has that, is behind two traits.

use super::error::GuestError;
use super::exec;
use super::exec::Exec;
use super::exec::ExecStreams;
use super::shared::Shared;
use super::stream::StreamReader;
use super::stream::StreamWriter;
use crate::code;
use crate::code::Coded;
use async_trait::async_trait;
use pyro_proto::exec::Ending;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;
use pyro_proto::message::WireError;
use pyro_proto::tool::Tool;
use pyro_proto::tool::ToolSpec;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use pyro_proto::tree::TreeError;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// SIGKILL.
const KILL: i32 = 9;

/// What can go wrong with a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The tool failed, or the guest did not start it.
    #[error("{}", .0.message)]
    Refused(WireError),
    /// Its time was over.
    #[error("the guest did not finish within the time allowed")]
    TimedOut,
    /// It was killed, or the guest's memory was too small for it.
    #[error("the guest's work on files was ended by signal {signal}")]
    Killed {
        /// Which.
        signal: i32,
    },
    /// What it wrote is no stream of records.
    #[error("the guest wrote no proper stream of records")]
    Stream(#[source] TreeError),
    /// What it wrote last is not what it should be.
    #[error("the guest ended its stream of records wrongly")]
    Document(#[source] serde_json::Error),
    /// Its records are in no order, or end too early.
    #[error("the guest broke the protocol: {reason}")]
    Protocol {
        /// What it did.
        reason: &'static str,
    },
    /// The channel's own.
    #[error(transparent)]
    Guest(GuestError),
    /// Whoever has the channel said so.
    #[error("{0}")]
    Elsewhere(Box<dyn Coded + Send + Sync>),
}

/// Where a tool's records come from.
#[async_trait]
pub trait ToolOutput: std::fmt::Debug + Send {
    /// The next bytes; `None` at the end.
    async fn read(&mut self) -> Option<Vec<u8>>;

    /// Why there was no last record; to be asked at the end.
    async fn reason(&mut self) -> ToolError;

    /// Ends the tool.
    fn kill(&self);
}

/// Where a tool's input goes.
#[async_trait]
pub trait ToolSink: std::fmt::Debug + Send {
    /// Sends bytes, waiting for the tool to take them.
    ///
    /// # Errors
    /// [`GuestError::Closed`] when it no longer does.
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), GuestError>;

    /// Says that there will be no more.
    ///
    /// # Errors
    /// [`GuestError::Closed`] when the tool no longer reads.
    async fn finish(self: Box<Self>) -> Result<(), GuestError>;
}

impl From<GuestError> for ToolError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Refused(error) => Self::Refused(error),
            other => Self::Guest(other),
        }
    }
}

impl Coded for ToolError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => match error.code {
                ErrorCode::NotFound => code::PATH_NOT_FOUND,
                ErrorCode::AlreadyExists => code::PATH_EXISTS,
                ErrorCode::NotADirectory => code::NOT_A_DIRECTORY,
                ErrorCode::IsADirectory => code::IS_A_DIRECTORY,
                ErrorCode::NotEmpty => code::DIRECTORY_NOT_EMPTY,
                ErrorCode::NoSpace => code::GUEST_DISK_FULL,
                ErrorCode::TooLarge => code::LIMIT_EXCEEDED,
                ErrorCode::LimitReached => code::GUEST_LIMIT_REACHED,
                ErrorCode::Changed => code::PATH_CHANGED,
                _ => code::GUEST_REFUSED,
            },
            Self::TimedOut => code::GUEST_TOOL_TIMEOUT,
            Self::Killed { .. } => code::GUEST_REFUSED,
            Self::Stream(_) | Self::Document(_) | Self::Protocol { .. } => code::GUEST_PROTOCOL,
            Self::Guest(error) => error.code(),
            Self::Elsewhere(error) => error.code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused(error) => vec![refusal_hint(error.code).to_owned()],
            Self::Elsewhere(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

const fn refusal_hint(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NoSpace => "free space in the workspace, or make one with a larger disk",
        ErrorCode::NotFound => "'pyro workspace file list' shows what there is",
        ErrorCode::AlreadyExists => "choose another path, or allow what is there to be replaced",
        ErrorCode::IsADirectory => {
            "a file is needed there; 'pyro workspace file delete --recursive' removes directories"
        }
        ErrorCode::NotADirectory => "check each part of the path with 'pyro workspace file stat'",
        ErrorCode::NotEmpty => "remove what is in it first",
        ErrorCode::TooLarge => "ask for less at once",
        ErrorCode::Changed => "something in the guest is changing the files; try again",
        ErrorCode::Busy => "mount points stay; otherwise try again",
        _ => "'pyro workspace file stat' says what is there",
    }
}

/// Records on their way to a tool, collected into large frames.
#[derive(Debug)]
pub struct ToolInput {
    writer: Box<dyn ToolSink>,
    pending: Vec<u8>,
}

impl ToolInput {
    /// Sends a record, sooner or later: see [`Self::flush`].
    ///
    /// # Errors
    /// [`GuestError::Closed`] when the tool no longer reads, which [`ToolRun::next`] says the reason of; or the channel's own.
    pub async fn send(&mut self, record: &Record) -> Result<(), GuestError> {
        record.encode(&mut self.pending);
        self.flush_if_full().await
    }

    /// Sends bytes that are records already.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), GuestError> {
        if bytes.len() >= DATA_CHUNK_BYTES {
            self.flush().await?;
            return self.writer.write_all(bytes).await;
        }
        self.pending.extend_from_slice(bytes);
        self.flush_if_full().await
    }

    /// Sends what was collected.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn flush(&mut self) -> Result<(), GuestError> {
        let sent = self.writer.write_all(&self.pending).await;
        self.pending.clear();
        sent
    }

    /// Sends what was collected, and that nothing more will come.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn finish(mut self) -> Result<(), GuestError> {
        self.flush().await?;
        self.writer.finish().await
    }

    async fn flush_if_full(&mut self) -> Result<(), GuestError> {
        if self.pending.len() >= DATA_CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }
}

/// A tool under way. Dropping it before it is done kills it.
#[derive(Debug)]
pub struct ToolRun {
    output: Box<dyn ToolOutput>,
    input: Option<ToolInput>,
    decoder: TreeDecoder,
    /// The document of its last record.
    document: Option<Vec<u8>>,
    over: bool,
}

pub(super) fn start(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    tool: Tool,
    input: bool,
    timeout: Option<Duration>,
) -> Result<ToolRun, GuestError> {
    let streams = ExecStreams { stdin: input, ..ExecStreams::default() };
    let timeout_ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let mut exec = exec::start_job(shared, data, streams, |stdio| {
        RequestBody::Tool(ToolSpec { tool, stdio, timeout_ms })
    })?;
    let input: Option<Box<dyn ToolSink>> = match exec.stdin.take() {
        Some(writer) => Some(Box::new(writer)),
        None => None,
    };
    let output = exec.stdout.take();
    Ok(ToolRun::new(Box::new(Direct { exec, output }), input))
}

/// A tool whose bytes travel over the guest's own channel.
#[derive(Debug)]
struct Direct {
    exec: Exec,
    output: Option<StreamReader>,
}

#[async_trait]
impl ToolOutput for Direct {
    async fn read(&mut self) -> Option<Vec<u8>> {
        match &mut self.output {
            Some(output) => output.read().await,
            None => None,
        }
    }

    async fn reason(&mut self) -> ToolError {
        // A refusal to start it ended the stream as well, and says more.
        let started = self.exec.started().await;
        let exit = self.exec.exited().await;
        match (started, exit) {
            (Err(error), _) if !matches!(error, GuestError::Closed) => error.into(),
            (_, Err(error)) => error.into(),
            (_, Ok(exit)) => match exit.ending {
                _ if exit.timed_out => ToolError::TimedOut,
                Ending::Signal(signal) => ToolError::Killed { signal },
                Ending::Code(_) => ToolError::Protocol { reason: "records without a last one" },
            },
        }
    }

    fn kill(&self) {
        self.exec.signal(KILL, SignalTarget::Tree);
    }
}

#[async_trait]
impl ToolSink for StreamWriter {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), GuestError> {
        Self::write_all(self, bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<(), GuestError> {
        Self::finish(*self).await
    }
}

impl ToolRun {
    /// A tool that was started elsewhere.
    pub fn new(output: Box<dyn ToolOutput>, input: Option<Box<dyn ToolSink>>) -> Self {
        let input = input.map(|writer| ToolInput { writer, pending: Vec::new() });
        Self { output, input, decoder: TreeDecoder::new(), document: None, over: false }
    }

    /// Its input, for whoever sends while somebody else receives: a tool that answers as it reads stops reading when nobody
    /// takes its answers. Without it, the methods here send.
    pub const fn take_input(&mut self) -> Option<ToolInput> {
        self.input.take()
    }

    /// Sends a record, sooner or later; for tools that say nothing before their input ends.
    ///
    /// # Errors
    /// Why the tool failed, if it ended instead of reading.
    pub async fn send(&mut self, record: &Record) -> Result<(), ToolError> {
        let Some(input) = &mut self.input else { return Err(NO_INPUT) };
        match input.send(record).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why_not_read(error).await),
        }
    }

    /// Sends bytes that are records already.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ToolError> {
        let Some(input) = &mut self.input else { return Err(NO_INPUT) };
        match input.send_bytes(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why_not_read(error).await),
        }
    }

    /// Tells the tool that nothing more will come.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn finish_input(&mut self) -> Result<(), ToolError> {
        let Some(input) = self.input.take() else { return Ok(()) };
        match input.finish().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why_not_read(error).await),
        }
    }

    /// The next record but the last one; `None` when the tool is done, and [`Self::done`] has its document.
    ///
    /// # Errors
    /// Why the tool failed.
    pub async fn next(&mut self) -> Result<Option<Record>, ToolError> {
        // Whoever asks once more after the end gets the same answer.
        if self.over && self.document.is_some() {
            return Ok(None);
        }
        loop {
            let record = match self.decoder.next_record() {
                Ok(record) => record,
                Err(error) => return Err(self.give_up(ToolError::Stream(error))),
            };
            match record {
                Some(_) if self.document.is_some() => {
                    return Err(self.give_up(ToolError::Protocol { reason: "records after the last" }));
                }
                Some(Record::Done(document)) => self.document = Some(document),
                Some(Record::Failed(json)) => {
                    self.over = true;
                    return Err(
                        serde_json::from_slice(&json).map_or_else(ToolError::Document, ToolError::Refused)
                    );
                }
                Some(record) => return Ok(Some(record)),
                None if !self.fill().await => return self.ended().await.map(|()| None),
                None => {}
            }
        }
    }

    /// Waits for the end, whatever still comes before it.
    ///
    /// # Errors
    /// Why the tool failed, or [`ToolError::Document`] when its last word is something else.
    pub async fn done<T: DeserializeOwned>(mut self) -> Result<T, ToolError> {
        self.finish_input().await?;
        while self.next().await?.is_some() {}
        let document = self.document.take().unwrap_or_default();
        serde_json::from_slice(&document).map_err(ToolError::Document)
    }

    /// Ends it, whatever it is doing.
    pub fn kill(&self) {
        self.output.kill();
    }

    async fn fill(&mut self) -> bool {
        match self.output.read().await {
            Some(bytes) => {
                self.decoder.push(&bytes);
                true
            }
            None => false,
        }
    }

    /// What the end of the stream means.
    async fn ended(&mut self) -> Result<(), ToolError> {
        self.over = true;
        if self.document.is_some() && !self.decoder.is_cut() {
            return Ok(());
        }
        Err(self.output.reason().await)
    }

    fn give_up(&mut self, error: ToolError) -> ToolError {
        self.kill();
        self.over = true;
        error
    }

    /// The tool's own reason if it has one.
    async fn why_not_read(&mut self, error: GuestError) -> ToolError {
        if !matches!(error, GuestError::Closed) {
            return error.into();
        }
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return ToolError::Protocol { reason: "it was done before its input ended" },
                Err(error) => return error,
            }
        }
    }
}

const NO_INPUT: ToolError = ToolError::Guest(GuestError::Closed);

impl Drop for ToolRun {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
    }
}
