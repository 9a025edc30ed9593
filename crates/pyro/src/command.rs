//! What a user asks to run: one word is a shell's, several are a program and its arguments. This rule is the same on every
//! surface. This file must not run anything.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;

/// A command for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Text for `/bin/sh -lc`: operators, variables and quotes mean what they mean in a shell.
    Shell(OsString),
    /// A program and its arguments, exactly; no shell is involved.
    Argv(Vec<OsString>),
}

/// There was no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no command to run")]
pub struct NoCommand;

impl Command {
    /// One word is a shell string, several are an argv.
    ///
    /// # Errors
    /// [`NoCommand`] when there are none, or the only one is empty.
    pub fn from_words(mut words: Vec<OsString>) -> Result<Self, NoCommand> {
        match words.len() {
            0 => Err(NoCommand),
            1 => match words.remove(0) {
                word if word.as_bytes().iter().all(u8::is_ascii_whitespace) => Err(NoCommand),
                word => Ok(Self::Shell(word)),
            },
            _ if words[0].is_empty() => Err(NoCommand),
            _ => Ok(Self::Argv(words)),
        }
    }

    /// What the guest executes.
    pub fn argv(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Shell(text) => {
                vec![b"/bin/sh".to_vec(), b"-lc".to_vec(), text.as_bytes().to_vec()]
            }
            Self::Argv(words) => words.iter().map(|word| word.clone().into_vec()).collect(),
        }
    }

    /// The command as one line that a shell would read back as the same words.
    pub fn display(&self) -> String {
        match self {
            Self::Shell(text) => text.to_string_lossy().into_owned(),
            Self::Argv(words) => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Quotes one word as Python's `shlex.quote` does, which the contract's `command` field uses.
fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_-+=:,./".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn one_word_is_a_shell_string_and_several_are_an_argv() {
        let shell = Command::from_words(words(&["echo a && echo b"])).unwrap();
        assert_eq!(shell.argv(), [b"/bin/sh".to_vec(), b"-lc".to_vec(), b"echo a && echo b".to_vec()]);
        let argv = Command::from_words(words(&["echo", "a && echo b"])).unwrap();
        assert_eq!(argv.argv(), [b"echo".to_vec(), b"a && echo b".to_vec()]);
        assert_eq!(Command::from_words(vec![]), Err(NoCommand));
        assert_eq!(Command::from_words(words(&["  "])), Err(NoCommand));
        assert_eq!(Command::from_words(words(&["", "x"])), Err(NoCommand));
    }

    #[test]
    fn display_quotes_what_a_shell_would_split() {
        let command = Command::from_words(words(&["git", "commit", "-m", "it's", ""])).unwrap();
        assert_eq!(command.display(), r#"git commit -m 'it'"'"'s' ''"#);
    }
}
