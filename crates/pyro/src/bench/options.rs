//! What to measure, and how often. This file must not measure anything.

use serde::Serialize;
use std::str::FromStr;

/// A group of figures that is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What the engine alone costs.
    Floor,
    /// Cold boots.
    Boot,
    /// Starts from a template.
    Start,
    /// Commands in a guest that is kept.
    Exec,
    /// Snapshots of a guest with touched memory, and starts from them.
    Snapshot,
    /// Forks of a guest with touched memory.
    Fork,
    /// Memory and processor time of idle guests.
    Idle,
}

impl Group {
    /// Every group, with the name it is asked for by.
    pub const ALL: [(&'static str, Self); 7] = [
        ("floor", Self::Floor),
        ("boot", Self::Boot),
        ("start", Self::Start),
        ("exec", Self::Exec),
        ("snapshot", Self::Snapshot),
        ("fork", Self::Fork),
        ("idle", Self::Idle),
    ];
}

/// A name that is no group's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that is measured; there are floor, boot, start, exec, snapshot, fork and idle")]
pub struct UnknownGroup(String);

impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(name: &str) -> Result<Self, UnknownGroup> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, group)| *group).ok_or_else(|| UnknownGroup(name.to_owned()))
    }
}

/// What to measure, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The environment whose guests are measured.
    pub environment: String,
    /// How often each thing is done; cheap ones more often.
    pub runs: u32,
    /// The groups wanted; all of them when empty.
    pub only: Vec<Group>,
    /// How many children each fork has.
    pub forks: Vec<u32>,
    /// How many idle guests there are at once.
    pub idle_guests: u32,
}

impl Options {
    /// Everything, in guests of this environment.
    pub fn of(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            runs: 5,
            only: Vec::new(),
            forks: vec![1, 10, 50],
            idle_guests: 10,
        }
    }

    pub(super) fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_asked_for_by_their_names() {
        for (name, group) in Group::ALL {
            assert_eq!(name.parse(), Ok(group));
            assert_eq!(serde_json::to_value(group).unwrap(), name);
        }
        let error = "sleep".parse::<Group>().unwrap_err().to_string();
        assert!(Group::ALL.iter().all(|(name, _)| error.contains(name)), "{error}");
    }

    #[test]
    fn everything_is_wanted_unless_something_is_named() {
        let mut options = Options::of("debian:12");
        assert!(Group::ALL.iter().all(|(_, group)| options.wants(*group)));
        options.only = vec![Group::Exec];
        assert!(options.wants(Group::Exec) && !options.wants(Group::Boot));
    }
}
