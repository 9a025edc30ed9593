//! What surrounds the commands: version, completions, manual pages, and what the documents promise.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::Outcome;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// A document of the repository.
fn document(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(name)).unwrap()
}

#[test]
fn the_version_is_the_packages() {
    let home = empty_sandbox();
    let run = home.run(["--version"]).succeeds();
    assert_eq!(run.stdout(), format!("pyro {}\n", env!("CARGO_PKG_VERSION")));
    assert!(!home.cache().exists() && !home.state().exists(), "asking for the version makes nothing");
}

#[test]
fn every_command_has_a_manual_page() {
    let home = empty_sandbox();
    let folder = home.home().join("man");
    home.run([std::ffi::OsStr::new("man"), folder.as_os_str()]).succeeds();
    for page in ["pyro.1", "pyro-run.1", "pyro-env.1", "pyro-env-pull.1", "pyro-doctor.1"] {
        let text = fs::read_to_string(folder.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(
            text.contains(".TH pyro") && text.contains(".SH SYNOPSIS"),
            "{page} is no manual page: {text}"
        );
    }
    let file = home.home().join("file");
    fs::write(&file, "").unwrap();
    home.run([std::ffi::OsStr::new("man"), file.as_os_str()]).fails_with(1, "output_failed", "file");
}

#[test]
fn doctor_has_a_remedy_for_all_that_is_not_well() {
    let home = empty_sandbox();
    let report = home.run(["doctor", "--json"]).json();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 5, "{report}");
    for check in checks {
        let (status, remedy) = (check["status"].as_str().unwrap(), check["remedy"].as_str());
        assert!(["pass", "warn", "fail", "skip", "info"].contains(&status), "{check}");
        assert!(status != "fail" || remedy.is_some_and(|remedy| !remedy.is_empty()), "{check}");
    }
}

/// README's first block shows commands with their output: the commands are run, and the lines compared word by word. What a
/// build or a guest has of its own (versions, names) may differ in its digits.
#[test]
fn the_readmes_examples_are_true() {
    let home = debian();
    let readme = document("README.md");
    let block = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut commands = 0;
    for example in block.split("$ ").filter(|example| !example.is_empty()) {
        let (command, shown) = example.split_once('\n').unwrap();
        let arguments = command.strip_prefix("pyro ").unwrap();
        let mut shell = home.pyro(["--version"]);
        let program = shell.get_program().to_owned();
        // The user's shell splits the words.
        let mut user = Command::new("sh");
        user.arg("-c").arg(format!("exec \"$0\" {arguments}")).arg(&program).stdin(Stdio::null());
        user.env_clear().current_dir(home.home());
        for (name, value) in shell.env("NO_COLOR", "1").get_envs() {
            user.env(name, value.unwrap());
        }
        let run = Outcome::of(&mut user).succeeds();
        assert_eq!(without_numbers(&run.stdout()), without_numbers(shown), "{command}");
        commands += 1;
    }
    assert_eq!(commands, 2);
}

/// The text with each hexadecimal or version number cut out of its words.
fn without_numbers(text: &str) -> Vec<String> {
    let plain = |word: &str| {
        word.split(['.', '-', '+']).filter(|part| !is_number(part)).collect::<Vec<_>>().join("-")
    };
    text.split_whitespace().map(plain).collect()
}

fn is_number(part: &str) -> bool {
    part.len() != 3 && part.bytes().all(|byte| byte.is_ascii_hexdigit()) || part.parse::<u32>().is_ok()
}

/// Every command line of README's list of uses is one that the program knows.
#[test]
fn the_readme_uses_no_flag_that_is_not_there() {
    let readme = document("README.md");
    let reference = document("docs/reference/cli.md");
    let uses = readme.split("## Use").nth(1).unwrap().split("```sh\n").nth(1).unwrap();
    let lines = uses.split("```").next().unwrap().lines().filter(|line| line.contains("pyro "));
    let mut seen = 0;
    for line in lines {
        let words: Vec<&str> =
            line.split("pyro ").nth(1).unwrap().split(" -- ").next().unwrap().split_whitespace().collect();
        let command = words[0];
        assert!(reference.contains(&format!("pyro {command}")), "{line}");
        for flag in words.iter().take_while(|word| **word != "#").filter(|word| word.starts_with("--")) {
            assert!(reference.contains(flag), "{flag} in {line}");
        }
        seen += 1;
    }
    assert!(seen >= 5, "{uses}");
}
