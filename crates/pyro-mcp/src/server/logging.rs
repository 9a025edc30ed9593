//! What a client's log is told: what happens to workspaces, notices, and how calls ended. Messages are counted and cut, nothing
//! waits for a slow client, and what a call was given or a guest printed is in none of them. This file must not decide what
//! happens.

use crate::operations::Operations;
use pyro::workspace::Workspaces;
use pyro::workspace::event;
use pyro::workspace::event::Follower;
use pyro::workspace::event::LifecycleEvent;
use rmcp::Peer;
use rmcp::RoleServer;
#[expect(
    deprecated,
    reason = "clients of the revisions before 2026-07-28 have logs, and those after it have not"
)]
use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam};
use serde_json::Value;
use serde_json::json;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Who says so, as a client is told.
const LOGGER: &str = "pyro";

/// Messages that may wait for a slow client; what comes then is left out.
const QUEUED: usize = 64;

/// Messages that may come at once.
const BURST: u32 = 50;

/// Time after which one more may come.
const EACH: Duration = Duration::from_millis(100);

/// Most characters of one text.
const TEXT_CHARS_MAX: usize = 1000;

/// How much something matters. In order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    /// And all that matters more: there is nothing of this kind.
    Error,
}

impl Level {
    #[expect(deprecated, reason = "as above")]
    pub(super) const fn of(level: LoggingLevel) -> Self {
        match level {
            LoggingLevel::Debug => Self::Debug,
            LoggingLevel::Info => Self::Info,
            LoggingLevel::Notice => Self::Notice,
            LoggingLevel::Warning => Self::Warning,
            _ => Self::Error,
        }
    }

    #[expect(deprecated, reason = "as above")]
    const fn told(self) -> LoggingLevel {
        match self {
            Self::Debug => LoggingLevel::Debug,
            Self::Info => LoggingLevel::Info,
            Self::Notice => LoggingLevel::Notice,
            Self::Warning => LoggingLevel::Warning,
            Self::Error => LoggingLevel::Error,
        }
    }
}

/// What a client wants to be told.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    least: Level,
    /// Where the events begin that are news to it.
    since: Option<u64>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    level: Level,
    data: Value,
}

/// A client's log. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Log {
    sender: mpsc::Sender<Entry>,
    /// Taken by whoever tells.
    entries: Mutex<Option<mpsc::Receiver<Entry>>>,
    wanted: watch::Sender<Wanted>,
    telling: Mutex<Option<AbortHandle>>,
}

impl Default for Log {
    fn default() -> Self {
        let (sender, entries) = mpsc::channel(QUEUED);
        Self {
            sender,
            entries: Mutex::new(Some(entries)),
            // A client that has not said what it wants is told what it should know.
            wanted: watch::Sender::new(Wanted { least: Level::Warning, since: None }),
            telling: Mutex::default(),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let telling = self.telling.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(telling) = telling.take() {
            telling.abort();
        }
    }
}

impl Log {
    /// Tells a client from now on. Once is enough.
    pub(super) fn begin(&self, peer: Peer<RoleServer>, operations: Operations) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(entries) = entries else { return };
        let task = tokio::spawn(tell(peer, operations, entries, self.wanted.subscribe()));
        *self.telling.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }

    /// What matters less than this is not told any more. What happens to workspaces is told from now on.
    pub(super) fn set_least(&self, least: Level, operations: &Operations) {
        let end = || event::read(operations.config(), 0).ok().map(|(_, end)| end);
        let since = if least <= Level::Info { end() } else { None };
        self.wanted.send_replace(Wanted { least, since });
    }

    /// Something that its user should know.
    pub(super) fn notice(&self, tool: &str, text: &str) {
        self.add(Level::Warning, json!({ "message": cut(text), "tool": tool }));
    }

    /// A call has ended, with this code if it failed.
    pub(super) fn called(&self, tool: &str, code: Option<&str>, took: Duration) {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let message = code.map_or_else(|| format!("{tool} is done"), |code| format!("{tool} failed: {code}"));
        self.add(
            Level::Debug,
            json!({ "message": message, "tool": tool, "code": code, "duration_ms": duration_ms }),
        );
    }

    fn add(&self, level: Level, data: Value) {
        if level >= self.wanted.borrow().least {
            // One that finds no room is left out: nobody waits for a log.
            let _ = self.sender.try_send(Entry { level, data });
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

async fn tell(
    peer: Peer<RoleServer>,
    operations: Operations,
    mut entries: mpsc::Receiver<Entry>,
    mut wanted: watch::Receiver<Wanted>,
) {
    let mut allowance = Allowance::new(Instant::now());
    let mut happening = follow(&operations, *wanted.borrow());
    loop {
        let news = tokio::select! {
            Some(entry) = entries.recv() => vec![entry],
            events = next(&mut happening) => events.iter().map(happened).collect(),
            changed = wanted.changed() => match changed {
                Ok(()) => {
                    happening = follow(&operations, *wanted.borrow_and_update());
                    continue;
                }
                Err(_) => return,
            },
        };
        let least = wanted.borrow().least;
        for entry in news.into_iter().filter(|entry| entry.level >= least) {
            let Some(left_out) = allowance.take(Instant::now()) else { continue };
            if let Err(()) = send(&peer, entry, left_out).await {
                return;
            }
        }
    }
}

/// What happens to workspaces; nothing if that is not wanted, or cannot be told.
fn follow(operations: &Operations, wanted: Wanted) -> Option<Follower> {
    let config = operations.config();
    let since = wanted.since?;
    Workspaces::open(config).ok()?;
    Follower::new(config, since).ok()
}

async fn next(happening: &mut Option<Follower>) -> Vec<LifecycleEvent> {
    let Some(follower) = happening else { return std::future::pending().await };
    match follower.next().await {
        Ok(events) => events,
        Err(_) => {
            *happening = None;
            std::future::pending().await
        }
    }
}

fn happened(event: &LifecycleEvent) -> Entry {
    let detail = event.detail.as_deref().map(cut);
    let message = format!("{} {}", cut(&event.event), event.workspace_id);
    let data = json!({
        "message": message,
        "event": cut(&event.event),
        "workspace_id": event.workspace_id,
        "detail": detail,
        "time": event.time,
    });
    Entry { level: Level::Info, data }
}

#[expect(deprecated, reason = "as above")]
async fn send(peer: &Peer<RoleServer>, entry: Entry, left_out: u64) -> Result<(), ()> {
    let mut data = entry.data;
    if left_out > 0 {
        data["left_out"] = json!(left_out);
    }
    let message = LoggingMessageNotificationParam::new(entry.level.told(), data).with_logger(LOGGER);
    peer.notify_logging_message(message).await.map_err(drop)
}

/// How many messages may be sent now.
#[derive(Debug)]
struct Allowance {
    left: u32,
    counted_at: Instant,
    left_out: u64,
}

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self { left: BURST, counted_at: now, left_out: 0 }
    }

    /// Whether one may be sent, and then how many could not since the last.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let earned = now.duration_since(self.counted_at).as_millis() / EACH.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.counted_at = now;
        }
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_left_out_and_counted() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        let told = (0..BURST + 7).filter(|_| allowance.take(begin).is_some()).count();
        assert_eq!(told, BURST as usize);
        assert_eq!(allowance.take(begin + EACH), Some(7));
        assert_eq!(allowance.take(begin + EACH), None);
        let later = begin + EACH * 1000;
        let told = (0..2 * BURST).filter(|_| allowance.take(later).is_some()).count();
        assert_eq!(told, BURST as usize, "what is not used is not saved up");
    }

    #[test]
    fn only_what_is_wanted_waits_and_only_so_much_of_it() {
        let log = Log::default();
        let everything = Wanted { least: Level::Debug, since: None };
        let mut entries = log.entries.lock().unwrap().take().unwrap();
        log.called("vm_run", None, Duration::ZERO);
        assert!(entries.try_recv().is_err(), "nobody asked for this");
        log.wanted.send_replace(everything);
        log.called("vm_run", Some("host_failed"), Duration::from_millis(5));
        let entry = entries.try_recv().unwrap();
        assert_eq!((&entry.data["code"], &entry.data["duration_ms"]), (&json!("host_failed"), &json!(5)));
        log.notice("vm_run", &"é".repeat(1 << 20));
        let text = entries.try_recv().unwrap().data["message"].as_str().unwrap().to_owned();
        assert_eq!(text.chars().count(), TEXT_CHARS_MAX + 1);
        for _ in 0..10 * QUEUED {
            log.notice("vm_run", "x");
        }
        assert_eq!(std::iter::from_fn(|| entries.try_recv().ok()).count(), QUEUED);
    }
}
