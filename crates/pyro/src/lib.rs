//! The product as a library.
//!
//! This crate must not print, read the environment or the home directory: everything it may use comes in a [`Config`].

pub mod bench;
pub mod code;
pub mod command;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod environments;
pub mod fork;
pub mod guest;
mod host_compat;
pub mod identity;
pub mod limits;
pub mod machine;
pub mod patch;
pub mod run;
pub mod secret;
pub mod signal;
pub mod state;
pub mod template;
pub mod terminal;
pub mod tree;
pub mod workspace;

pub use code::Coded;
pub use command::Command;
pub use config::Config;
pub use pyro_engine as engine;
pub use pyro_image as image;
