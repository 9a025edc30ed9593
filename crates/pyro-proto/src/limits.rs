//! Every bound of the protocol, in one place. Nothing here may be read from the peer.

/// Largest payload of one frame, in bytes. A control message must fit, so this bounds argv and environment too.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Largest payload a sender puts into one data frame, in bytes: what a virtio-serial port takes in one write.
pub const DATA_CHUNK_BYTES: usize = 32 * 1024;

/// Bytes a sender may have under way on one stream, in one direction, before the receiver grants more.
pub const INITIAL_CREDIT_BYTES: u32 = 256 * 1024;

/// Most credit one stream may ever hold, in bytes; a grant beyond it is a protocol error.
pub const CREDIT_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The same for a connection to what listens in the guest, which grows as it is used: there may be very many that are slow.
pub const CONNECTION_CREDIT_BYTES: u32 = 64 * 1024;

/// Most connections to what listens in one guest open at once.
pub const CONNECTIONS_MAX: usize = 512;

/// Most streams open at once on one channel.
pub const STREAMS_MAX: usize = 4096;

/// Most jobs (commands, shells, services) alive at once in one guest.
pub const JOBS_MAX: usize = 1024;

/// Most arguments in one command.
pub const ARGS_MAX: usize = 4096;

/// Most environment variables in one command.
pub const ENV_MAX: usize = 4096;

/// Longest guest path, in bytes (Linux `PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;

/// Longest error text a guest may send, in bytes; longer ones are cut.
pub const ERROR_TEXT_BYTES_MAX: usize = 4096;

/// Entropy a host gives a guest on attach, in bytes.
pub const ENTROPY_BYTES: usize = 64;

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 128;

/// Longest host name, in bytes (Linux `HOST_NAME_MAX`).
pub const HOSTNAME_BYTES_MAX: usize = 64;

/// How long a timed-out process tree has between TERM and KILL unless the request says otherwise, in milliseconds.
pub const KILL_GRACE_MS: u64 = 1_000;

/// Longest that writes to the guest's disk are held, in milliseconds.
pub const HOLD_DISK_MS_MAX: u64 = 60_000;

/// Longest text of a match that a search tells, in bytes; a longer line is cut there.
pub const MATCH_TEXT_BYTES_MAX: usize = 1024;
