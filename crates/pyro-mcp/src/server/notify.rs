//! How a call goes on, as progress notifications: what has come together since the last one, so that neither a command that
//! prints much nor a slow client holds up the other. This file must not send anything.

use crate::operations::Progress;
use crate::operations::Step;
use pyro::workspace::history::Stream;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// Most characters of output in one notification: the last ones.
const OUTPUT_CHARS_MAX: usize = 2000;

/// What there is to tell.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pending: Mutex<Pending>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<String>,
    step: Option<Step>,
    output: Vec<u8>,
}

impl Notes {
    /// What is to be told next; waits until there is something.
    pub(super) async fn next(&self) -> String {
        loop {
            if let Some(text) = self.take() {
                return text;
            }
            self.news.notified().await;
        }
    }

    fn take(&self) -> Option<String> {
        let Pending { mut lines, step, output } = std::mem::take(&mut *self.lock());
        lines.extend(step.map(|step| describe(&step)));
        if !output.is_empty() {
            lines.push(tail(&String::from_utf8_lossy(&output)).to_owned());
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Notes {
    fn step(&self, step: &Step) {
        self.lock().step = Some(step.clone());
        self.news.notify_one();
    }

    fn notice(&self, text: &str) {
        self.lock().lines.push(text.to_owned());
        self.news.notify_one();
    }

    fn output(&self, _: Stream, bytes: &[u8]) {
        let mut pending = self.lock();
        pending.output.extend_from_slice(bytes);
        // A character has 4 bytes at most, and what is older will not be told.
        let surplus = pending.output.len().saturating_sub(4 * OUTPUT_CHARS_MAX);
        pending.output.drain(..surplus);
        drop(pending);
        self.news.notify_one();
    }
}

fn describe(step: &Step) -> String {
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    match (step.done, step.total) {
        (0, _) => step.name.clone(),
        (done, None) => format!("{}: {} MiB", step.name, mib(done)),
        (done, Some(total)) => format!("{}: {} of {} MiB", step.name, mib(done), mib(total)),
    }
}

fn tail(text: &str) -> &str {
    let surplus = text.chars().count().saturating_sub(OUTPUT_CHARS_MAX);
    text.char_indices().nth(surplus).map_or("", |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_come_together_is_told_at_once() {
        let notes = Notes::default();
        notes.notice("one");
        for done in [1 << 20, 3 << 20] {
            notes.step(&Step { name: "fetching".to_owned(), done, total: Some(4 << 20) });
        }
        notes.output(Stream::Stdout, b"a\n");
        notes.output(Stream::Stderr, b"b\n");
        assert_eq!(notes.next().await, "one\nfetching: 3.0 of 4.0 MiB\na\nb\n");
        assert_eq!(notes.take(), None);
    }

    #[test]
    fn of_much_output_the_last_is_told() {
        let notes = Notes::default();
        for _ in 0..1000 {
            notes.output(Stream::Stdout, "é".repeat(1000).as_bytes());
        }
        notes.output(Stream::Stdout, b"end");
        let told = notes.take().unwrap();
        assert_eq!(told.chars().count(), OUTPUT_CHARS_MAX);
        assert!(told.ends_with("éend"));
    }
}
