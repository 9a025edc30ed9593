//! What a client wants to know of a running workspace, and tools it runs in the guest. This file must not change the disk.

use super::Supervisor;
use super::feed::Feed;
use super::job::Job;
use super::output::Output;
use super::serve::Client;
use super::tool;
use crate::code::chain;
use crate::guest::GuestClient;
use crate::workspace::control::frame::CHUNK_BYTES;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::message::EngineUsage;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::StatusReply;
use crate::workspace::control::message::Update;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use pyro_proto::message::RequestBody;
use pyro_proto::tool::Tool;
use serde_json::Value;
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a guest may take to say how it is doing.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// Longest that a client may hold the disk.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// How long the flush after a command may take before its end is told all the same.
const FLUSH_DEADLINE: Duration = Duration::from_secs(30);

/// Pieces of input on their way to a command.
const INPUT_DEPTH: usize = 16;

impl Supervisor {
    /// How the workspace is, and, if asked, its guest.
    pub(super) async fn status(&self, guest: bool, usage: bool) -> Result<Value, WorkspaceError> {
        let blocked_since = self.blocked_since();
        let guest = if guest && blocked_since.is_none() {
            let client = self.client();
            tokio::time::timeout(STATUS_DEADLINE, client.status()).await.ok().and_then(Result::ok)
        } else {
            None
        };
        // Whoever changes the engine holds it for longer than a status may take.
        let (engine_pid, used) = self.machine.try_lock().map_or((0, None), |machine| {
            let used = if usage { machine.guest.usage().ok() } else { None };
            (machine.guest.pid(), used)
        });
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let reply = StatusReply {
            document: self.document(),
            running_jobs: self.jobs.running() as u64,
            supervisor_pid: std::process::id(),
            engine_pid,
            engine: text(json!(self.plan.engine.kind())),
            acceleration: text(json!(self.plan.engine.acceleration())),
            started_by: text(json!(self.started_by)),
            started_at: self.started_at.0,
            guest,
            usage: used.map(|used| EngineUsage {
                rss_kib: used.rss_kib,
                pss_kib: used.pss_kib,
                cpu_ms: used.cpu_ms,
            }),
            blocked_since,
        };
        Ok(json!(reply))
    }

    /// The numbers of the jobs that have not ended.
    pub(super) fn living_jobs(&self) -> Value {
        json!(self.jobs.living().iter().map(|job| job.sequence()).collect::<Vec<_>>())
    }

    pub(super) fn living_job(&self, number: u64) -> Result<Arc<Job>, WorkspaceError> {
        let job = self.jobs.get(number).filter(|job| job.ended().is_none());
        job.ok_or_else(|| WorkspaceError::NoSuchJob { workspace: self.id(), job: number })
    }

    /// Tells a client what a job prints, from where it left off, and how it ends.
    pub(super) async fn follow(
        self: &Arc<Self>,
        number: u64,
        [stdout, stderr]: [u64; 2],
        wait: bool,
        input: bool,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let job = self.jobs.get(number);
        let job = job.ok_or_else(|| WorkspaceError::NoSuchJob { workspace: self.id(), job: number })?;
        let stdin = if input { job.stdin.lock().await.take() } else { None };
        let mut feed = Feed::new(stdin, INPUT_DEPTH);
        let mut followers = [Follower::new(&job.stdout, stdout), Follower::new(&job.stderr, stderr)];
        let (mut extents, mut errors) = (job.stdout.watch(), job.stderr.watch());
        loop {
            let ended = job.ended();
            extents.mark_unchanged();
            errors.mark_unchanged();
            for follower in &mut followers {
                follower.catch_up(client).await?;
            }
            if ended.is_some() || !wait {
                if let Some(ended) = ended {
                    client.event(&Event::Ended(ended)).await?;
                }
                return Ok(json!({ "stdout": followers[0].offset, "stderr": followers[1].offset }));
            }
            let room = !feed.is_full();
            tokio::select! {
                _ = extents.changed() => {}
                _ = errors.changed() => {}
                _ = job.end() => {}
                () = feed.make_room(), if !room => {}
                frame = client.next(room) => match frame {
                    Some(Frame { tag: Tag::Input, payload }) => feed.push(payload),
                    Some(Frame { tag: Tag::InputEnd, .. }) => feed.end(),
                    Some(_) => {}
                    None => return Ok(Value::Null),
                },
            }
        }
    }

    /// Runs a tool for a client; it ends with its client.
    pub(super) async fn tool(
        &self,
        tool: Tool,
        input: bool,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let guest = self.client();
        let begun = tool::begin(&guest, &self.held, tool, input).await?;
        let outcome = tool::run(&guest, begun, client).await;
        if let Some(reason) = outcome.left {
            event::note(&self.config, self.folder.id(), "push_not_taken_back", Some(reason));
        }
        outcome.told.map(|()| Value::Null)
    }

    /// Flushes everything the guest has written so far; why that cannot be said to have been done, for people.
    pub(super) async fn flush(&self) -> Result<(), String> {
        let flushed = flush_within(&self.client(), FLUSH_DEADLINE).await;
        // That is why, whatever it was that was waited for.
        flushed.map_err(|reason| self.check_room().err().map_or(reason, |error| chain(&error)))
    }

    /// Holds the guest's disk until the client goes away.
    pub(super) async fn hold(&self, client: &mut Client) -> Result<Value, WorkspaceError> {
        let _alone = self.machine.lock().await;
        let failed = |source| WorkspaceError::Guest { operation: "holding the guest's disk", source };
        let guest = self.client();
        let _held = self.held.write().await;
        let ms_max = u64::try_from(HOLD_MAX.as_millis()).unwrap_or(u64::MAX);
        let held = async { guest.call(RequestBody::HoldDisk { ms_max }).await.map_err(failed) };
        self.unless_blocked(held).await?;
        let told = client.event(&Event::Held).await;
        if told.is_ok() {
            let _ = tokio::time::timeout(HOLD_MAX, client.gone()).await;
        }
        guest.call(RequestBody::ReleaseDisk).await.map_err(failed)?;
        told?;
        Ok(Value::Null)
    }

    /// Changes what is only remembered.
    pub(super) fn update(&self, update: &Update) -> Result<Value, WorkspaceError> {
        let apply = || self.change(|document| update.apply(document));
        let changed = match &update.name {
            Some(name) => self.registry.with_name(name, self.folder.id(), apply)?,
            None => apply()?,
        };
        if !changed {
            return Err(WorkspaceError::NothingToChange);
        }
        self.activity.changed.notify_one();
        Ok(Value::Null)
    }
}

async fn flush_within(guest: &GuestClient, time: Duration) -> Result<(), String> {
    let run = guest.tool(Tool::Sync, false, None).map_err(|error| chain(&error))?;
    match tokio::time::timeout(time, run.done::<Value>()).await {
        Ok(flushed) => flushed.map(drop).map_err(|error| chain(&error)),
        Err(_) => Err(format!("that took longer than {} seconds", time.as_secs())),
    }
}

/// A client's place in an output.
struct Follower<'a> {
    output: &'a Output,
    offset: u64,
}

impl<'a> Follower<'a> {
    const fn new(output: &'a Output, offset: u64) -> Self {
        Self { output, offset }
    }

    /// Sends what there is beyond the place.
    async fn catch_up(&mut self, client: &mut Client) -> Result<(), WorkspaceError> {
        let failed = |operation| move |source| WorkspaceError::Caller { operation, source };
        let extent = self.output.extent();
        let tag = match self.output.stream {
            crate::workspace::history::Stream::Stdout => Tag::Stdout,
            crate::workspace::history::Stream::Stderr => Tag::Stderr,
        };
        while self.offset < extent.kept {
            let (path, offset) = (self.output.path.clone(), self.offset);
            let length = CHUNK_BYTES.min(usize::try_from(extent.kept - offset).unwrap_or(CHUNK_BYTES));
            let bytes = read_at(&path, offset, length).map_err(failed("reading what was kept"))?;
            if bytes.is_empty() {
                break;
            }
            client.send(tag, &bytes).await.map_err(failed("answering the client"))?;
            self.offset += bytes.len() as u64;
        }
        if extent.ended && extent.kept < extent.total && self.offset == extent.kept {
            let (stream, bytes) = (self.output.stream, extent.total - extent.kept);
            client.event(&Event::Skipped { stream, bytes }).await?;
            self.offset = extent.total;
        }
        Ok(())
    }
}

fn read_at(path: &std::path::Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let count = File::open(path)?.read_at(&mut bytes, offset)?;
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::FakeGuest;
    use super::*;

    #[tokio::test]
    async fn a_flush_that_was_not_done_says_why() {
        let (mut guest, client) = FakeGuest::new();
        let (late, _) = tokio::join!(flush_within(&client, Duration::from_millis(20)), guest.request());
        assert_eq!(late.unwrap_err(), "that took longer than 0 seconds");
        let flush = || flush_within(&client, FLUSH_DEADLINE);
        let (killed, ()) = tokio::join!(flush(), async { guest.tool().await.killed().await });
        assert!(killed.unwrap_err().contains("signal 9"));
        let (done, ()) = tokio::join!(flush(), async { guest.tool().await.done().await });
        assert_eq!(done, Ok(()));
    }
}
