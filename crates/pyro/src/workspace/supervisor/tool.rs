//! A tool that a client runs in the guest: bytes in, bytes out, and its end. This file must not look at the bytes.
//!
//! ```text
//!   under way -- its output ended --> its end is read --> told
//!       \-- the client is gone --> killed; but one that puts things in place ends by itself, as long as that does not take
//!                                  too long, and what one that did not end by itself had done is taken back
//! ```

use super::feed::Feed;
use super::recover::recover;
use super::serve::Client;
use crate::guest::Ending;
use crate::guest::Exec;
use crate::guest::GuestClient;
use crate::guest::GuestError;
use crate::guest::StreamReader;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::error::WorkspaceError;
use pyro_proto::exec::ExecExit;
use pyro_proto::message::SignalTarget;
use pyro_proto::tool::Tool;
use std::io;
use std::time::Duration;
use tokio::sync::RwLock;

/// Pieces of input on their way to a tool.
const DEPTH: usize = 16;

const KILL: i32 = 9;

/// How long a tool may take to end when nobody will hear of it.
const GIVEN_UP_MAX: Duration = Duration::from_secs(60);

/// How long a tool that was killed may take to be gone.
const KILLED_MAX: Duration = Duration::from_secs(10);

/// What is done when the client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// It is killed.
    None,
    /// It notices the end of its input, and is not killed while it finishes or takes something back.
    Ends,
    /// So too, and if it does not end by itself what it had done is taken back.
    TakesBack,
}

impl Care {
    const fn of(tool: &Tool) -> Self {
        match tool {
            Tool::Receive { .. } => Self::TakesBack,
            Tool::Write { .. } => Self::Ends,
            _ => Self::None,
        }
    }
}

/// How a tool and its client came apart.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What to tell the client.
    pub(super) told: Result<(), WorkspaceError>,
    /// Why what the tool had done when it was cut short could not be taken back.
    pub(super) left: Option<String>,
}

/// Begins a tool. One that writes waits until the guest's disk is not held: the guest would refuse it. What is asked of the guest
/// later, such as the next hold, comes after it.
pub(super) async fn begin(
    guest: &GuestClient,
    held: &RwLock<()>,
    tool: Tool,
    input: bool,
) -> Result<Begun, WorkspaceError> {
    let care = Care::of(&tool);
    let _free = if tool.writes() { Some(held.read().await) } else { None };
    Ok(Begun { exec: guest.tool_bytes(tool, input).map_err(failed)?, care })
}

/// A tool that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    exec: Exec,
    care: Care,
}

/// Runs a tool for a client until it has ended; it ends with its client.
pub(super) async fn run(guest: &GuestClient, begun: Begun, client: &mut Client) -> Outcome {
    run_within(guest, begun, client, GIVEN_UP_MAX).await
}

async fn run_within(
    guest: &GuestClient,
    Begun { mut exec, care }: Begun,
    client: &mut Client,
    patience: Duration,
) -> Outcome {
    let mut feed = Feed::new(exec.stdin.take(), DEPTH);
    let Some(mut output) = exec.stdout.take() else {
        return Outcome { told: Err(failed(GuestError::Closed)), left: None };
    };
    let (told, exit) = match pass_on(&mut output, &mut feed, client).await {
        Ok(()) => {
            let exit = exec.exited().await;
            (exit.as_ref().map(drop).map_err(|source| failed(source.clone())), exit)
        }
        Err(gone) => {
            feed.end();
            (Err(gone), give_up(&mut exec, &mut output, care, patience).await)
        }
    };
    let by_itself = exit.is_ok_and(|exit| matches!(exit.ending, Ending::Code(_)));
    let left = if care == Care::TakesBack && !by_itself { recover(guest).await.err() } else { None };
    Outcome { told, left }
}

/// Passes bytes on until the tool's output ends.
async fn pass_on(
    output: &mut StreamReader,
    feed: &mut Feed,
    client: &mut Client,
) -> Result<(), WorkspaceError> {
    let gone = |source| WorkspaceError::Caller { operation: "answering the client", source };
    loop {
        let room = !feed.is_full();
        tokio::select! {
            bytes = output.read() => match bytes {
                Some(bytes) => client.send(Tag::Stdout, &bytes).await.map_err(gone)?,
                None => return Ok(()),
            },
            () = feed.make_room(), if !room => {}
            frame = client.next(room) => match frame {
                Some(Frame { tag: Tag::Input, payload }) => feed.push(payload),
                Some(Frame { tag: Tag::InputEnd, .. }) => feed.end(),
                Some(_) => {}
                None => return Err(gone(io::ErrorKind::BrokenPipe.into())),
            },
        }
    }
}

/// Sees to it that a tool whose client is gone ends; its end.
async fn give_up(
    exec: &mut Exec,
    output: &mut StreamReader,
    care: Care,
    patience: Duration,
) -> Result<ExecExit, GuestError> {
    if care != Care::None
        && let Ok(exit) = tokio::time::timeout(patience, end_of(exec, output)).await
    {
        return exit;
    }
    exec.signal(KILL, SignalTarget::Tree);
    if care == Care::None {
        return Err(GuestError::Closed);
    }
    let killed = tokio::time::timeout(KILLED_MAX, end_of(exec, output)).await;
    killed.unwrap_or(Err(GuestError::Closed))
}

/// A tool's end; what it still has to say is read, for it may wait for that.
async fn end_of(exec: &mut Exec, output: &mut StreamReader) -> Result<ExecExit, GuestError> {
    while output.read().await.is_some() {}
    exec.exited().await
}

const fn failed(source: GuestError) -> WorkspaceError {
    WorkspaceError::Guest { operation: "working on the guest's files", source }
}

#[cfg(test)]
mod tests {
    use super::super::tests::FakeGuest;
    use super::*;
    use pyro_proto::message::RequestBody;
    use tokio::net::UnixStream;

    async fn begun(guest: &GuestClient, tool: Tool, input: bool) -> Begun {
        begin(guest, &RwLock::new(()), tool, input).await.unwrap()
    }

    fn receive() -> Tool {
        Tool::Receive { root: "/workspace".into(), staged: true, report: true }
    }

    fn client() -> (UnixStream, Client) {
        let (near, far) = UnixStream::pair().unwrap();
        (near, Client::new(far))
    }

    /// Cuts off what a client hears, while what it says could still come.
    fn stop_listening(client: &UnixStream) {
        rustix::net::shutdown(client, rustix::net::Shutdown::Read).unwrap();
    }

    #[tokio::test]
    async fn a_receive_whose_client_dies_while_it_is_answered_ends_by_itself() {
        let (mut guest, to_guest) = FakeGuest::new();
        let (near, mut client) = client();
        stop_listening(&near);
        let story = async {
            let mut tool = guest.tool().await;
            tool.says(b"an answer").await;
            tool.input_ends().await;
            tool.says(b"and another one").await;
            tool.done().await;
        };
        let (outcome, ()) =
            tokio::join!(run(&to_guest, begun(&to_guest, receive(), true).await, &mut client), story);
        assert!(matches!(outcome.told, Err(WorkspaceError::Caller { .. })), "{outcome:?}");
        assert_eq!(outcome.left, None);
        // Nothing more was asked: neither was it killed nor was there anything to take back.
        drop(to_guest);
        assert!(guest.hears_nothing_more().await);
    }

    #[tokio::test]
    async fn what_a_receive_did_that_did_not_end_by_itself_is_taken_back() {
        for dead in [false, true] {
            let (mut guest, to_guest) = FakeGuest::new();
            let (near, mut client) = client();
            let patience = Duration::from_millis(20);
            let story = async {
                let mut tool = guest.tool().await;
                if dead {
                    drop(near);
                    tool.is_told_to_die().await;
                }
                tool.killed().await;
                let (mut recover, what) = guest.tool_and_what().await;
                assert_eq!(what, Tool::Recover);
                recover.says(b"").await;
                recover.done().await;
            };
            let run = run_within(&to_guest, begun(&to_guest, receive(), true).await, &mut client, patience);
            let (outcome, ()) = tokio::join!(run, story);
            assert_eq!((outcome.told.is_err(), outcome.left), (dead, None));
        }
    }

    #[tokio::test]
    async fn why_nothing_was_taken_back_is_told() {
        let (mut guest, to_guest) = FakeGuest::new();
        let (_near, mut client) = client();
        let story = async {
            guest.tool().await.killed().await;
            guest.tool().await.killed().await;
        };
        let (outcome, ()) =
            tokio::join!(run(&to_guest, begun(&to_guest, receive(), true).await, &mut client), story);
        assert!(outcome.left.unwrap().contains("signal 9"));
    }

    #[tokio::test]
    async fn a_tool_that_only_looks_is_killed_with_its_client() {
        let (mut guest, to_guest) = FakeGuest::new();
        let (near, mut client) = client();
        let tool = Tool::Stat { path: "/".into() };
        let story = async {
            let mut tool = guest.tool().await;
            drop(near);
            tool.is_told_to_die().await;
        };
        let (outcome, ()) =
            tokio::join!(run(&to_guest, begun(&to_guest, tool, false).await, &mut client), story);
        assert!(outcome.told.is_err() && outcome.left.is_none());
        drop(to_guest);
        let more = guest.requests().await;
        assert!(!more.iter().any(|body| matches!(body, RequestBody::Tool(_))), "{more:?}");
    }

    #[tokio::test]
    async fn what_writes_waits_until_the_disk_is_not_held_and_what_looks_does_not() {
        let (mut guest, to_guest) = FakeGuest::new();
        let held = RwLock::new(());
        let holder = held.write().await;
        let stat = begin(&to_guest, &held, Tool::Stat { path: "/".into() }, false).await.unwrap();
        let write = begin(&to_guest, &held, receive(), true);
        let mut write = std::pin::pin!(write);
        tokio::select! {
            biased;
            _ = &mut write => panic!("it did not wait"),
            (_, what) = guest.tool_and_what() => assert!(matches!(what, Tool::Stat { .. })),
        }
        drop(holder);
        let (begun, (_, what)) = tokio::join!(write, guest.tool_and_what());
        assert!(begun.is_ok() && what == receive());
        drop(stat);
    }
}
