//! What can be done with pyro, as a table of named operations ([`operations`]), and the MCP server that offers them as tools
//! ([`server`]), how programs that use such servers are told of it ([`hosts`]), and what each reader calls a command
//! ([`wording`]).
//!
//! The table is the one place that knows an operation's arguments, their defaults and their schema; MCP and Python both
//! call it. This crate must not print, read the environment, or decide what the library would decide.

pub mod hosts;
pub mod operations;
pub mod server;
pub mod wording;
