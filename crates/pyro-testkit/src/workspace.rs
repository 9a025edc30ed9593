//! A workspace of a test, made by the program under test and deleted when the test is done with it. It must not know what is
//! tested.

use crate::Outcome;
use crate::Sandbox;
use serde_json::Value;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// A workspace. Dropping it deletes it, if it is still there.
#[derive(Debug)]
pub struct Workspace<'a> {
    sandbox: &'a Sandbox,
    id: String,
}

impl Sandbox {
    /// Makes a workspace and starts its guest.
    pub fn workspace(&self, environment: &str, flags: &[&str]) -> Workspace<'_> {
        let made = self.run([&["workspace", "create", environment, "--id-only"], flags].concat()).succeeds();
        self.adopt(made.stdout().trim())
    }

    /// Has a workspace that was made otherwise deleted when it is dropped.
    pub fn adopt(&self, id: &str) -> Workspace<'_> {
        Workspace { sandbox: self, id: id.to_owned() }
    }

    /// Events as they come, those so far first.
    pub fn events(&self) -> Events {
        let mut child = self
            .pyro(["events", "--follow", "--all", "--json-lines"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Events { child, lines }
    }
}

impl Workspace<'_> {
    /// Another workspace of the same sandbox.
    pub fn sibling(&self, id: &str) -> Self {
        Self { sandbox: self.sandbox, id: id.to_owned() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The program, with `workspace`, these words, the id, and then the rest.
    pub fn command(&self, words: &str, rest: &[&str]) -> Command {
        let words: Vec<&str> = words.split(' ').collect();
        self.sandbox.pyro([&["workspace"], words.as_slice(), &[self.id()], rest].concat())
    }

    /// Runs that to its end.
    pub fn call(&self, words: &str, rest: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(words, rest))
    }

    /// Runs a shell script in it.
    pub fn exec(&self, script: &str) -> Outcome {
        self.call("exec", &["--timeout-seconds", "120", "--", script])
    }

    /// What a shell script that succeeds prints, without white space at its end.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        self.exec(script).succeeds().stdout().trim_end().to_owned()
    }

    /// Its record.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.call("status", &["--json"]).succeeds().json()
    }

    /// One of its processes: `engine_pid` or `supervisor_pid`.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        i32::try_from(self.status()[name].as_i64().unwrap()).unwrap()
    }
}

impl Drop for Workspace<'_> {
    fn drop(&mut self) {
        // One that the test has deleted itself is not there any more.
        let _ = self.call("delete", &[]);
    }
}

/// Events as they come. Dropping it ends the program that tells them.
#[derive(Debug)]
pub struct Events {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Events {
    /// The next event of this kind.
    #[track_caller]
    pub fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "no more events, and no {kind}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
