//! Services: commands of the guest that stay, by name. What one is to be, what is known of one, what it printed, and asking for
//! it. The supervisor runs them; this folder must not.

mod backoff;
mod error;
mod handle;
mod http;
pub(super) mod log;
mod record;
mod spec;
pub(super) mod store;

pub(super) use backoff::Backoff;
pub use error::ServiceError;
pub use handle::ServiceLogs;
pub(super) use http::HTTP_HEAD_BYTES_MAX;
pub(super) use http::http_status;
pub(super) use record::Change;
pub(super) use record::Exit;
pub(super) use record::Known;
pub use record::ServiceFailure;
pub use record::ServiceRecord;
pub use record::ServiceState;
pub(super) use record::stop_reason;
pub use spec::HttpUrl;
pub use spec::Probe;
pub use spec::RestartPolicy;
pub use spec::ServiceSpec;
pub use spec::ServiceSpecError;
pub use spec::TcpTarget;
