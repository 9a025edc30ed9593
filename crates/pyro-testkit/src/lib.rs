//! For tests alone: runs the `pyro` program, or guests through the library, in a home of their own, and finds out whether
//! anything is left afterwards.
//! It must not be a dependency of anything that is shipped. What fails here fails the test, so it panics.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test's helper fails by panicking"
)]

pub mod appearance;
pub mod library;
mod linked;
pub mod mcp;
pub mod node;
pub mod outcome;
pub mod processes;
pub mod pty;
pub mod python;
pub mod sandbox;
pub mod story;
pub mod terminal;
pub mod trees;
pub mod workspace;

pub use appearance::Appearance;
pub use library::Library;
pub use mcp::McpClient;
pub use outcome::Outcome;
pub use pty::Pty;
pub use sandbox::Sandbox;
pub use sandbox::search_path;
pub use story::Story;
pub use workspace::Workspace;
