//! What host and guest say to each other, as a codec that does no I/O and reads no clock.
//!
//! One guest has one ordered byte stream to its host (a virtio-serial port under QEMU, a vsock connection under
//! Firecracker, a socket pair in tests). On it travel [`frame`]s; frames of stream 0 carry JSON [`message`]s, frames of
//! every other stream carry raw bytes under [`credit`]. Everything that arrives is hostile: every length is bounded by
//! [`limits`] before a byte is stored.
//!
//! This crate must not open files, spawn threads, or know what a workspace is.

pub mod bytes;
pub mod connect;
pub mod credit;
pub mod exec;
pub mod frame;
pub mod glob;
pub mod hello;
pub mod limits;
pub mod message;
pub mod status;
pub mod tool;
pub mod tree;

pub use bytes::ByteString;
pub use credit::ReceiveWindow;
pub use credit::SendWindow;
pub use frame::Decoder;
pub use frame::Frame;
pub use frame::FrameError;
pub use frame::Item;
pub use frame::Kind;
pub use frame::SYNC;
pub use frame::StreamId;
