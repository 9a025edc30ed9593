//! Signal numbers, masks and dispositions. This file must not send signals.
#![expect(unsafe_code, reason = "signal dispositions and masks have no safe wrapper")]

use rustix::process::Signal;
use std::ptr;

/// Highest signal number of Linux.
const SIGNAL_MAX: i32 = 64;

/// The C library's signal set: one bit for each signal, from 1 on.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SignalSet([u64; 16]);

const SIG_BLOCK: i32 = 0;
const SIG_SETMASK: i32 = 2;
const SIG_DFL: usize = 0;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn sigprocmask(how: i32, set: *const SignalSet, old: *mut SignalSet) -> i32;
    fn sigwait(set: *const SignalSet, number: *mut i32) -> i32;
}

/// The signal of this number. 32 and 33 belong to the C library and are refused.
pub(crate) const fn from_number(number: i32) -> Option<Signal> {
    match Signal::from_named_raw(number) {
        Some(signal) => Some(signal),
        None if number >= 34 && number <= SIGNAL_MAX => {
            // SAFETY: a real-time signal number the kernel knows; the agent only passes it to kill.
            Some(unsafe { Signal::from_raw_unchecked(number) })
        }
        None => None,
    }
}

/// Gives a child the dispositions and the mask of a fresh process, whatever the agent itself ignores.
pub(crate) fn reset_all() {
    for number in 1..=SIGNAL_MAX {
        // SAFETY: the default disposition is no pointer. Refused, harmlessly, for KILL, STOP and the C library's own two.
        unsafe { signal(number, SIG_DFL) };
    }
    let empty = EMPTY;
    // SAFETY: the set is a live, empty one, and the old one is not asked for.
    unsafe { sigprocmask(SIG_SETMASK, &raw const empty, ptr::null_mut()) };
}

const EMPTY: SignalSet = SignalSet([0; 16]);

/// A set of signals that this process takes with [`Blocked::wait`] instead of being interrupted by them.
pub(crate) struct Blocked(SignalSet);

impl Blocked {
    /// Blocks `signals`.
    pub(crate) fn new(signals: &[Signal]) -> Self {
        let mut set = EMPTY;
        for signal in signals {
            set.0[0] |= 1 << (signal.as_raw() - 1);
        }
        // SAFETY: the set is live, holds only signals this process handles itself, and the old one is not asked for.
        unsafe { sigprocmask(SIG_BLOCK, &raw const set, ptr::null_mut()) };
        Self(set)
    }

    /// Waits for one of the signals.
    pub(crate) fn wait(&self) -> Option<Signal> {
        let mut number = 0;
        // SAFETY: both pointers are to live values, and the set is blocked, as sigwait wants it.
        unsafe { sigwait(&raw const self.0, &raw mut number) };
        from_number(number)
    }
}
