//! The commands of a workspace and what they printed: a line when one starts, a line when it ends, and two files of output.
//! This file must not run anything.

use super::document::UnixSeconds;
use super::folder::Folder;
use super::journal;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// A command that was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Its number in this workspace, from 1; also the job's.
    pub sequence: u64,
    /// The command as one line.
    pub command: String,
    /// Where it runs.
    pub cwd: String,
    /// Nobody waits for it.
    #[serde(default)]
    pub detached: bool,
    /// `guest_vsock` or `host_compat`.
    pub execution_mode: String,
    /// When it was started.
    pub recorded_at: UnixSeconds,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Its number.
    pub sequence: u64,
    /// Its exit code: 128 and the number for a signal, 124 when its time was up.
    pub exit_code: i32,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Its time was up.
    #[serde(default)]
    pub timed_out: bool,
    /// Why it never ran, or is not known to have ended: a stable code and a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<(String, String)>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Processes of it that still ran.
    #[serde(default)]
    pub detached_processes: u32,
    /// Bytes it wrote to standard output, kept or not.
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error, kept or not.
    pub stderr_bytes: u64,
    /// Some of its output was not kept.
    #[serde(default)]
    pub truncated: bool,
    /// What else people should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Started(Started),
    Ended(Ended),
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// How it began.
    pub started: Started,
    /// How it ended, if it is known to.
    pub ended: Option<Ended>,
}

impl Entry {
    /// As a job is shown.
    pub fn describe(&self) -> serde_json::Value {
        let state = match &self.ended {
            None => "running",
            Some(ended) if ended.error.is_some() => "lost",
            Some(_) => "exited",
        };
        let ended = self.ended.clone().unwrap_or_default();
        serde_json::json!({
            "job_id": self.started.sequence,
            "command": self.started.command,
            "cwd": self.started.cwd,
            "state": state,
            "detached": self.started.detached,
            "started_at": self.started.recorded_at,
            "exit_code": self.ended.as_ref().map(|ended| ended.exit_code),
            "signal": ended.signal,
            "timed_out": ended.timed_out,
            "error": ended.error.map(|(_, text)| text),
            "duration_ms": self.ended.as_ref().map(|ended| ended.duration_ms),
            "stdout_bytes": ended.stdout_bytes,
            "stderr_bytes": ended.stderr_bytes,
            "truncated": ended.truncated,
            "warning": ended.warning,
        })
    }
}

/// The commands of one workspace.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    output: PathBuf,
}

/// One of a command's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl History {
    /// The history of the workspace in this folder.
    pub fn of(folder: &Folder) -> Self {
        Self { path: folder.history(), output: folder.output() }
    }

    /// Where what a command printed is kept.
    pub fn output(&self, sequence: u64, stream: Stream) -> PathBuf {
        let suffix = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        self.output.join(format!("{sequence:06}.{suffix}"))
    }

    /// Notes a start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(&self, started: Started) -> io::Result<()> {
        journal::append(&self.path, &Line::Started(started))
    }

    /// Notes an end.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&self, ended: Ended) -> io::Result<()> {
        journal::append(&self.path, &Line::Ended(ended))
    }

    /// All commands, the first one first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let (lines, _) = journal::read::<Line>(&self.path, 0)?;
        let mut entries = BTreeMap::new();
        for line in lines {
            match line {
                Line::Started(started) => {
                    entries.insert(started.sequence, Entry { started, ended: None });
                }
                Line::Ended(ended) => {
                    if let Some(entry) = entries.get_mut(&ended.sequence) {
                        entry.ended = Some(ended);
                    }
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        for path in [self.path.clone(), self.path.with_extension("jsonl.1")] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for entry in std::fs::read_dir(&self.output)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// Removes the oldest outputs until all that is kept takes at most `bytes_max`; those of `living` commands stay.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn make_room(&self, bytes_max: u64, living: &dyn Fn(u64) -> bool) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.output)? {
            let entry = entry?;
            files.push((entry.path(), entry.metadata()?.len()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        for (path, size) in files {
            let sequence = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if total <= bytes_max {
                break;
            }
            if sequence.is_some_and(|sequence| !living(sequence)) {
                std::fs::remove_file(path)?;
                total -= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(dir: &std::path::Path) -> History {
        std::fs::create_dir(dir.join("output")).unwrap();
        History { path: dir.join("history.jsonl"), output: dir.join("output") }
    }

    fn started(sequence: u64) -> Started {
        Started {
            sequence,
            command: "true".to_owned(),
            cwd: "/workspace".to_owned(),
            detached: false,
            execution_mode: "guest_vsock".to_owned(),
            recorded_at: UnixSeconds(1.5),
        }
    }

    #[test]
    fn starts_and_ends_are_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        for sequence in [1, 2] {
            history.start(started(sequence)).unwrap();
        }
        history.end(Ended { sequence: 2, exit_code: 3, ..Ended::default() }).unwrap();
        history.end(Ended { sequence: 9, ..Ended::default() }).unwrap();
        let entries = history.entries().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].ended, None);
        assert_eq!(entries[1].ended.as_ref().map(|ended| ended.exit_code), Some(3));
        history.clear().unwrap();
        assert_eq!(history.entries().unwrap(), []);
    }

    #[test]
    fn the_oldest_output_goes_first_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        for sequence in 1..=4 {
            std::fs::write(history.output(sequence, Stream::Stdout), [0; 100]).unwrap();
        }
        history.make_room(250, &|sequence| sequence == 1).unwrap();
        let kept: Vec<bool> = (1..=4).map(|n| history.output(n, Stream::Stdout).exists()).collect();
        assert_eq!(kept, [true, false, false, true]);
    }
}
