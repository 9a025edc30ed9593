//! The JSON messages of the control stream. A snapshot can hold an older agent than the host that restores it, so both
//! sides ignore fields they do not know and answer a message they do not know with [`ErrorCode::Unsupported`].
//! This file must not contain behaviour beyond encoding and decoding.

use crate::bytes::ByteString;
use crate::bytes::HiddenBytes;
use crate::connect::ConnectSpec;
use crate::exec::ExecExit;
use crate::exec::ExecSpec;
use crate::exec::Stdio;
use crate::hello::Attach;
use crate::hello::Attached;
use crate::hello::Hello;
use crate::limits::FRAME_PAYLOAD_BYTES_MAX;
use crate::status::GuestStatus;
use crate::tool::ToolSpec;
use serde::Deserialize;
use serde::Serialize;

/// Numbers a request within one attachment. A job is named by the request that started it.
pub type RequestId = u64;

/// Host to guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the host, never reused within an attachment.
    pub request: RequestId,
    /// What is asked.
    #[serde(flatten)]
    pub body: RequestBody,
}

/// What a host may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RequestBody {
    /// Open the attachment. Answered by [`ReplyBody::Attached`].
    Attach(Attach),
    /// Run a command. Answered by [`ReplyBody::Started`], later by [`ReplyBody::Exited`] with the same request number.
    Exec(ExecSpec),
    /// Work on files without any program of the guest: a job, answered as [`Self::Exec`] is.
    Tool(ToolSpec),
    /// Open a connection to what listens in the guest. Answered by [`ReplyBody::Connected`] once it is open.
    Connect(ConnectSpec),
    /// Flush the guest's own disk and hold all writes to it, so that it is clean and stands still while the guest runs on. Ends
    /// by itself after so many milliseconds. Answered by [`ReplyBody::Done`] when it stands still.
    HoldDisk {
        /// Milliseconds after which it is released by itself; at most [`crate::limits::HOLD_DISK_MS_MAX`].
        ms_max: u64,
    },
    /// Undo [`Self::HoldDisk`]. Answered by [`ReplyBody::Done`], or a failure if it had been released by itself already.
    ReleaseDisk,
    /// Make a job of the host before one's own, on streams of one's own: a job like one that was started by this request, and
    /// answered like that. Only for a host that attached with `keep_jobs`. Its outputs go on behind the last byte that was framed
    /// for the host before, so nothing is missing for one that had read up to a [`Self::Quiesce`]'s answer; an output that had
    /// ended ends again. Of its input nothing may be sent before the agent grants credit for it.
    TakeOver {
        /// The number that the job had for the host before.
        job: RequestId,
        /// Streams as it was started with; without `stdin` an input that is no terminal ends.
        stdio: Stdio,
    },
    /// Jobs of the host before that were not taken over run on unheard. Answered by [`ReplyBody::Done`].
    LetGo,
    /// Send a signal to a job. Answered by [`ReplyBody::Done`].
    Signal {
        /// The job's request number.
        job: RequestId,
        /// Signal number, 1 to 64.
        signal: i32,
        /// Whom it reaches.
        #[serde(default)]
        target: SignalTarget,
    },
    /// End a job as a time-out does: TERM for all its processes, KILL for those that are left after its grace. Its end is told
    /// when none is. Answered by [`ReplyBody::Done`].
    End {
        /// The job's request number.
        job: RequestId,
    },
    /// Change a job's terminal size. Answered by [`ReplyBody::Done`].
    Resize {
        /// The job's request number.
        job: RequestId,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Set the wall clock, in nanoseconds since the Unix epoch. Answered by [`ReplyBody::Done`].
    Clock {
        /// The time.
        realtime_ns: u64,
    },
    /// Credit entropy to the kernel's generator and force a reseed. Answered by [`ReplyBody::Done`].
    Entropy {
        /// Random bytes.
        bytes: ByteString,
    },
    /// Put a secret at [`SECRETS_FOLDER`], in memory, where only the guest's root can read it. Answered by [`ReplyBody::Done`].
    PutSecret {
        /// The file's name: letters, digits and underscores.
        name: String,
        /// What is in it.
        value: HiddenBytes,
    },
    /// Take all secrets away again. Answered by [`ReplyBody::Done`].
    DropSecrets,
    /// Freeze user processes, flush file systems, and refuse all but an attach with an identity, or [`Self::Thaw`].
    /// Answered by [`ReplyBody::Done`] as the last thing the guest sends.
    Quiesce,
    /// Undo [`Self::Quiesce`] in the guest that was snapshotted, not in one restored from it. Answered by [`ReplyBody::Done`].
    Thaw,
    /// End all jobs, flush, unmount, power off. Answered by [`ReplyBody::Done`] just before the end.
    Shutdown,
    /// Answered by [`ReplyBody::Done`].
    Ping,
    /// Ask how the guest is doing. Answered by [`ReplyBody::Status`].
    Status,
}

/// Where a guest has its secrets, one file for each.
pub const SECRETS_FOLDER: &str = "/run/pyro-secrets";

/// Whom a signal reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTarget {
    /// The foreground process group of the job's terminal, or the job's own group without one.
    #[default]
    Foreground,
    /// Every process of the job.
    Tree,
}

/// Guest to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The request answered; 0 for what the guest says by itself.
    pub request: RequestId,
    /// The answer.
    #[serde(flatten)]
    pub body: ReplyBody,
}

/// What a guest may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReplyBody {
    /// The agent is there. Sent after each `SYNC` of the host, with request 0.
    Hello(Hello),
    /// The attachment is open.
    Attached(Attached),
    /// The command runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// The command ended, and all its output that will be sent has been framed before this message.
    Exited(ExecExit),
    /// The connection is open; its stream carries bytes from here on.
    Connected,
    /// How the guest is doing.
    Status(GuestStatus),
    /// The request was carried out.
    Done,
    /// The request was not carried out, and had no effect.
    Failed(WireError),
    /// A line for the host's log, with request 0.
    Log {
        /// The line, at most [`crate::limits::ERROR_TEXT_BYTES_MAX`] bytes.
        text: String,
    },
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// One sentence for people, naming the thing.
    pub message: String,
    /// The guest kernel's error number, if it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// Kinds of failure a guest reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message is malformed or breaks a limit.
    BadRequest,
    /// No attach came first, or its token or version was refused.
    NotAttached,
    /// A quiesced guest was asked for something else than an attach with an identity.
    Quiesced,
    /// The program, or the file, does not exist.
    NotFound,
    /// The program exists and may not be executed.
    NotExecutable,
    /// The working directory does not exist or may not be entered.
    BadCwd,
    /// The user does not exist.
    BadUser,
    /// The job does not exist or has ended.
    NoSuchJob,
    /// The guest is at one of its limits.
    LimitReached,
    /// The guest's kernel refused.
    System,
    /// Something is there already.
    AlreadyExists,
    /// A folder is needed, and something else is there; a link where no link is followed, too.
    NotADirectory,
    /// Something else is needed, and a folder is there.
    IsADirectory,
    /// A folder is not empty.
    NotEmpty,
    /// The disk is full, or a quota is.
    NoSpace,
    /// What came ended before it was whole.
    Truncated,
    /// More than the request allows.
    TooLarge,
    /// It is in use: a mount point, or a disk whose writes are held.
    Busy,
    /// Nothing is held, or no longer.
    NotHeld,
    /// Something is not as the request expects it to be.
    Changed,
    /// Nothing listens there.
    ConnectionRefused,
    /// The agent does not know this message.
    #[serde(other)]
    Unsupported,
}

/// Why a message could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or not a message this side knows.
    #[error("a control message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Larger than a frame.
    #[error(
        "a control message of {bytes} bytes is larger than the {FRAME_PAYLOAD_BYTES_MAX} a frame may hold"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Encodes a message as a control frame's payload.
///
/// # Errors
/// [`MessageError::TooLarge`] when it does not fit in one frame.
pub fn to_payload<T: Serialize>(message: &T) -> Result<Vec<u8>, MessageError> {
    let payload = serde_json::to_vec(message).map_err(MessageError::Malformed)?;
    if payload.len() > FRAME_PAYLOAD_BYTES_MAX {
        return Err(MessageError::TooLarge { bytes: payload.len() });
    }
    Ok(payload)
}

/// Decodes a guest's message on the host.
///
/// # Errors
/// [`MessageError::Malformed`].
pub fn reply_from_payload(payload: &[u8]) -> Result<Reply, MessageError> {
    serde_json::from_slice(payload).map_err(MessageError::Malformed)
}

/// A host's message as the guest understood it.
#[derive(Debug)]
pub enum Incoming {
    /// A request this agent knows.
    Request(Request),
    /// A request this agent does not know or cannot read, with its number, to be answered with an error.
    Unknown(RequestId),
}

/// Decodes a host's message in the guest; a message without even a request number is an error.
///
/// # Errors
/// [`MessageError::Malformed`].
pub fn request_from_payload(payload: &[u8]) -> Result<Incoming, MessageError> {
    #[derive(Deserialize)]
    struct Numbered {
        request: RequestId,
    }
    match serde_json::from_slice(payload) {
        Ok(request) => Ok(Incoming::Request(request)),
        Err(_) => serde_json::from_slice::<Numbered>(payload)
            .map(|numbered| Incoming::Unknown(numbered.request))
            .map_err(MessageError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Endpoint;
    use crate::exec::Ending;

    /// The wire shape is a contract with agents inside snapshots: these texts may gain fields, never lose or rename them.
    #[test]
    fn golden_shapes() {
        let exec = Request {
            request: 7,
            body: RequestBody::Exec(ExecSpec {
                argv: vec!["git".into(), ByteString(vec![0xff])],
                cwd: Some("/workspace".into()),
                stdio: Stdio { stream: 1, stdin: true, stderr_stream: Some(2), pty: None },
                timeout_ms: Some(30_000),
                ..ExecSpec::default()
            }),
        };
        let text = r#"{"request":7,"type":"exec","argv":["git",{"hex":"ff"}],"cwd":"/workspace","stdio":{"stream":1,"stdin":true,"stderr_stream":2},"timeout_ms":30000}"#;
        assert_eq!(serde_json::to_string(&exec).unwrap(), text);
        assert!(matches!(request_from_payload(text.as_bytes()), Ok(Incoming::Request(back)) if back == exec));
        let connect =
            |request, stream, to| Request { request, body: RequestBody::Connect(ConnectSpec { stream, to }) };
        let shapes = [
            (
                connect(8, 3, Endpoint::Tcp { host: None, port: 8080 }),
                r#"{"request":8,"type":"connect","stream":3,"to":{"tcp":{"port":8080}}}"#,
            ),
            (
                connect(9, 4, Endpoint::Tcp { host: Some("::1".into()), port: 80 }),
                r#"{"request":9,"type":"connect","stream":4,"to":{"tcp":{"host":"::1","port":80}}}"#,
            ),
            (
                connect(10, 5, Endpoint::Unix { path: "/run/s".into() }),
                r#"{"request":10,"type":"connect","stream":5,"to":{"unix":{"path":"/run/s"}}}"#,
            ),
            (
                Request {
                    request: 11,
                    body: RequestBody::TakeOver {
                        job: 7,
                        stdio: Stdio { stream: 6, stdin: true, ..Stdio::default() },
                    },
                },
                r#"{"request":11,"type":"take_over","job":7,"stdio":{"stream":6,"stdin":true}}"#,
            ),
            (Request { request: 12, body: RequestBody::LetGo }, r#"{"request":12,"type":"let_go"}"#),
        ];
        for (request, text) in shapes {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert!(
                matches!(request_from_payload(text.as_bytes()), Ok(Incoming::Request(back)) if back == request)
            );
        }
        let text = r#"{"request":8,"type":"connected"}"#;
        assert_eq!(reply_from_payload(text.as_bytes()).unwrap().body, ReplyBody::Connected);
        let text = r#"{"request":8,"type":"failed","code":"connection_refused","message":"m"}"#;
        let Ok(Reply { body: ReplyBody::Failed(error), .. }) = reply_from_payload(text.as_bytes()) else {
            panic!("not a failure")
        };
        assert_eq!(error.code, ErrorCode::ConnectionRefused);
        let secret = RequestBody::PutSecret { name: "A".into(), value: HiddenBytes(b"swordfish".to_vec()) };
        assert!(!format!("{secret:?}").contains("sword"));
        let text = r#"{"request":7,"type":"put_secret","name":"A","value":"swordfish"}"#;
        assert_eq!(serde_json::to_string(&Request { request: 7, body: secret }).unwrap(), text);
        let exited = Reply {
            request: 7,
            body: ReplyBody::Exited(ExecExit {
                ending: Ending::Signal(9),
                timed_out: true,
                detached: 2,
                duration_us: 5,
                max_rss_kib: 1,
                cpu_us: 3,
            }),
        };
        let text = r#"{"request":7,"type":"exited","ending":{"signal":9},"timed_out":true,"detached":2,"duration_us":5,"max_rss_kib":1,"cpu_us":3}"#;
        assert_eq!(serde_json::to_string(&exited).unwrap(), text);
        assert_eq!(reply_from_payload(text.as_bytes()).unwrap(), exited);
    }

    #[test]
    fn newer_peers_are_understood_as_far_as_possible() {
        let unknown = br#"{"request": 9, "type": "levitate", "height_m": 3}"#;
        assert!(matches!(request_from_payload(unknown), Ok(Incoming::Unknown(9))));
        let extra = br#"{"request": 9, "type": "ping", "colour": "red"}"#;
        assert!(matches!(
            request_from_payload(extra),
            Ok(Incoming::Request(Request { request: 9, body: RequestBody::Ping }))
        ));
        let code = br#"{"request":1,"type":"failed","code":"brand_new","message":"m"}"#;
        let Ok(Reply { body: ReplyBody::Failed(error), .. }) = reply_from_payload(code) else {
            panic!("not a failure")
        };
        assert_eq!(error.code, ErrorCode::Unsupported);
        assert!(request_from_payload(b"{}").is_err());
    }
}
