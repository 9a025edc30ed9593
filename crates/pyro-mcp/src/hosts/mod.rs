//! The programs that use MCP servers, as far as their configuration goes: where it is, and how a server is entered in it, found
//! in it and taken out of it. What else is in a file stays as it is. This folder must not know where anybody's home is.

mod entry;
mod file;
mod json;
mod toml;

pub use entry::Entry;
pub use file::ConfigFile;

use crate::operations::OperationError;
use pyro::code;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

/// A program that uses MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Claude Code.
    ClaudeCode,
    /// Claude Desktop.
    ClaudeDesktop,
    /// Codex.
    Codex,
    /// Cursor.
    Cursor,
    /// OpenCode.
    Opencode,
    /// Visual Studio Code.
    Vscode,
}

/// How a program's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON, with servers by name below this key.
    Json(&'static str),
    /// TOML, with servers by name below this table.
    Toml(&'static str),
}

/// There is no program of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be claude-code, claude-desktop, codex, cursor, opencode or vscode")]
pub struct UnknownHost;

impl FromStr for Host {
    type Err = UnknownHost;

    fn from_str(text: &str) -> Result<Self, UnknownHost> {
        Self::ALL.into_iter().find(|host| host.name() == text).ok_or(UnknownHost)
    }
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ClaudeCode, Self::ClaudeDesktop, Self::Codex, Self::Cursor, Self::Opencode, Self::Vscode];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Codex => "codex",
            Self::Cursor => "cursor",
            Self::Opencode => "opencode",
            Self::Vscode => "vscode",
        }
    }

    /// Its file, given the user's home folder and the folder of configurations, `~/.config` as a rule.
    pub fn config(self, home: &Path, configs: &Path) -> PathBuf {
        match self {
            Self::ClaudeCode => home.join(".claude.json"),
            Self::ClaudeDesktop => configs.join("Claude/claude_desktop_config.json"),
            Self::Codex => home.join(".codex/config.toml"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::Opencode => configs.join("opencode/opencode.json"),
            Self::Vscode => configs.join("Code/User/mcp.json"),
        }
    }

    pub(crate) const fn format(self) -> Format {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor => Format::Json("mcpServers"),
            Self::Codex => Format::Toml("mcp_servers"),
            Self::Opencode => Format::Json("mcp"),
            Self::Vscode => Format::Json("servers"),
        }
    }

    /// The file's text with this server in it; `text` is what it was, nothing for a new one.
    ///
    /// # Errors
    /// The text is not what the program could read.
    pub fn connect(self, text: &str, name: &str, entry: &Entry) -> Result<String, OperationError> {
        match self.format() {
            Format::Json(key) => json::set(text, key, name, entry.json(self)),
            Format::Toml(key) => toml::set(text, key, name, entry),
        }
    }

    /// The file's text without this server; nothing if it is not in it.
    ///
    /// # Errors
    /// The text is not what the program could read.
    pub fn remove(self, text: &str, name: &str) -> Result<Option<String>, OperationError> {
        match self.format() {
            Format::Json(key) => json::remove(text, key, name),
            Format::Toml(key) => toml::remove(text, key, name),
        }
    }

    /// The server of this name in the file's text, if it is in it and is started as a program.
    ///
    /// # Errors
    /// The text is not what the program could read.
    pub fn find(self, text: &str, name: &str) -> Result<Option<Entry>, OperationError> {
        match self.format() {
            Format::Json(key) => Ok(json::get(text, key, name)?.as_ref().and_then(Entry::of_json)),
            Format::Toml(key) => toml::get(text, key, name),
        }
    }
}

/// A file that cannot be understood is left alone.
pub(crate) fn not_understood(why: &str) -> OperationError {
    OperationError::new(code::DOCUMENT_INVALID, format!("the file cannot be understood: {why}"))
        .hint("mend it, or have the entry printed with --print and put it in by hand")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry { command: "/opt/pyro".to_owned(), arguments: vec!["mcp".to_owned(), "serve".to_owned()] }
    }

    #[test]
    fn every_program_finds_the_server_that_was_entered_and_not_the_one_that_was_removed() {
        for host in Host::ALL {
            assert_eq!(host.name().parse(), Ok(host));
            let text = host.connect("", "pyro", &entry()).unwrap();
            assert_eq!(host.find(&text, "pyro").unwrap(), Some(entry()), "{host:?}: {text}");
            assert_eq!(
                host.connect(&text, "pyro", &entry()).unwrap(),
                text,
                "{host:?}: it is not the same again"
            );
            let without = host.remove(&text, "pyro").unwrap().unwrap();
            assert_eq!(host.find(&without, "pyro").unwrap(), None, "{host:?}: {without}");
            assert_eq!(host.remove(&without, "pyro").unwrap(), None);
        }
    }

    #[test]
    fn what_else_is_in_a_file_stays_as_it_is() {
        let json = "{\n  \"z\": 1.5,\n  \"mcpServers\": {\n    \"other\": {\n      \"command\": \"x\"\n    }\n  },\n  \"a\": [\n    null\n  ]\n}\n";
        let connected = Host::Cursor.connect(json, "pyro", &entry()).unwrap();
        assert!(
            connected.find("\"z\"") < connected.find("\"mcpServers\"") && connected.contains("\"other\""),
            "{connected}"
        );
        assert_eq!(Host::Cursor.remove(&connected, "pyro").unwrap().unwrap(), json);
        let toml = "# mine\nmodel = \"m\" # that one\n\n[mcp_servers.other]\ncommand = \"x\"\n";
        let connected = Host::Codex.connect(toml, "pyro", &entry()).unwrap();
        assert!(connected.starts_with(toml), "{connected}");
        assert_eq!(Host::Codex.remove(&connected, "pyro").unwrap().unwrap(), toml);
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        for text in ["{ // comment\n}", "[]", "{\"mcpServers\": 7}", "{"] {
            assert_eq!(
                Host::Cursor.connect(text, "pyro", &entry()).unwrap_err().code,
                code::DOCUMENT_INVALID,
                "{text}"
            );
        }
        for text in ["= 1", "mcp_servers = 7"] {
            assert_eq!(
                Host::Codex.connect(text, "pyro", &entry()).unwrap_err().code,
                code::DOCUMENT_INVALID,
                "{text}"
            );
        }
    }
}
