//! The program's exit codes, all of them. `run` ends with the guest command's own code besides.

use std::process::ExitCode;

/// Everything went well.
pub(crate) const OK: i32 = 0;
/// The operation failed.
pub(crate) const FAILED: i32 = 1;
/// The command line was wrong.
pub(crate) const USAGE: i32 = 2;

/// Every exit code with its meaning, for the generated reference.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Success; for `run`, the guest command's own 0."),
    ("1", "The operation failed; for `doctor`, a check failed; for `run`, the guest command's own 1."),
    ("2", "The command line was wrong; for `run`, possibly the guest command's own 2."),
    ("124", "`run`: the command's time was up."),
    ("125", "`run`: pyro itself failed; the guest command may not have run."),
    ("126", "`run`: the program exists in the guest and cannot be executed."),
    ("127", "`run`: the program does not exist in the guest."),
    ("128+N", "`run`: signal N killed the command, or interrupted pyro itself (130 for Ctrl-C)."),
];

/// As the operating system takes it: eight bits.
pub(crate) fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
