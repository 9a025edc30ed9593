//! How clients and supervisors talk. This folder must not know what a supervisor does.

pub(in crate::workspace) mod connection;
pub(in crate::workspace) mod frame;
pub(in crate::workspace) mod message;
pub(in crate::workspace) mod shell;
pub(in crate::workspace) mod socket;
