//! Hints in the terms of who reads them: the library names the program's commands and flags, and a model has tools and arguments.
//! What only the operator of the host can do (`pyro doctor`) stays as it is. This file must not know any hint.

use crate::operations::table;
use serde_json::Value;

/// A document whose hint, if it has one, names tools and arguments.
pub(super) fn in_terms_of_tools(mut document: Value) -> Value {
    if let Some(Value::String(hint)) = document.get_mut("hint") {
        *hint = reworded(hint);
    }
    document
}

/// The text with tools in the place of quoted commands, and arguments in that of flags.
fn reworded(text: &str) -> String {
    let (mut told, mut rest, mut last) = (String::new(), text, Vec::new());
    while let Some((before, quoted, after)) = next_quoted(rest) {
        told.push_str(&with_arguments(before));
        let words: Vec<&str> = quoted.split_whitespace().collect();
        match tool_of(&words, &last) {
            Some((tool, command)) => {
                told.push_str(&tool);
                last = command;
            }
            None => told.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    told + &with_arguments(rest)
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

/// How a model says a quoted command, and the command's words. A single word may take up the command before it: "'pyro workspace
/// stop' and 'start'".
fn tool_of<'a>(words: &[&'a str], last: &[&'a str]) -> Option<(String, Vec<&'a str>)> {
    match words {
        ["pyro", words @ ..] => (1..=words.len()).rev().find_map(|count| {
            let (command, rest) = words.split_at(count);
            let rest: Vec<String> = rest.iter().map(|word| with_arguments(word)).collect();
            let with = if rest.is_empty() { String::new() } else { format!(" ({})", rest.join(", ")) };
            Some((format!("{}{with}", name(command)?), command.to_vec()))
        }),
        [word] => {
            let command = [last.split_last()?.1, &[word]].concat();
            Some((name(&command)?, command))
        }
        _ => None,
    }
}

/// The tool that does what a command does.
fn name(command: &[&str]) -> Option<String> {
    let candidates = match command {
        ["env", "list"] => vec!["vm_list_environments".to_owned()],
        ["env", rest @ ..] => vec![format!("environment_{}", rest.join("_"))],
        ["workspace", rest @ ..] => vec![command.join("_"), rest.join("_")],
        _ => Vec::new(),
    };
    candidates.into_iter().find(|candidate| table().iter().any(|operation| operation.name == candidate))
}

/// The text with arguments in the place of flags. A flag that is no tool's argument is the operator's.
fn with_arguments(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| {
        let flag = word.trim_end_matches([' ', ',', ';', '.']);
        match flag.strip_prefix("--").and_then(argument) {
            Some(argument) => format!("{argument}{}", &word[flag.len()..]),
            None => word.to_owned(),
        }
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
            assert_eq!(reworded(text), told);
        }
        for same in
            ["'pyro doctor' checks it", "use 'git diff --binary'", "leave out --engine", "it's 'quoted", ""]
        {
            assert_eq!(reworded(same), same);
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
                    let told = reworded(line);
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
