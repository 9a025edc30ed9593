//! What whoever waits at a terminal sees: bytes that are done, and of how many where that is known. Elsewhere there is nothing.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::terminal;
use std::fs;
use std::io::Read as _;

/// Bytes of a file that is worth a bar.
const LARGE_BYTES: u64 = 16 << 20;

fn large(home: &Sandbox, folder: &str) {
    fs::create_dir(home.home().join(folder)).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap().take(LARGE_BYTES);
    let mut file = fs::File::create(home.home().join(folder).join(folder)).unwrap();
    std::io::copy(&mut random, &mut file).unwrap();
}

fn at_terminal(home: &Sandbox, args: &[&str]) -> Outcome {
    Outcome::from_output(&format!("{args:?}"), terminal::run(&mut home.pyro(args))).succeeds()
}

/// Fails unless bytes were drawn under this word, and of how many if `total`.
#[track_caller]
fn assert_drawn(outcome: &Outcome, word: &str, total: bool) {
    let drawn = outcome.stderr();
    let frames = drawn.split(word).skip(1);
    let seen =
        frames.filter(|frame| frame.contains(" MiB")).any(|frame| frame.contains("MiB/") == total || !total);
    assert!(seen, "no bytes are drawn: {outcome:?}");
}

#[test]
fn whoever_waits_at_a_terminal_sees_how_far_it_is() {
    let home = debian();
    large(&home, "seed");
    large(&home, "more");
    let made = at_terminal(&home, &["workspace", "create", "debian:12", "--seed-path", "seed", "--id-only"]);
    let work = home.adopt(made.stdout().trim());
    assert_drawn(&made, "seeding", false);
    let call = |words: &str, rest: &[&str]| {
        let words: Vec<&str> = words.split(' ').collect();
        at_terminal(&home, &[&["workspace"], words.as_slice(), &[work.id()], rest].concat())
    };
    assert_drawn(&call("sync push", &["more"]), "pushing", false);
    assert_drawn(&call("sync pull", &[".", "back"]), "pulling", false);
    assert_drawn(&call("export", &["seed", "--output", "seed.copy"]), "exporting", false);
    let inside = |path: &str| format!("{}:{path}", work.id());
    assert_drawn(&at_terminal(&home, &["cp", "more/more", &inside("one")]), "copying", false);
    assert_drawn(&at_terminal(&home, &["cp", &inside("one"), "two"]), "copying", false);
    assert_drawn(&at_terminal(&home, &["cp", &inside("one"), &inside("two")]), "copying", false);
    // The content goes elsewhere, and people still see it go.
    let streamed = call("export", &["seed", "--output", "-"]);
    assert_drawn(&streamed, "exporting", false);
    assert_eq!(streamed.stdout_bytes().len() as u64, LARGE_BYTES);
    work.call("stop", &[]).succeeds();
    assert_drawn(&call("pack", &["--output", "pack"]), "packing", true);
    let unpacked = at_terminal(&home, &["workspace", "unpack", "pack", "--id-only"]);
    assert_drawn(&unpacked, "unpacking", true);
    drop(home.adopt(unpacked.stdout().trim()));
    assert_drawn(&call("disk export", &["--output", "disk.img"]), "exporting", true);
    // For programs, and for those who want none, there is nothing; nor is there without a terminal.
    assert_eq!(call("export", &["seed", "--output", "json", "--json"]).stderr(), "");
    let mut plain = work.command("export", &["seed", "--output", "plain"]);
    let plain = Outcome::from_output("plain", terminal::run(plain.env("NO_COLOR", "1"))).succeeds();
    assert_eq!(plain.stderr(), "");
    assert_eq!(work.call("export", &["seed", "--output", "piped"]).succeeds().stderr(), "");
}
