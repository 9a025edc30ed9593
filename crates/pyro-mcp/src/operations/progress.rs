//! Who is told how an operation goes on. This file must not decide what is worth telling.

pub use pyro::workspace::history::Stream;

/// A step of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done, in a few words.
    pub name: String,
    /// How much of it is done, in bytes; 0 when it is not counted.
    pub done: u64,
    /// Of how much, if that is known.
    pub total: Option<u64>,
}

/// Told how an operation goes on. Calls must return quickly.
pub trait Progress: Send + Sync {
    /// A step begins, or has come further.
    fn step(&self, step: &Step) {
        let _ = step;
    }

    /// Something worth a line.
    fn notice(&self, text: &str) {
        let _ = text;
    }

    /// A command printed something.
    fn output(&self, stream: Stream, bytes: &[u8]) {
        let _ = (stream, bytes);
    }
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
