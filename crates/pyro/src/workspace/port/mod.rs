//! Ports of the guest that are reached from the host: what is published, and a connection to a port by itself. They need no
//! network of the guest's, and are what they are whatever its network policy. This folder must not copy bytes; the supervisor
//! does.

mod error;
mod handle;
mod spec;

pub use error::PortError;
pub use handle::PortConnection;
pub(super) use handle::describe_state;
pub use spec::PortSpec;
pub use spec::PortSpecError;
pub use spec::PublishedPort;
