//! What every file, and every shipped file, must keep to. A rule must not know which files are excused from it:
//! that is [`super::exceptions`].

use super::Finding;
use super::exceptions;
use super::sources::SourceFile;
use super::tokens::Token;

/// The only room that may print.
const PRINTING_ROOM: &str = "pyro-cli";

/// The only room that may read the environment and the home directory.
const ENVIRONMENT_ROOM: &str = "pyro-cli";

const PRINTERS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// What in `std::env` reads or changes what the user's surroundings say.
const ENVIRONMENT: &[&str] =
    &["home_dir", "remove_var", "set_var", "temp_dir", "var", "var_os", "vars", "vars_os"];

/// Applies every rule to every file.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().flat_map(check_file).collect();
    findings.extend(exceptions::stale(files, reads_environment));
    findings
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let at = |line: usize, message: String| Finding { path: file.path.clone(), line, message };
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(at(
            1,
            "the first line must be a `//!` that says what the file is for and must not do".to_owned(),
        ));
    }
    if let Some(line) = file.scan.broken_at {
        findings.push(at(line, "this is not Rust the check can read".to_owned()));
    }
    let Some(room) = file.shipped_in.as_deref() else { return findings };
    if room != PRINTING_ROOM {
        let message = |name| format!("`{name}!` in `{room}`: only `{PRINTING_ROOM}` prints");
        findings.extend(printers(&file.scan.tokens).map(|token| at(token.line, message(&token.text))));
    }
    if room != ENVIRONMENT_ROOM && !exceptions::may_read_environment(&file.path) {
        let message =
            |name| format!("`env::{name}` in `{room}`: only `{ENVIRONMENT_ROOM}` reads the environment");
        findings
            .extend(environment_reads(&file.scan.tokens).map(|token| at(token.line, message(&token.text))));
    }
    findings
}

fn reads_environment(file: &SourceFile) -> bool {
    environment_reads(&file.scan.tokens).next().is_some()
}

fn printers(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let prints = |three: &&[Token]| {
        PRINTERS.contains(&three[0].text.as_str()) && three[1].text == "!" && three[2].text == "{"
    };
    tokens.windows(3).filter(prints).map(|three| &three[0])
}

/// `env::NAME`, and every NAME in `env::{...}`.
fn environment_reads(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let starts = tokens
        .windows(3)
        .enumerate()
        .filter(|(_, three)| three[0].text == "env" && three[1].text == ":" && three[2].text == ":");
    starts
        .flat_map(|(index, _)| {
            let rest = &tokens[index + 3..];
            let end = match rest.first() {
                Some(first) if first.text == "{" => closing(rest),
                _ => rest.len().min(1),
            };
            &rest[..end]
        })
        .filter(|token| ENVIRONMENT.contains(&token.text.as_str()))
}

/// How many tokens belong to the group the first one opens.
fn closing(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::super::tokens;
    use super::*;
    use std::path::PathBuf;

    fn file(room: Option<&str>, text: &str) -> SourceFile {
        SourceFile {
            path: PathBuf::from("crates/x/src/y.rs"),
            text: text.to_owned(),
            scan: tokens::scan(text),
            shipped_in: room.map(str::to_owned),
        }
    }

    fn lines(room: Option<&str>, text: &str) -> Vec<usize> {
        check_file(&file(room, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_file_says_what_it_is_for() {
        assert_eq!(lines(None, "fn main() {}"), [1]);
        assert_eq!(lines(None, "//! A test.\nfn main() {}"), [0; 0]);
    }

    #[test]
    fn only_the_command_prints() {
        let text = "//! x\nfn a() {\n    println!(\"b\");\n    std::eprint!(\"c\");\n}\n";
        assert_eq!(lines(Some("pyro"), text), [3, 4]);
        assert_eq!(lines(Some("pyro-cli"), text), [0; 0]);
        assert_eq!(lines(None, text), [0; 0]);
    }

    #[test]
    fn words_that_only_look_like_printing_are_left_alone() {
        let text = "//! x\n// println!()\nfn print() { let a = \"eprintln!()\"; print(); if print != a {} }";
        assert_eq!(lines(Some("pyro"), text), [0; 0]);
    }

    #[test]
    fn only_the_command_reads_the_environment() {
        let text = "//! x\nfn a() {\n std::env::var(\"HOME\");\n env::temp_dir();\n env!(\"X\"); env::current_exe();\n}";
        assert_eq!(lines(Some("pyro-engine"), text), [3, 4]);
        assert_eq!(lines(Some("pyro-cli"), text), [0; 0]);
    }

    #[test]
    fn an_import_of_it_counts_too() {
        assert_eq!(lines(Some("pyro"), "//! x\nuse std::env::{self, var_os};\nuse a::var;"), [2]);
        assert_eq!(lines(Some("pyro"), "//! x\nuse std::{env::vars, fs};"), [2]);
    }

    #[test]
    fn tests_inside_a_shipped_file_may_do_both() {
        let text = "//! x\n#[cfg(test)]\nmod tests { fn a() { println!(); std::env::var(\"X\"); } }";
        assert_eq!(lines(Some("pyro"), text), [0; 0]);
    }
}
