//! Holds the documentation against itself and the program: every page is in the book and says what it is for, every link leads
//! somewhere, every error code has an entry, every command that is shown is one. Whether what is shown is true, guests tell:
//! `tests/guest/documents.rs`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// Documents outside of the book.
const OTHERS: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "python/README.md"];

fn root() -> PathBuf {
    plain(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// The path without `..`, which the file need not be there for.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(component);
        }
    }
    plain
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A document as the book shows it: with what it includes.
fn document(path: &Path) -> String {
    let mut text = String::new();
    for line in read(path).lines() {
        match line.strip_prefix("{{#include ").and_then(|rest| rest.split([':', '}']).next()) {
            Some(included) => text.push_str(&read(&path.with_file_name("").join(included))),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The pages of the book, as files.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md")
                && !path.ends_with("SUMMARY.md")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let outside = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    };
    text.lines().filter(outside).collect()
}

/// Where the links and pictures of a document lead.
fn links(text: &str) -> Vec<String> {
    let ends = |rest: &str| rest.split(')').next().unwrap_or_default().to_owned();
    let of_line = |line: &str| line.split("](").skip(1).map(ends).collect::<Vec<_>>();
    prose(text).into_iter().flat_map(of_line).collect()
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

#[test]
fn every_page_is_in_the_book_once() {
    let docs = root().join("docs");
    let listed: Vec<PathBuf> =
        links(&read(&docs.join("SUMMARY.md"))).iter().map(|link| docs.join(link)).collect();
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(sorted, pages());
}

#[test]
fn every_page_says_what_it_is_for() {
    let docs = root().join("docs");
    for page in pages() {
        if page.starts_with(docs.join("reference")) || page.ends_with("introduction.md") {
            continue;
        }
        let text = read(&page);
        let first = text.split("\n\n").nth(1).unwrap_or_default();
        assert!(first.starts_with("After this page you "), "{}: {first}", page.display());
    }
}

#[test]
fn every_link_leads_somewhere() {
    let docs = root().join("docs");
    let mut seen = 0;
    for from in pages().into_iter().chain(OTHERS.map(|name| root().join(name))) {
        for link in links(&document(&from)) {
            if link.starts_with("https://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let to = if path.is_empty() { from.clone() } else { plain(&from.with_file_name("").join(path)) };
            let shown = format!("{link} in {}", from.display());
            assert!(to.exists(), "nothing is there: {shown}");
            assert!(
                anchor.is_empty() || anchors(&document(&to)).contains(anchor),
                "no such heading: {shown}"
            );
            assert!(!from.starts_with(&docs) || to.starts_with(&docs), "leads out of the book: {shown}");
            seen += 1;
        }
    }
    assert!(seen > 80, "only {seen} links");
}

#[test]
fn every_error_code_has_an_entry_and_no_other() {
    let text = read(&root().join("docs/troubleshooting.md"));
    let entries: Vec<&str> = text.split("\n### `").skip(1).collect();
    let entered: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.split('`').next()).collect();
    let codes: BTreeSet<&str> = pyro::code::ALL.iter().map(|(code, _)| *code).collect();
    assert_eq!(entered, codes);
    assert_eq!(entries.len(), codes.len(), "a code has two entries");
    for entry in entries {
        let said = entry.lines().skip(1).find(|line| !line.is_empty()).unwrap_or_default();
        assert!(said.len() > 20 && !said.starts_with('#'), "nothing is said: {entry}");
    }
}

/// The lines of commands in a document's blocks: of transcripts what stands behind `$`, of `sh` all.
fn command_lines(text: &str) -> Vec<String> {
    let (mut kind, mut found) = (None, Vec::new());
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), kind) {
            (Some(opened), None) => kind = Some(opened.trim()),
            (Some(_), Some(_)) => kind = None,
            (None, Some("console")) => found.extend(line.strip_prefix("$ ").map(str::to_owned)),
            (None, Some("sh")) => found.push(line.to_owned()),
            (None, _) => {}
        }
    }
    found
}

/// The words of each call of `pyro` in a line of shell: what stands where a command begins, up to where it ends. A variable's
/// value is 1, which is a number and a name.
fn calls(line: &str) -> Vec<Vec<String>> {
    let (mut calls, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut end = |words: &mut Vec<String>, word: &mut Option<String>| {
        words.extend(word.take());
        if words.first().is_some_and(|first| first == "pyro") {
            let value = |word: &String| if word.starts_with('$') { "1".to_owned() } else { word.clone() };
            calls.push(words.iter().map(value).collect());
        }
        words.clear();
    };
    for c in line.chars() {
        match c {
            c if quote == Some(c) => quote = None,
            c if quote.is_some() => word.get_or_insert_default().push(c),
            '\'' | '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            '#' if word.is_none() => break,
            // The number of what is redirected is no word of the command's.
            '<' | '>' => {
                word.take_if(|word| word.parse::<u8>().is_ok());
                end(&mut words, &mut word);
            }
            '|' | ';' | '&' | '(' | ')' => end(&mut words, &mut word),
            ' ' => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut words, &mut word);
    calls
}

#[test]
fn calls_are_found_where_a_shell_finds_them() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(calls("SH=$(pyro shell open fix)"), [words("pyro shell open fix")]);
    assert_eq!(calls("tar -c . | pyro run x 2> log # pyro y"), [words("pyro run x")]);
    assert_eq!(calls("echo pyro; pyro ls && pyro ps"), [words("pyro ls"), words("pyro ps")]);
    assert_eq!(calls("pyro shell read x $SH"), [words("pyro shell read x 1")]);
    assert_eq!(calls("pyro run x -- 'a | b' \"\""), [vec!["pyro", "run", "x", "--", "a | b", ""]]);
}

#[test]
fn every_command_that_is_shown_is_one() {
    let mut seen = 0;
    for page in pages().into_iter().chain(OTHERS.map(|name| root().join(name))) {
        for line in command_lines(&read(&page)) {
            for call in calls(&line) {
                let parsed = pyro_cli::command().try_get_matches_from(&call);
                let failed = parsed.err().filter(clap::Error::use_stderr);
                assert!(failed.is_none(), "{} shows {line:?}: {}", page.display(), failed.unwrap());
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "only {seen} commands");
}

#[test]
fn recordings_are_small_and_shown() {
    let folder = root().join("docs/recordings");
    let shown: BTreeSet<PathBuf> = pages()
        .iter()
        .flat_map(|page| {
            links(&read(page)).into_iter().map(|link| plain(&page.with_file_name("").join(link)))
        })
        .collect();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            assert!(fs::metadata(&path).unwrap().len() < 100_000, "{} is large", path.display());
            assert!(shown.contains(&path), "no page shows {}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} recordings");
}
