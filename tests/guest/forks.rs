//! Forks of a running guest: its children go on where it was, each as a guest of its own, and it goes on itself.

use crate::debian;
use pyro::fork::ForkPoint;
use pyro::machine::Machine;
use pyro_testkit::Appearance;
use pyro_testkit::Library;
use pyro_testkit::Sandbox;
use pyro_testkit::library::all;
use pyro_testkit::library::block_on;
use pyro_testkit::library::sh;
use pyro_testkit::processes;
use std::collections::HashSet;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

const CHILDREN: usize = 10;
const MEM_MIB: u64 = 1024;

/// A process that counts how often it was asked, in its own memory.
const COUNTER: &str = "mkfifo /tmp/ask /tmp/answer; \
    setsid sh -c 'n=0; while read line < /tmp/ask; do n=$((n+1)); echo $n $$ > /tmp/answer; done' \
    > /dev/null 2>&1 < /dev/null &";

/// How often the counter was asked, and its process id.
async fn ask(guest: &Machine) -> (u32, u32) {
    let answer = sh(guest, "echo go > /tmp/ask; cat /tmp/answer").await;
    let (count, pid) = answer.split_once(' ').unwrap();
    (count.parse().unwrap(), pid.parse().unwrap())
}

const NAMES: &str =
    "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; cat /run/pyro/generation";

async fn children(library: &Rc<Library>, point: &Rc<ForkPoint>, count: usize) -> Vec<Machine> {
    let start = || {
        let (library, point) = (Rc::clone(library), Rc::clone(point));
        async move { point.start(&library.config).await.unwrap() }
    };
    all((0..count).map(|_| start())).await
}

#[test]
fn children_go_on_where_their_parent_was_and_so_does_it() {
    let home = debian();
    let library = Rc::new(Library::of(&home));
    block_on(async {
        let mut parent = library.guest("debian:12", MEM_MIB).await;
        sh(&parent, COUNTER).await;
        sh(&parent, "head -c 300M /dev/zero | tr '\\0' x > /dev/shm/touched; echo parent > /workspace/file")
            .await;
        let pid = ask(&parent).await.1;
        let point = Rc::new(ForkPoint::of(&library.config, &mut parent).await.unwrap());
        assert!(point.report.pause > Duration::ZERO && point.report.pause <= point.report.total);
        let children = children(&library, &point, CHILDREN).await;
        assert_eq!(ask(&parent).await, (2, pid), "the parent goes on");
        let mut names = HashSet::new();
        names.extend(sh(&parent, NAMES).await.lines().take(3).map(ToOwned::to_owned));
        for (n, child) in children.iter().enumerate() {
            assert_eq!(ask(child).await, (2, pid), "the process and its memory are there");
            assert_eq!(sh(child, "cat /workspace/file; wc -c < /dev/shm/touched").await, "parent\n314572800");
            names.extend(sh(child, NAMES).await.lines().take(3).map(ToOwned::to_owned));
            sh(
                child,
                &format!("echo {n} > /workspace/file; echo {n} > /etc/own; echo {n} > /dev/shm/touched"),
            )
            .await;
        }
        assert_eq!(
            names.len(),
            3 * (CHILDREN + 1),
            "each has its own name, machine id and randomness: {names:?}"
        );
        for (n, child) in children.iter().enumerate() {
            let seen = sh(child, "cat /workspace/file /etc/own /dev/shm/touched").await;
            assert_eq!(seen, format!("{n}\n{n}\n{n}"), "what a sibling writes is not seen");
        }
        assert_eq!(
            sh(&parent, "cat /workspace/file; ls /etc/own 2>&1 | wc -l; wc -c < /dev/shm/touched").await,
            "parent\n1\n314572800"
        );
        for child in children {
            child.end().await;
        }
        parent.end().await;
    });
    home.assert_nothing_left();
}

/// Ten children of a guest that has written 300 MiB: what none of them writes is there once.
#[test]
fn memory_is_shared_until_it_is_written() {
    let home = debian();
    let library = Rc::new(Library::of(&home));
    block_on(async {
        let mut parent = library.guest("debian:12", MEM_MIB).await;
        sh(&parent, "head -c 200M /dev/zero | tr '\\0' x > /dev/shm/touched").await;
        let point = Rc::new(ForkPoint::of(&library.config, &mut parent).await.unwrap());
        let children = children(&library, &point, 4).await;
        for child in &children {
            sh(child, "cat /dev/shm/touched > /dev/null").await;
        }
        for child in &children {
            let usage = child.guest.usage().unwrap();
            assert!(usage.rss_kib > 200 * 1024, "it has read all of it: {usage:?}");
            assert!(usage.pss_kib < usage.rss_kib / 2, "most of it is shared: {usage:?}");
        }
    });
}

#[test]
fn a_fork_can_be_forked() {
    let home = debian();
    let library = Rc::new(Library::of(&home));
    block_on(async {
        let mut parent = library.guest("debian:12", MEM_MIB).await;
        sh(&parent, COUNTER).await;
        let pid = ask(&parent).await.1;
        let point = ForkPoint::of(&library.config, &mut parent).await.unwrap();
        let mut child = point.start(&library.config).await.unwrap();
        drop(point);
        parent.end().await;
        assert_eq!(ask(&child).await, (2, pid));
        sh(&child, "echo child > /workspace/file").await;
        let point = ForkPoint::of(&library.config, &mut child).await.unwrap();
        let grandchild = point.start(&library.config).await.unwrap();
        child.end().await;
        assert_eq!(ask(&grandchild).await, (3, pid));
        assert_eq!(sh(&grandchild, "cat /workspace/file").await, "child");
        grandchild.end().await;
    });
    home.assert_nothing_left();
}

#[test]
fn a_snapshot_that_fails_leaves_the_guest_as_it_was() {
    let home = debian();
    let library = Library::of(&home);
    block_on(async {
        let mut guest = library.guest("debian:12", MEM_MIB).await;
        sh(&guest, COUNTER).await;
        assert_eq!(ask(&guest).await.0, 1);
        assert!(guest.snapshot(&home.home().join("no/such/folder")).await.is_err());
        assert_eq!(ask(&guest).await.0, 2);
        // This one fails later, when the guest stands still already.
        let folder = home.home().join("in-the-way");
        std::fs::create_dir_all(folder.join("rw.ext4")).unwrap();
        assert!(guest.snapshot(&folder).await.is_err());
        assert_eq!(ask(&guest).await.0, 3);
        let whole = home.home().join("whole");
        std::fs::create_dir(&whole).unwrap();
        guest.snapshot(&whole).await.unwrap();
        assert_eq!(ask(&guest).await.0, 4);
        guest.end().await;
    });
    home.assert_nothing_left();
}

/// Where the process that forks is told which sandbox it shall use.
const STATE: &str = "PYRO_TEST_FORK_STATE";
const CACHE: &str = "PYRO_TEST_FORK_CACHE";

#[test]
#[ignore = "a part of the next test, which starts it as a process of its own"]
fn a_process_that_forks_a_guest() {
    let (Some(state), Some(cache)) = (std::env::var_os(STATE), std::env::var_os(CACHE)) else { return };
    let library = Library::at(cache.into(), state.into(), None);
    block_on(async {
        let mut parent = library.guest("debian:12", MEM_MIB).await;
        eprintln!("step=parent");
        let point = ForkPoint::of(&library.config, &mut parent).await.unwrap();
        eprintln!("step=saved");
        let child = point.start(&library.config).await.unwrap();
        eprintln!("step=child");
        sh(&child, "sleep 1000").await;
    });
}

fn forking(home: &Sandbox) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "forks::a_process_that_forks_a_guest", "--ignored", "--nocapture"]);
    command.env(STATE, home.state()).env(CACHE, home.cache()).current_dir(home.home());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills the process that forks, and fails when anything of it is left after the next command.
fn kill_and_look(home: &Sandbox, mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
    processes::wait_until_none_uses(home.home());
    home.run(["run", "debian:12", "--", "true"]).succeeds();
    home.assert_nothing_left();
    let scratch = home.state().join("scratch");
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0, "a fork's folder is left");
}

#[test]
fn killing_a_process_that_forks_leaves_nothing() {
    let home = debian();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
    for step in ["step=parent", "step=saved", "step=child"] {
        let mut process = forking(&home);
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(step)), "{step} was not reached");
        kill_and_look(&home, process);
    }
    let named = |path: &Path, name: &str| {
        path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
    };
    for file in ["fork-", "memory", "rw.ext4", "state"] {
        let appearance = Appearance::below(&home.state().join("scratch"));
        let process = forking(&home);
        appearance.wait_for(|path| named(path, file));
        kill_and_look(&home, process);
    }
}

#[test]
fn a_disk_alone_can_be_saved_and_booted_from() {
    let home = debian();
    let library = Library::of(&home);
    block_on(async {
        let mut guest = library.guest("debian:12", 256).await;
        sh(&guest, "echo kept > /workspace/file; echo system > /etc/kept; echo gone > /dev/shm/file").await;
        let path = home.home().join("disk.ext4");
        let report = guest.snapshot_disk(&path).await.unwrap();
        assert!(report.pause <= report.total);
        sh(&guest, "echo later > /workspace/file").await;
        let plan = guest.plan().unwrap().clone();
        let id = pyro::identity::GuestId::random().unwrap();
        let copy = Machine::boot_from(&library.config, &plan, id, &path).await.unwrap();
        assert_eq!(sh(&copy, "cat /workspace/file /etc/kept; ls /dev/shm").await, "kept\nsystem");
        assert_eq!(sh(&guest, "cat /workspace/file").await, "later");
        // What is in the way is not overwritten, and the guest goes on.
        assert!(guest.snapshot_disk(&path).await.is_err());
        assert_eq!(sh(&guest, "echo well").await, "well");
        copy.end().await;
        guest.end().await;
    });
}
