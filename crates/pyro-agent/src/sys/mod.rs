//! The system calls no safe crate offers, one small leaf for each kind. Nothing here may know what a job is.

pub(crate) mod clone;
pub(crate) mod fd;
pub(crate) mod ioctl;
pub(crate) mod process;
pub(crate) mod signal;
