//! Taking over a descriptor that this process was started with. This file must not open anything.
#![expect(unsafe_code, reason = "an inherited descriptor is known by its number alone")]

use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;

/// The open descriptor with this number. To be called once for each number, before anything is opened.
pub(crate) fn inherited(number: i32) -> Option<OwnedFd> {
    // SAFETY: only used to ask the kernel whether the number names an open file.
    let candidate = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(candidate).ok()?;
    // SAFETY: the number is open, and this process opened nothing yet, so nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
