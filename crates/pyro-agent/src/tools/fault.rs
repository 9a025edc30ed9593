//! Why a tool failed, as the host is told: what was being done, to which path, and what the kernel said. This file must
//! not decide what is a failure.

use crate::names::shown;
use crate::refusal::refuse_errno;
use crate::refusal::refuse_error;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use rustix::io::Errno;
use std::error::Error;

/// What may fail in a tool.
pub(super) type Fallible<T> = Result<T, WireError>;

/// A failure while doing something to a path.
pub(super) fn at(doing: &str, path: &[u8], errno: Errno) -> WireError {
    refuse_errno(code(errno), &format!("{doing} '{}'", shown(path)), errno)
}

/// Calls again what a signal interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What came is no stream of records, or is out of order.
pub(super) fn malformed(doing: &str, error: &dyn Error) -> WireError {
    let mut told = refuse_error(ErrorCode::BadRequest, error);
    told.message = format!("{doing}: {}", told.message);
    told
}

/// What kind of failure an error number stands for.
const fn code(errno: Errno) -> ErrorCode {
    match errno {
        Errno::NOENT => ErrorCode::NotFound,
        Errno::EXIST => ErrorCode::AlreadyExists,
        // Where no link is followed, one is as good as a file.
        Errno::NOTDIR | Errno::LOOP => ErrorCode::NotADirectory,
        Errno::ISDIR => ErrorCode::IsADirectory,
        Errno::NOTEMPTY => ErrorCode::NotEmpty,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorCode::NoSpace,
        Errno::BUSY | Errno::XDEV => ErrorCode::Busy,
        Errno::NAMETOOLONG | Errno::INVAL => ErrorCode::BadRequest,
        _ => ErrorCode::System,
    }
}
