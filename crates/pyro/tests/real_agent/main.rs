//! The host's client and the real agent, which here is a process on this host: what each believes of the other is true.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connections;

use pyro::Coded as _;
use pyro::engine::Engine as _;
use pyro::engine::Guest;
use pyro::engine::GuestSpec;
use pyro::engine::HostEngine;
use pyro::engine::Memory;
use pyro::guest::Ending;
use pyro::guest::Exec;
use pyro::guest::ExecStreams;
use pyro::guest::GuestClient;
use pyro::guest::GuestError;
use pyro::guest::StreamReader;
use pyro::guest::ToolError;
use pyro::identity::GuestId;
use pyro_proto::exec::ExecSpec;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::ScanDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::io::Write as _;
use std::sync::Arc;

struct Agent {
    client: GuestClient,
    _guest: Box<dyn Guest>,
    folder: tempfile::TempDir,
}

/// A running agent, not attached yet.
async fn started() -> Agent {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("workspace")).unwrap();
    let memfd = rustix::fs::memfd_create("agent", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = std::fs::File::from(memfd);
    file.write_all(pyro::image::agent::AGENT).unwrap();
    let spec = GuestSpec {
        id: "test".to_owned(),
        kernel: Default::default(),
        initrd: Default::default(),
        cmdline: Vec::new(),
        vcpus: 1,
        mem_mib: 0,
        memory: Memory::Anonymous,
        disks: Vec::new(),
        agent: Some(Arc::new(file)),
        runtime_dir: folder.path().to_owned(),
    };
    let mut guest = HostEngine.start(spec).await.unwrap();
    let client = GuestClient::connect(guest.take_channel().unwrap());
    Agent { client, _guest: guest, folder }
}

async fn attached() -> Agent {
    let mut agent = started().await;
    let id = GuestId::random().unwrap();
    let attach = agent.client.attach(pyro::identity::first_attach(&id, 1).unwrap());
    assert!(agent.client.hello().await.unwrap().needs_identity);
    assert_eq!(attach.await.unwrap().generation, 1);
    agent
}

impl Agent {
    fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn shell(&self, script: &str, stdin: bool) -> Exec {
        let argv = ["/bin/sh", "-c", script].map(Into::into).to_vec();
        let streams = ExecStreams { stdin, stderr: true, pty: None };
        self.client.exec(ExecSpec { argv, ..ExecSpec::default() }, streams).unwrap()
    }
}

async fn all(mut stream: StreamReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.read().await {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test]
async fn nothing_runs_before_the_attachment() {
    let agent = started().await;
    let mut exec = agent.shell("true", false);
    assert!(matches!(exec.started().await, Err(GuestError::Refused(_))));
}

#[tokio::test]
async fn bytes_go_in_and_come_out_as_they_are() {
    let agent = attached().await;
    let mut exec = agent.shell("cat; printf done >&2", true);
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stdin = exec.stdin.take().unwrap();
    let (stdout, stderr) = (exec.stdout.take().unwrap(), exec.stderr.take().unwrap());
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        stdin.finish().await.unwrap();
    };
    let ((), stdout, stderr) = tokio::join!(write, all(stdout), all(stderr));
    assert!(stdout == sent, "{} bytes came back of {}", stdout.len(), sent.len());
    assert_eq!(stderr, b"done");
    assert_eq!(exec.exited().await.unwrap().ending, Ending::Code(0));
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody_else() {
    let agent = attached().await;
    let mut stuck = agent.shell("yes", false);
    stuck.started().await.unwrap();
    for n in 0..20 {
        let mut exec = agent.shell(&format!("echo {n}; exit {n}"), false);
        let stdout = exec.stdout.take().unwrap();
        assert_eq!(all(stdout).await, format!("{n}\n").into_bytes());
        assert_eq!(exec.exited().await.unwrap().ending, Ending::Code(n));
    }
    stuck.signal(9, SignalTarget::Tree);
    drop(stuck.stdout.take());
    assert_eq!(stuck.exited().await.unwrap().ending, Ending::Signal(9));
}

#[tokio::test]
async fn a_command_that_stops_reading_does_not_stop_its_writer() {
    let agent = attached().await;
    let mut exec = agent.shell("head -c 10; exec 0<&-; echo closed; sleep 0.1", true);
    let mut stdin = exec.stdin.take().unwrap();
    let stdout = exec.stdout.take().unwrap();
    let write = async {
        // More than any window: were what nobody reads not dropped, this would wait for ever.
        let _ = stdin.write_all(&vec![b'x'; 4_000_000]).await;
    };
    let (out, ()) = tokio::join!(all(stdout), async {
        tokio::select! {
            () = write => {}
            ended = exec.exited() => assert_eq!(ended.unwrap().ending, Ending::Code(0)),
        }
    });
    assert_eq!(out, b"xxxxxxxxxxclosed\n");
}

#[tokio::test]
async fn an_agent_that_is_killed_closes_the_channel() {
    let mut agent = attached().await;
    let mut exec = agent.shell("sleep 1000", false);
    exec.started().await.unwrap();
    agent._guest.kill();
    assert!(matches!(exec.exited().await, Err(GuestError::Closed | GuestError::Channel(_))));
}

fn at(folder: &std::path::Path) -> pyro_proto::ByteString {
    std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str()).to_vec().into()
}

fn receive(root: &std::path::Path, staged: bool) -> Tool {
    Tool::Receive { root: at(root), staged, report: false }
}

fn file(path: &str) -> Record {
    let path = TreePath::new(path.as_bytes()).unwrap();
    Record::Entry(Entry { mode: 0o644, ..Entry::new(path, EntryKind::File) })
}

#[tokio::test]
async fn a_tree_travels_both_ways() {
    let agent = attached().await;
    let root = agent.folder().join("tree");
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut run = agent.client.tool(receive(&root, true), true, None).unwrap();
    run.send(&file("big")).await.unwrap();
    for piece in content.chunks(DATA_BYTES_MAX) {
        run.send(&Record::Data(piece.to_vec())).await.unwrap();
    }
    run.send(&Record::End).await.unwrap();
    let mut wire = Vec::new();
    Record::Done(Vec::new()).encode(&mut wire);
    run.send_bytes(&wire).await.unwrap();
    let done: ReceiveDone = run.done().await.unwrap();
    assert_eq!((done.entries, done.bytes), (1, 3_000_000));
    let tool = Tool::Send { root: at(&root), exclude: Vec::new(), listed: false, bytes_max: u64::MAX };
    let mut run = agent.client.tool(tool, false, Some(std::time::Duration::from_secs(60))).unwrap();
    let mut back = Vec::new();
    while let Some(record) = run.next().await.unwrap() {
        if let Record::Data(bytes) = record {
            back.extend_from_slice(&bytes);
        }
    }
    assert!(back == content);
    assert_eq!(run.done::<ScanDone>().await.unwrap().bytes, 3_000_000);
}

#[tokio::test]
async fn a_tool_that_fails_early_says_why_and_keeps_nobody_waiting() {
    let agent = attached().await;
    let root = agent.folder().join("tree");
    let mut run = agent.client.tool(receive(&root, false), true, None).unwrap();
    let special = EntryKind::Special;
    run.send(&Record::Entry(Entry::new(TreePath::new(&b"x"[..]).unwrap(), special))).await.unwrap();
    // Far more than there is credit for.
    let refused = loop {
        if let Err(error) = run.send_bytes(&[0; 64 * 1024]).await {
            break error;
        }
    };
    assert!(
        matches!(&refused, ToolError::Refused(error) if error.code == ErrorCode::BadRequest),
        "{refused:?}"
    );
    let missing = Tool::Stat { path: at(&agent.folder().join("missing")) };
    let refused = agent.client.tool(missing, false, None).unwrap().done::<serde_json::Value>().await;
    assert_eq!(refused.unwrap_err().code(), "path_not_found");
}

#[tokio::test]
async fn a_tool_that_is_dropped_is_killed() {
    let agent = attached().await;
    let root = agent.folder().join("tree");
    let mut run = agent.client.tool(receive(&root, true), true, None).unwrap();
    run.send(&file("half")).await.unwrap();
    run.send(&Record::Data(vec![1; DATA_BYTES_MAX])).await.unwrap();
    let input = run.take_input().unwrap();
    drop(run);
    // The input is still open: nothing but the kill ends it, and the job with it.
    while agent.client.status().await.unwrap().jobs > 0 {
        tokio::task::yield_now().await;
    }
    drop(input);
    let slow = agent.client.tool(receive(&root, true), true, Some(std::time::Duration::from_millis(50)));
    let mut slow = slow.unwrap();
    assert!(matches!(slow.next().await, Err(ToolError::TimedOut)));
    // What the killed ones left behind is gone once another has run.
    agent.client.tool(receive(&root, false), true, None).unwrap().done::<ReceiveDone>().await.unwrap_err();
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

#[tokio::test]
async fn a_disk_is_held_once_and_released_once() {
    let agent = attached().await;
    let hold = |ms_max| agent.client.call(RequestBody::HoldDisk { ms_max });
    let release = || agent.client.call(RequestBody::ReleaseDisk);
    hold(60_000).await.unwrap();
    assert!(matches!(hold(1000).await, Err(GuestError::Refused(_))));
    let sync = agent.client.tool(Tool::Sync, false, None).unwrap().done::<serde_json::Value>().await;
    assert!(matches!(sync, Err(ToolError::Refused(error)) if error.code == ErrorCode::Busy));
    release().await.unwrap();
    assert!(release().await.is_err());
    agent.client.tool(Tool::Sync, false, None).unwrap().done::<serde_json::Value>().await.unwrap();
    hold(1).await.unwrap();
    // It ends by itself, and then there is nothing to release.
    while hold(1).await.is_err() {}
}
