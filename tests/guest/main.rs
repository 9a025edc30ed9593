//! Stories told by real guests: each test starts the `pyro` program as a user would and looks at what it does. Logic is
//! proved close to it, in the crates; what is proved here is that everything is wired together.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod audits;
mod bad_input;
mod bench;
mod completions;
mod copies;
mod crashes;
mod crowds;
mod demos;
mod diffs;
mod disks;
mod documents;
mod endings;
mod environments;
mod events;
mod faces;
mod faults;
mod files;
mod forks;
mod full_disk;
mod host_compat;
mod hosts;
mod jobs;
mod library;
mod load;
mod mcp;
mod mcp_node;
mod mcp_python;
mod mcp_server;
mod mcp_story;
mod one_shot;
mod output;
mod packs;
mod patches;
mod pauses;
mod ports;
mod progress;
mod projects;
mod readme;
mod repository;
mod secrets;
mod seeds;
mod services;
mod shells;
mod short_forms;
mod snapshots;
mod ssh;
mod stories;
mod syncs;
mod templates;
mod tools;
mod unique;
mod workspaces;
mod zoo;

use pyro_testkit::Sandbox;
use std::io::Read as _;
use std::process::Child;
use std::process::Stdio;

/// A sandbox in which `debian:12` is installed.
fn debian() -> Sandbox {
    sandbox().with_environment("debian:12")
}

/// A sandbox of the program under test, in which nothing is known to be installed.
fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_pyro"))
}

/// A sandbox with an empty cache of its own.
fn empty_sandbox() -> Sandbox {
    Sandbox::with_empty_cache(env!("CARGO_BIN_EXE_pyro"))
}

/// A sandbox in which `debian:12` is installed and has no templates, in a cache of its own.
fn linked_sandbox() -> Sandbox {
    drop(debian());
    Sandbox::with_linked_cache(env!("CARGO_BIN_EXE_pyro"))
}

/// A run whose command has begun, which it tells by saying `begun` first.
fn begun(home: &Sandbox, script: &str) -> Child {
    let mut child = home
        .pyro(["run", "debian:12", "--timeout-seconds", "1000", "--", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"begun\n");
    child
}
