//! Hints in the terms of who reads them: the library names the program's commands and flags, a model has tools and arguments,
//! and who writes Python has methods. What only the operator of the host can do (`pyro doctor`) stays as it is. This file must not
//! know any hint.

use crate::operations::table;
use serde_json::Value;

/// What somebody calls commands and flags.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What does what the tool of this name does; nothing if it cannot be done.
    pub name: fn(tool: &str) -> Option<String>,
    /// How it is said with what stood behind the command.
    pub call: fn(name: &str, with: &[With<'_>]) -> String,
}

/// What stands behind a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With<'a> {
    /// An argument, which was a flag.
    Argument(String),
    /// Anything else.
    Word(&'a str),
}

/// Those of a model.
pub const TOOLS: Terms = Terms { name: |tool| Some(tool.to_owned()), call: tool_call };

fn tool_call(name: &str, with: &[With<'_>]) -> String {
    let with: Vec<&str> = with.iter().map(With::text).collect();
    if with.is_empty() { name.to_owned() } else { format!("{name} ({})", with.join(", ")) }
}

impl With<'_> {
    /// It as text.
    pub fn text(&self) -> &str {
        match self {
            Self::Argument(name) => name,
            Self::Word(word) => word,
        }
    }
}

/// A document whose hint, if it has one, is in these terms.
pub fn in_terms_of(terms: Terms, mut document: Value) -> Value {
    if let Some(Value::String(hint)) = document.get_mut("hint") {
        *hint = reworded(terms, hint);
    }
    document
}

/// The text with names in the place of quoted commands and of tools, and arguments in that of flags.
pub fn reworded(terms: Terms, text: &str) -> String {
    let (mut told, mut rest, mut last) = (String::new(), text, Vec::new());
    while let Some((before, quoted, after)) = next_quoted(rest) {
        told.push_str(&plain(terms, before));
        let words: Vec<&str> = quoted.split_whitespace().collect();
        match called(terms, &words, &last) {
            Some((name, command)) => {
                told.push_str(&name);
                last = command;
            }
            None => told.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    told + &plain(terms, rest)
}

/// What stands before the first quotation, in it, and behind it. An apostrophe opens none.
fn next_quoted(text: &str) -> Option<(&str, &str, &str)> {
    let opens = |(at, mark): &(usize, char)| {
        matches!(mark, '\'' | '`') && !text[..*at].ends_with(|before: char| before.is_alphanumeric())
    };
    let (open, mark) = text.char_indices().find(opens)?;
    let inside = &text[open + 1..];
    let close = inside.find(mark)?;
    Some((&text[..open], &inside[..close], &inside[close + 1..]))
}

/// How a quoted command is said, and the command's words. A single word may take up the command before it: "'pyro workspace
/// stop' and 'start'".
fn called<'a>(terms: Terms, words: &[&'a str], last: &[&'a str]) -> Option<(String, Vec<&'a str>)> {
    match words {
        ["pyro", words @ ..] => (1..=words.len()).rev().find_map(|count| {
            let (command, rest) = words.split_at(count);
            let with: Vec<With<'a>> = rest.iter().copied().map(with).collect();
            let name = (terms.name)(&tool(command)?)?;
            Some(((terms.call)(&name, &with), command.to_vec()))
        }),
        [word] => {
            let command = [last.split_last()?.1, &[word]].concat();
            let name = (terms.name)(&tool(&command)?)?;
            Some(((terms.call)(&name, &[]), command))
        }
        _ => None,
    }
}

fn with(word: &str) -> With<'_> {
    word.strip_prefix("--").and_then(argument).map_or(With::Word(word), With::Argument)
}

/// The tool that does what a command does.
fn tool(command: &[&str]) -> Option<String> {
    let candidates = match command {
        ["env", "list"] => vec!["vm_list_environments".to_owned()],
        ["env", rest @ ..] => vec![format!("environment_{}", rest.join("_"))],
        ["workspace", rest @ ..] => vec![command.join("_"), rest.join("_")],
        _ => Vec::new(),
    };
    candidates.into_iter().find(|candidate| is_tool(candidate))
}

fn is_tool(name: &str) -> bool {
    table().iter().any(|operation| operation.name == name)
}

/// Text outside of quotes: arguments in the place of flags, and names in that of tools. A flag that is no argument is the
/// operator's.
fn plain(terms: Terms, text: &str) -> String {
    let words = text.split_inclusive(' ').map(|given| {
        let word = given.trim_end_matches([' ', ',', ';', '.']);
        let said = match with(word) {
            With::Argument(name) => Some(name),
            With::Word(word) if is_tool(word) => (terms.name)(word).map(|name| (terms.call)(&name, &[])),
            With::Word(_) => None,
        };
        said.map_or_else(|| given.to_owned(), |said| format!("{said}{}", &given[word.len()..]))
    });
    words.collect()
}

fn argument(flag: &str) -> Option<String> {
    let one = flag.replace('-', "_");
    // A flag that may be given several times is a list.
    let several = format!("{one}s");
    let is_known = |name: &String| {
        table().iter().any(|operation| operation.input_schema["properties"].get(name).is_some())
    };
    [one, several].into_iter().find(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn commands_become_tools_and_flags_become_arguments() {
        for (text, told) in [
            ("'pyro workspace start' starts it", "workspace_start starts it"),
            ("install it with `pyro env pull debian:12`", "install it with environment_pull (debian:12)"),
            ("'pyro workspace shell list' shows it", "shell_list shows it"),
            (
                "'pyro workspace stop' and 'start' give it the agent's",
                "workspace_stop and workspace_start give it the agent's",
            ),
            (
                "clear some with 'pyro workspace update --clear-label'",
                "clear some with workspace_update (clear_labels)",
            ),
            ("leave it out with --exclude", "leave it out with exclude"),
            ("use --network-policy off, now", "use network_policy off, now"),
            (
                "look into the workspace's folder; 'pyro workspace start'",
                "look into the workspace's folder; workspace_start",
            ),
        ] {
            assert_eq!(reworded(TOOLS, text), told);
        }
        for same in
            ["'pyro doctor' checks it", "use 'git diff --binary'", "leave out --engine", "it's 'quoted", ""]
        {
            assert_eq!(reworded(TOOLS, same), same);
        }
    }

    /// What only the operator can do.
    const OPERATORS: [&str; 5] =
        ["pyro doctor", "pyro run ", "pyro workspace pack", "pyro workspace ssh-config", "pyro demo"];

    /// Every command that the library names in quotes is a tool, or the operator's.
    #[test]
    fn every_command_that_is_named_is_a_tool() {
        let mut seen = 0;
        for room in ["pyro", "pyro-image", "pyro-engine"] {
            for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("src")) {
                let text = std::fs::read_to_string(&file).unwrap();
                let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
                for line in lines.filter(|line| line.contains("'pyro ") || line.contains("`pyro ")) {
                    seen += 1;
                    let told = reworded(TOOLS, line);
                    let left = told.split("pyro ").skip(1).map(|rest| format!("pyro {rest}"));
                    for command in left.filter(|_| told.contains("'pyro ") || told.contains("`pyro ")) {
                        let is_operators = OPERATORS.iter().any(|known| command.starts_with(known));
                        assert!(is_operators, "{}: {line}", file.display());
                    }
                }
            }
        }
        assert!(seen > 40, "only {seen} were found");
    }

    fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| {
                if path.is_dir() {
                    sources(&path)
                } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains("tests")) {
                    Vec::new()
                } else {
                    vec![path]
                }
            })
            .collect()
    }
}
