//! Raw mode: every key reaches the program at the other end, none is acted upon here. Dropping it puts the terminal back as
//! it was, also when this program panics. This file must not read keys.

use rustix::stdio::stdin;
use rustix::termios::OptionalActions;
use rustix::termios::Termios;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Whether the terminal is raw, or should be.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// While this lives, the terminal at standard input is raw.
pub(crate) struct Raw {
    saved: Termios,
}

impl Raw {
    /// Takes over a terminal that was prepared for it.
    pub(crate) fn enter() -> io::Result<Self> {
        let saved = tcgetattr(stdin())?;
        ENTERED.store(true, Ordering::Relaxed);
        let raw = Self { saved };
        make_raw()?;
        Ok(raw)
    }
}

/// Makes it raw again when somebody else has changed it meanwhile.
pub(super) fn enter_again() {
    if ENTERED.load(Ordering::Relaxed) {
        // One that is gone says so when it is read.
        let _ = make_raw();
    }
}

fn make_raw() -> io::Result<()> {
    let mut raw = tcgetattr(stdin())?;
    raw.make_raw();
    Ok(tcsetattr(stdin(), OptionalActions::Now, &raw)?)
}

impl Drop for Raw {
    fn drop(&mut self) {
        ENTERED.store(false, Ordering::Relaxed);
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.saved);
    }
}
