//! Signals as SSH calls them, and their numbers. This file must not send any.

use russh::Sig;
use rustix::process::Signal;

const NAMES: &[(&str, Signal)] = &[
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STOP", Signal::STOP),
    ("TERM", Signal::TERM),
    ("TSTP", Signal::TSTP),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
];

/// The number of a signal that a client names.
pub(crate) fn number(signal: &Sig) -> Option<i32> {
    let name = match signal {
        Sig::Custom(name) => name.clone(),
        named => format!("{named:?}"),
    };
    NAMES.iter().find(|(listed, _)| *listed == name).map(|(_, signal)| signal.as_raw())
}

/// What a signal is called; one that has no name of its own by its number.
pub(crate) fn name(number: i32) -> Sig {
    match NAMES.iter().find(|(_, signal)| signal.as_raw() == number).map(|(name, _)| *name) {
        Some("ABRT") => Sig::ABRT,
        Some("ALRM") => Sig::ALRM,
        Some("FPE") => Sig::FPE,
        Some("HUP") => Sig::HUP,
        Some("ILL") => Sig::ILL,
        Some("INT") => Sig::INT,
        Some("KILL") => Sig::KILL,
        Some("PIPE") => Sig::PIPE,
        Some("QUIT") => Sig::QUIT,
        Some("SEGV") => Sig::SEGV,
        Some("TERM") => Sig::TERM,
        Some("USR1") => Sig::USR1,
        Some(other) => Sig::Custom(other.to_owned()),
        None => Sig::Custom(format!("{number}@pyro")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for (text, signal) in NAMES {
            assert_eq!(number(&name(signal.as_raw())), Some(signal.as_raw()), "{text}");
        }
        assert_eq!((number(&Sig::KILL), number(&Sig::Custom("NO".to_owned()))), (Some(9), None));
    }
}
