//! Waiting for descriptors: every one is registered once, edge-triggered, for what its owner can use, and its owner
//! remembers what is ready. Only of room in a job's input one hears when it is asked for.
//! This file must not read or write them.

use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::event::epoll::EventData;
use rustix::event::epoll::EventFlags;
use rustix::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Names a job for as long as this agent lives; never reused.
pub(crate) type JobId = u64;

/// Names a connection for as long as this agent lives; never reused.
pub(crate) type ConnectionId = u64;

/// Which descriptor of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Where the child says that it could not start; closed by a successful exec.
    Status,
    /// The pidfd of the agent's own child.
    Process,
    /// Where a monitor says how the main process ended.
    Report,
    /// The command's standard input.
    Input,
    /// Its standard output, or its terminal.
    Output,
    /// Its standard error.
    Error,
}

/// Who a readiness event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The host channel.
    Channel,
    /// Changes of control groups.
    Groups,
    /// A descriptor of a job.
    Job(JobId, Part),
    /// The socket of a connection.
    Connection(ConnectionId),
}

impl Token {
    const fn encode(self) -> u64 {
        match self {
            Self::Channel => 0,
            Self::Groups => 1,
            Self::Job(id, part) => (id << 8) | (part as u64 + 2),
            Self::Connection(id) => (id << 8) | 8,
        }
    }

    fn decode(raw: u64) -> Option<Self> {
        let part = match raw & 0xff {
            0 => return Some(Self::Channel),
            1 => return Some(Self::Groups),
            2 => Part::Status,
            3 => Part::Process,
            4 => Part::Report,
            5 => Part::Input,
            6 => Part::Output,
            7 => Part::Error,
            8 => return Some(Self::Connection(raw >> 8)),
            _ => return None,
        };
        Some(Self::Job(raw >> 8, part))
    }
}

/// What became possible. A hang-up or an error is reported as both: the next call says which it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The set of watched descriptors.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: [MaybeUninit<epoll::Event>; 64],
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: [MaybeUninit::uninit(); 64] })
    }

    /// Watches `fd` until it is closed.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token.encode()), interest(token))
    }

    /// Whether to hear of room in a job's input. A terminal has news of that at every key, and to be woken for nothing
    /// delays the program that is to answer it.
    pub(crate) fn watch_room(&self, fd: impl AsFd, id: JobId, wanted: bool) {
        let token = Token::Job(id, Part::Input);
        let room = if wanted { EventFlags::OUT } else { EventFlags::empty() };
        // Cannot fail for a descriptor that is watched.
        let _ = epoll::modify(&self.epoll, fd, EventData::new_u64(token.encode()), interest(token) | room);
    }

    /// Waits for events, at most for `limit`.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<Readiness>> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let (events, _) = match epoll::wait(&self.epoll, &mut self.events[..], limit.as_ref()) {
            Err(io::Errno::INTR) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(events.iter().filter_map(readiness).collect())
    }
}

/// What is told of a descriptor from the beginning; that it is broken is always told.
const fn interest(token: Token) -> EventFlags {
    let both_ways = EventFlags::IN.union(EventFlags::OUT);
    let directions = match token {
        Token::Channel | Token::Groups | Token::Connection(_) => both_ways,
        Token::Job(_, Part::Input) => EventFlags::empty(),
        Token::Job(..) => EventFlags::IN,
    };
    directions.union(EventFlags::RDHUP).union(EventFlags::ET)
}

fn readiness(event: &epoll::Event) -> Option<Readiness> {
    let (data, flags) = (event.data, event.flags);
    let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
    Some(Readiness {
        token: Token::decode(data.u64())?,
        readable: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
        writable: broken || flags.contains(EventFlags::OUT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let parts = [Part::Status, Part::Process, Part::Report, Part::Input, Part::Output, Part::Error];
        let jobs = parts.map(|part| Token::Job((1 << 40) | 7, part));
        for token in jobs.into_iter().chain([Token::Channel, Token::Groups, Token::Connection(9)]) {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
    }
}
