//! An entry of OpenSSH's configuration that leads to a workspace. This file must not write it anywhere.

use crate::keys::Keys;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An entry of OpenSSH's configuration.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What a workspace is called, the first of which ssh is told to take.
    pub names: Vec<String>,
    /// Its keys.
    pub keys: &'a Keys,
    /// Variables that the command needs.
    pub env: Vec<(OsString, OsString)>,
    /// The command that speaks SSH on its standard input and output.
    pub command: Vec<OsString>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What ssh would take for a pattern, or for two names, can only be reached by the id.
        let plain =
            |name: &&String| name.chars().all(|sign| sign.is_alphanumeric() || "-_.@+".contains(sign));
        let names: Vec<&str> = self.names.iter().filter(plain).map(String::as_str).collect();
        writeln!(f, "Host {}", names.join(" "))?;
        writeln!(f, "    HostName {}", self.keys.alias())?;
        writeln!(f, "    HostKeyAlias {}", self.keys.alias())?;
        writeln!(f, "    User root")?;
        writeln!(f, "    ProxyCommand {}", self.proxy_command())?;
        writeln!(f, "    IdentityFile {}", file(&self.keys.identity()))?;
        writeln!(f, "    IdentitiesOnly yes")?;
        writeln!(f, "    UserKnownHostsFile {}", file(&self.keys.known_hosts()))?;
        writeln!(f, "    GlobalKnownHostsFile /dev/null")?;
        writeln!(f, "    StrictHostKeyChecking yes")?;
        writeln!(f, "    UpdateHostKeys no")
    }
}

impl Entry<'_> {
    fn proxy_command(&self) -> String {
        let mut words = Vec::new();
        if !self.env.is_empty() {
            words.push("env".to_owned());
        }
        for (name, value) in &self.env {
            let mut assignment = name.clone();
            assignment.push("=");
            assignment.push(value);
            words.push(quoted(assignment.as_bytes()));
        }
        words.extend(self.command.iter().map(|word| quoted(word.as_bytes())));
        // ssh replaces what follows a percent sign before a shell sees the command.
        words.join(" ").replace('%', "%%")
    }
}

/// A word as a shell takes it for itself.
fn quoted(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./=:,+@".contains(sign);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path as ssh takes it in its configuration.
fn file(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%%").replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{path}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_where_and_by_what() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::in_folder(dir.path(), "pyro-0123456789ab").unwrap();
        let entry = Entry {
            // What ssh would take for a pattern, for two names, or for a comment.
            names: ["*", "two words", "!no", "a#b", "fix-1.x", "0123456789ab"].map(str::to_owned).to_vec(),
            keys: &keys,
            env: vec![("PYRO_STATE_DIR".into(), "/a b/50%".into())],
            command: ["/usr/bin/pyro", "workspace", "connect", "0123456789ab"].map(OsString::from).to_vec(),
        };
        let text = entry.to_string();
        assert!(text.starts_with("Host fix-1.x 0123456789ab\n"), "{text}");
        let proxy =
            "ProxyCommand env 'PYRO_STATE_DIR=/a b/50%%' /usr/bin/pyro workspace connect 0123456789ab\n";
        for line in [proxy, "StrictHostKeyChecking yes\n", "User root\n", "HostKeyAlias pyro-0123456789ab\n"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell_and_for_ssh() {
        assert_eq!(quoted(b"/usr/bin/pyro"), "/usr/bin/pyro");
        assert_eq!(quoted(b"it's"), r"'it'\''s'");
        assert_eq!(quoted(b""), "''");
        assert_eq!(file(Path::new("/a b/100%\"")), "\"/a b/100%%\\\"\"");
    }
}
