//! The agent's one loop: wait, take what came, give every ready output a turn, write. One thread, so that a fork is cheap
//! and safe. This file must not know what a request means; see `requests` and `life`.

use crate::channel::Channel;
use crate::channel::Filled;
use crate::connections::Connections;
use crate::disks;
use crate::hold::Hold;
use crate::jobs::Jobs;
use crate::output::Turn;
use crate::place::Kind;
use crate::place::Place;
use crate::poll::ConnectionId;
use crate::poll::JobId;
use crate::poll::Part;
use crate::poll::Poller;
use crate::poll::Token;
use crate::refusal::refuse_errno;
use crate::session::Session;
use crate::stdio::set_nonblocking;
use crate::stillness::Stillness;
use pyro_proto::Item;
use pyro_proto::hello::Hello;
use pyro_proto::hello::PROTOCOL_MAX;
use pyro_proto::hello::PROTOCOL_MIN;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::ClockId;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

/// Reads of the channel, and turns of outputs, between two looks at everything else.
const READS_MAX: usize = 16;
const TURNS_MAX: usize = 32;

/// Longest wait for a host to take a little of what was said last.
const LAST_WORDS_WAIT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Why the agent stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The host closed its side, and there is no way for another to come.
    ChannelClosed,
    /// The host asked for the end, everything is flushed and it was told so.
    ShutDown,
}

/// What the agent cannot go on from.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The set of watched descriptors failed.
    #[error("waiting for events")]
    Poll(#[source] io::Error),
    /// The host channel failed.
    #[error("using the host channel")]
    Channel(#[source] io::Error),
}

/// What goes to the host in turns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    Job(JobId, Part),
    Connection(ConnectionId),
}

/// Everything the agent knows.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) place: Place,
    pub(crate) poller: Poller,
    pub(crate) channel: Channel,
    pub(crate) session: Session,
    pub(crate) jobs: Jobs,
    pub(crate) connections: Connections,
    pub(crate) stillness: Stillness,
    pub(crate) hold: Hold,
    /// Outputs waiting for their turn.
    pub(crate) turns: VecDeque<Lane>,
    pub(crate) scratch: Vec<u8>,
    ready_ms: u64,
}

/// Serves the host on `channel` until it asks for the end, or, where no other host can come, is gone.
///
/// # Errors
/// [`AgentError`] when the channel or the event queue fails; jobs may be left running.
pub fn serve(channel: OwnedFd, place: Place) -> Result<End, AgentError> {
    let mut agent = Agent::new(channel, place)?;
    let end = agent.run();
    if agent.place.kind == Kind::Host {
        agent.kill_everything();
    }
    end
}

impl Agent {
    fn new(channel: OwnedFd, place: Place) -> Result<Self, AgentError> {
        set_nonblocking(&channel).map_err(|errno| AgentError::Channel(errno.into()))?;
        let poller = Poller::new().map_err(|errno| AgentError::Poll(errno.into()))?;
        poller.add(&channel, Token::Channel).map_err(|errno| AgentError::Channel(errno.into()))?;
        if let Some(groups) = &place.groups {
            poller.add(groups.changes(), Token::Groups).map_err(|errno| AgentError::Poll(errno.into()))?;
        }
        if place.kind == Kind::Guest {
            // An agent before this one may have died while it held the disk.
            disks::thaw_leftover();
        }
        let kept = place.vault.as_ref().and_then(crate::vault::Vault::load);
        let session = kept.map(Session::resume).unwrap_or_default();
        let uptime = rustix::time::clock_gettime(ClockId::Boottime);
        let ready_ms = uptime.tv_sec.saturating_mul(1000).saturating_add(uptime.tv_nsec / 1_000_000);
        Ok(Self {
            place,
            poller,
            channel: Channel::new(channel),
            session,
            jobs: Jobs::default(),
            connections: Connections::default(),
            stillness: Stillness::default(),
            hold: Hold::default(),
            turns: VecDeque::new(),
            scratch: vec![0; DATA_CHUNK_BYTES],
            ready_ms: u64::try_from(ready_ms).unwrap_or(0),
        })
    }

    fn run(&mut self) -> Result<End, AgentError> {
        loop {
            if let Some(end) = self.read_channel()? {
                return Ok(end);
            }
            self.give_turns();
            self.meet_deadlines();
            self.release_disk_when_due();
            if self.advance_stillness() {
                return Ok(End::ShutDown);
            }
            self.channel.flush();
            if let Some(groups) = &mut self.place.groups {
                groups.tidy();
            }
            let limit = self.wait_limit();
            let events = self.poller.wait(limit).map_err(|errno| AgentError::Poll(errno.into()))?;
            for event in events {
                match event.token {
                    Token::Channel => self.channel.note(event.readable, event.writable),
                    Token::Groups => self.groups_changed(),
                    Token::Job(id, part) => self.job_event(id, part, event.readable),
                    Token::Connection(id) => self.connection_event(id, &event),
                }
            }
        }
    }

    /// How long nothing needs to be done.
    fn wait_limit(&self) -> Option<Duration> {
        let turn_due = !self.turns.is_empty() && self.channel.has_room() && !self.session.is_quiesced();
        if turn_due || self.channel.wants_read() {
            return Some(Duration::ZERO);
        }
        let jobs = if self.session.is_quiesced() { None } else { self.jobs.next_deadline() };
        let next = [jobs, self.stillness.deadline(), self.hold.deadline()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn read_channel(&mut self) -> Result<Option<End>, AgentError> {
        for _ in 0..READS_MAX {
            if !self.channel.wants_read() {
                break;
            }
            let filled = match self.channel.fill() {
                Ok(filled) => filled,
                Err(errno) => return Err(AgentError::Channel(errno.into())),
            };
            if filled == Filled::Closed {
                self.host_left();
                self.channel.forget();
                if self.place.kind == Kind::Host {
                    return Ok(Some(End::ChannelClosed));
                }
            }
            self.take_items();
        }
        Ok(None)
    }

    fn take_items(&mut self) {
        loop {
            match self.channel.next_item() {
                Ok(Some(Item::Sync)) => self.host_came(),
                Ok(Some(Item::Frame(frame))) => self.frame(&frame),
                Ok(None) => return,
                Err(error) => {
                    // Whoever wrote this is not in step; the next sync starts afresh.
                    self.host_left();
                    self.say(0, ReplyBody::Log { text: error.to_string() });
                }
            }
        }
    }

    fn host_came(&mut self) {
        self.host_left();
        self.channel.answer_sync();
        let hello = Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            needs_identity: self.session.needs_identity(),
            ready_ms: self.ready_ms,
        };
        self.say(0, ReplyBody::Hello(hello));
    }

    fn host_left(&mut self) {
        if self.session.is_attached() {
            // Those of a host before this one, which it did not ask for.
            self.jobs.orphan_parked();
        }
        self.session.detach();
        self.stillness.forget_host();
        self.let_go_of_disk();
        self.connections.abort_all();
        self.jobs.park_all();
        self.see_to_all_jobs();
    }

    /// Does what a change of every job makes possible.
    pub(crate) fn see_to_all_jobs(&mut self) {
        for id in self.jobs.ids() {
            self.feed(id);
            self.job_changed(id);
        }
    }

    /// Keeps what the next agent must know, before anybody is told that it is so.
    pub(crate) fn keep_session(&self) -> Result<(), WireError> {
        let Some(vault) = &self.place.vault else { return Ok(()) };
        vault
            .save(&self.session.lasting())
            .map_err(|errno| refuse_errno(ErrorCode::System, "keeping the session", errno))
    }

    /// Sends a reply ahead of data.
    pub(crate) fn say(&mut self, request: RequestId, body: ReplyBody) {
        self.channel.send(&Reply { request, body });
    }

    /// Answers a request with its outcome.
    pub(crate) fn answer(&mut self, request: RequestId, outcome: Result<(), WireError>) {
        let body = outcome.map_or_else(ReplyBody::Failed, |()| ReplyBody::Done);
        self.say(request, body);
    }

    /// Queues an output for a turn if one is worth taking.
    pub(crate) fn want_turn(&mut self, id: JobId, part: Part) {
        let Some(output) = self.jobs.get_mut(id).and_then(|job| job.lane(part)) else { return };
        if !output.queued && output.is_ready() {
            output.queued = true;
            self.turns.push_back(Lane::Job(id, part));
        }
    }

    /// Round robin: each ready output moves one chunk, while the channel has room for it.
    fn give_turns(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.channel.has_room() || self.session.is_quiesced() {
                return;
            }
            let (id, part) = match self.turns.pop_front() {
                Some(Lane::Job(id, part)) => (id, part),
                Some(Lane::Connection(id)) => {
                    self.take_connection_turn(id);
                    continue;
                }
                None => return,
            };
            let Some(output) = self.jobs.get_mut(id).and_then(|job| job.lane(part)) else { continue };
            output.queued = false;
            let turn = output.turn(&mut self.channel, &mut self.scratch);
            if turn == Turn::Again {
                self.want_turn(id, part);
            }
            self.job_changed(id);
        }
    }

    /// Hands everything that was said to the host, for the last time. The writes wait until the host's side has taken the
    /// bytes, because the machine is gone right after; a host that does not listen is not waited for.
    pub(crate) fn flush_finally(&mut self) -> Result<(), Errno> {
        let flags = rustix::fs::fcntl_getfl(&self.channel.fd)?;
        rustix::fs::fcntl_setfl(&self.channel.fd, flags - rustix::fs::OFlags::NONBLOCK)?;
        while !self.channel.is_flushed() {
            let mut port = [PollFd::new(&self.channel.fd, PollFlags::OUT)];
            if rustix::event::poll(&mut port, Some(&LAST_WORDS_WAIT))? == 0 {
                return Err(Errno::TIMEDOUT);
            }
            self.channel.note(false, true);
            self.channel.flush();
        }
        Ok(())
    }
}
