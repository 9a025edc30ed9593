//! Work on a guest's files without any of its programs, on its own file systems: the workspace's disk and the overlay.

use crate::debian;
use pyro::guest::GuestError;
use pyro::guest::ToolError;
use pyro::machine::Machine;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::ScanDone;
use pyro_proto::tool::Tool;
use pyro_proto::tool::WriteDone;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use pyro_testkit::Library;
use pyro_testkit::library::block_on;
use pyro_testkit::library::sh;
use std::time::Duration;

/// Files of the tree that travels, and folders they are in.
const FILES: u64 = 2000;
const FOLDERS: u64 = 20;

fn path(path: &str) -> TreePath {
    TreePath::new(path.as_bytes()).unwrap()
}

fn file(at: &str, content: &[u8]) -> [Record; 3] {
    let entry = Entry { mode: 0o640, ..Entry::new(path(at), EntryKind::File) };
    [Record::Entry(entry), Record::Data(content.to_vec()), Record::End]
}

async fn receive(
    guest: &Machine,
    root: &str,
    staged: bool,
    records: &[Record],
) -> Result<ReceiveDone, ToolError> {
    let tool = Tool::Receive { root: root.into(), staged, report: false };
    let mut run = guest.client.tool(tool, true, None).unwrap();
    for record in records {
        run.send(record).await?;
    }
    run.send(&Record::Done(Vec::new())).await?;
    run.done().await
}

async fn hold(guest: &Machine, ms_max: u64) -> Result<(), GuestError> {
    guest.client.call(RequestBody::HoldDisk { ms_max }).await
}

fn many_files() -> Vec<Record> {
    let mut records = Vec::new();
    for folder in 0..FOLDERS {
        let entry = Entry { mode: 0o755, ..Entry::new(path(&format!("d{folder}")), EntryKind::Directory) };
        records.push(Record::Entry(entry));
        for at in 0..FILES / FOLDERS {
            records.extend(file(&format!("d{folder}/f{at}"), &[b'x'; 1000]));
        }
    }
    records
}

#[test]
fn trees_travel_into_a_guest_and_back() {
    let home = debian();
    let library = Library::of(&home);
    block_on(async {
        let guest = library.guest("debian:12", 512).await;
        for (staged, root) in
            [(false, "/workspace/direct"), (true, "/workspace/staged"), (true, "/srv/overlay")]
        {
            for _ in 0..2 {
                let done = receive(&guest, root, staged, &many_files()).await.unwrap();
                assert_eq!((done.entries, done.bytes, done.deleted), (FILES + FOLDERS, FILES * 1000, 0));
            }
            let tool =
                Tool::Send { root: root.into(), exclude: Vec::new(), listed: false, bytes_max: u64::MAX };
            let mut run = guest.client.tool(tool, false, None).unwrap();
            let mut bytes = 0;
            while let Some(record) = run.next().await.unwrap() {
                bytes += if let Record::Data(data) = record { data.len() as u64 } else { 0 };
            }
            let done: ScanDone = run.done().await.unwrap();
            assert_eq!((bytes, done.entries), (FILES * 1000, FILES + FOLDERS + 1));
        }
        assert_eq!(sh(&guest, "stat -c '%a %u %Y' /workspace/staged/d7/f9").await, "640 0 0");
        // The base's own folders can be replaced and removed too, and all of it is taken back when the end fails.
        let listing = "cd /etc; find apt hosts default cron.d -printf '%p %m %u %g %y %l\n' | sort; \
            find apt hosts default cron.d -type f | sort | xargs sha256sum";
        let before = sh(&guest, listing).await;
        let changes = |last: &str| {
            let mut records = vec![Record::Delete(path("default/useradd")), Record::Delete(path("cron.d"))];
            records.extend(file("hosts", b"127.0.0.1 changed\n"));
            records.extend(file("apt", b"x"));
            records.extend(file(last, b"x"));
            records
        };
        assert!(receive(&guest, "/etc", true, &changes(&"x".repeat(256))).await.is_err());
        assert_eq!(sh(&guest, listing).await, before);
        let done = receive(&guest, "/etc", true, &changes("fine")).await.unwrap();
        assert_eq!((done.entries, done.deleted), (3, 3));
        let after =
            sh(&guest, "cd /etc; cat hosts apt; ls -d cron.d default/useradd 2>&1 | grep -c 'No such'").await;
        assert_eq!(after, "127.0.0.1 changed\nx2");
        let tool =
            Tool::Write { path: "/etc/motd".into(), mode: None, make_parents: false, create_new: false };
        let mut run = guest.client.tool(tool, true, None).unwrap();
        run.send(&Record::Data(b"hello".to_vec())).await.unwrap();
        run.send(&Record::Done(Vec::new())).await.unwrap();
        assert_eq!(run.done::<WriteDone>().await.unwrap().bytes, 5);
        assert_eq!(sh(&guest, "cat /etc/motd; stat -c %a /etc/motd").await, "hello644");
        let mount = Tool::Delete { path: "/workspace".into(), recursive: true };
        let refused = guest.client.tool(mount, false, None).unwrap().done::<serde_json::Value>().await;
        assert!(matches!(refused, Err(ToolError::Refused(error)) if error.code == ErrorCode::Busy));
        assert_eq!(sh(&guest, "ls /workspace | wc -l").await, "2");
        guest.end().await;
    });
}

#[test]
fn a_held_disk_stands_still_and_goes_on() {
    let home = debian();
    let library = Library::of(&home);
    block_on(async {
        let guest = library.guest("debian:12", 512).await;
        hold(&guest, 60_000).await.unwrap();
        assert!(matches!(hold(&guest, 1000).await, Err(GuestError::Refused(_))));
        let writer = async { sh(&guest, "echo x > /workspace/held; cat /workspace/held").await };
        let mut writer = Box::pin(writer);
        let early = tokio::time::timeout(Duration::from_secs(3), &mut writer).await;
        assert!(early.is_err(), "nothing is written to a disk that is held");
        guest.client.call(RequestBody::ReleaseDisk).await.unwrap();
        assert_eq!(writer.as_mut().await, "x");
        drop(writer);
        assert!(guest.client.call(RequestBody::ReleaseDisk).await.is_err());
        // Nobody need come back for it.
        hold(&guest, 500).await.unwrap();
        assert_eq!(sh(&guest, "echo y > /workspace/held; cat /workspace/held").await, "y");
        assert!(guest.client.call(RequestBody::ReleaseDisk).await.is_err());
        hold(&guest, 60_000).await.unwrap();
        guest.end().await;
    });
}
