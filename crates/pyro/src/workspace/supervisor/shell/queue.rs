//! Input on its way to a shell's program, from all who write to it: bounded, and taken whole or not at all. A program that
//! does not read holds up nothing but its input. This file must not look at the bytes.

use crate::guest::StreamWriter;
use crate::workspace::shell::INPUT_BYTES_MAX;
use std::collections::VecDeque;
use tokio::sync::watch;

/// Input on its way. Dropping it ends the input.
#[derive(Debug)]
pub(super) struct Queue(watch::Sender<State>);

/// The end from which a program is fed.
#[derive(Debug)]
pub(super) struct Outlet(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    /// What was taken and not yet handed over.
    waiting: VecDeque<u8>,
    /// Nothing is handed over for now.
    held: bool,
    /// Nothing ever will be again.
    ended: bool,
}

/// Why input was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many bytes wait already.
    Full(usize),
    /// Nobody will ever read it.
    Ended,
}

impl Queue {
    /// One in which this waits already.
    pub(super) fn new(waiting: Vec<u8>) -> (Self, Outlet) {
        let state = watch::channel(State { waiting: waiting.into(), ..State::default() }).0;
        (Self(state.clone()), Outlet(state))
    }

    /// Takes all of it now, or nothing.
    pub(super) fn push(&self, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut refused = None;
        self.0.send_if_modified(|state| {
            refused = match state.waiting.len() {
                _ if state.ended => Some(Refused::Ended),
                waiting if bytes.len() > INPUT_BYTES_MAX - waiting => Some(Refused::Full(waiting)),
                _ => None,
            };
            if refused.is_none() {
                state.waiting.extend(bytes);
            }
            refused.is_none()
        });
        refused.map_or(Ok(()), Err)
    }

    /// Waits until there is room for so much, or nobody reads any more.
    pub(super) async fn room_for(&self, bytes: usize) {
        // The sender is this value's own.
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| state.ended || bytes <= INPUT_BYTES_MAX - state.waiting.len())
            .await;
    }

    /// Hands over nothing from now on, or goes on with that. What was handed over before is on the channel.
    pub(super) fn hold(&self, held: bool) {
        self.0.send_modify(|state| state.held = held);
    }

    /// Takes and hands over nothing any more; what still waited.
    pub(super) fn close(&self) -> Vec<u8> {
        let mut rest = VecDeque::new();
        self.0.send_modify(|state| {
            state.ended = true;
            rest = std::mem::take(&mut state.waiting);
        });
        rest.into()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Outlet {
    /// Feeds a program until it reads no more.
    pub(super) async fn feed(self, writer: StreamWriter) {
        while self.has_some().await {
            let Ok(slot) = writer.slot().await else { return };
            self.hand_over(|bytes| slot.send(bytes));
        }
    }

    /// Waits until there is something to hand over; false when there never will be.
    async fn has_some(&self) -> bool {
        let mut states = self.0.subscribe();
        let ready = |state: &State| state.ended || (!state.held && !state.waiting.is_empty());
        states.wait_for(ready).await.is_ok_and(|state| !state.ended)
    }

    /// Hands over as much as `take` takes, if any may be.
    fn hand_over(&self, take: impl FnOnce(&[u8]) -> usize) {
        self.0.send_if_modified(|state| {
            if state.held || state.ended {
                return false;
            }
            let taken = take(state.waiting.as_slices().0);
            state.waiting.drain(..taken);
            taken > 0
        });
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.ended = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    /// The next piece of at most so many bytes.
    fn next(outlet: &Outlet, bytes_max: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        outlet.hand_over(|bytes| {
            taken.extend_from_slice(&bytes[..bytes.len().min(bytes_max)]);
            taken.len()
        });
        taken
    }

    #[test]
    fn input_is_bounded_and_taken_whole_or_not_at_all() {
        run(async {
            let (queue, outlet) = Queue::new(Vec::new());
            queue.push(vec![1; INPUT_BYTES_MAX - 10]).unwrap();
            assert_eq!(queue.push(vec![2; 11]), Err(Refused::Full(INPUT_BYTES_MAX - 10)));
            queue.push(vec![3; 10]).unwrap();
            assert_eq!(queue.push(vec![4]), Err(Refused::Full(INPUT_BYTES_MAX)));
            let room = queue.room_for(1);
            tokio::pin!(room);
            assert!(futures_is_pending(room.as_mut()).await);
            assert!(outlet.has_some().await);
            let mut taken = 0;
            while taken < INPUT_BYTES_MAX - 10 {
                taken += next(&outlet, INPUT_BYTES_MAX - 10 - taken).len();
            }
            room.await;
            queue.push(vec![5; 11]).unwrap();
            assert_eq!(next(&outlet, 10), [3; 10]);
            drop(outlet);
            queue.room_for(INPUT_BYTES_MAX).await;
            assert_eq!(queue.push(vec![6]), Err(Refused::Ended));
            assert_eq!(queue.push(vec![6; INPUT_BYTES_MAX]), Err(Refused::Ended));
        });
    }

    #[test]
    fn what_is_held_stays_whole_for_whoever_goes_on_with_it() {
        run(async {
            let (queue, outlet) = Queue::new(b"first".to_vec());
            queue.push(b"second".to_vec()).unwrap();
            assert_eq!(next(&outlet, 3), b"fir");
            queue.hold(true);
            assert_eq!(next(&outlet, 3), b"");
            assert!(futures_is_pending(std::pin::pin!(outlet.has_some())).await);
            queue.push(b"!".to_vec()).unwrap();
            queue.hold(false);
            assert!(outlet.has_some().await);
            assert_eq!(next(&outlet, 2), b"st");
            queue.hold(true);
            assert_eq!(queue.close(), b"second!");
            assert!(!outlet.has_some().await);
            assert_eq!(queue.push(b"late".to_vec()), Err(Refused::Ended));
        });
    }

    /// Whether a future is still waiting when it has had a turn.
    async fn futures_is_pending<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending()))
            .await
    }
}
