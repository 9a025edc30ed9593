//! The guest's PID 1 and command server, as a library so that tests and the host engine can drive it.
//!
//! The agent answers one host over one byte stream: it runs commands, moves their bytes, and makes a restored guest unlike
//! its twins. It is one thread around one epoll set, because a guest maps as little as possible and forks often.
//!
//! This crate must not know what a workspace or an engine is, must not resolve names, and must not need anything inside
//! the root file system it serves.

mod agent;
mod channel;
mod child;
mod command;
mod connection;
mod connections;
mod descendants;
mod disks;
mod exemption;
mod groups;
mod hold;
mod identity;
mod input;
mod job;
mod jobs;
mod life;
mod monitor;
mod names;
mod output;
mod place;
mod poll;
mod refusal;
mod requests;
mod secrets;
mod session;
mod spawn;
mod status;
mod stdio;
mod stillness;
mod sys;
mod tools;
mod tree;
mod users;
mod vault;

pub mod compat;
pub mod init;

pub use agent::AgentError;
pub use agent::End;
pub use agent::serve;
pub use place::Place;
