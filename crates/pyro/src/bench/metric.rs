//! Every figure there is: its name, unit, and how it is measured. Names are never renamed or given another meaning.

use super::options::Group;
use serde::Serialize;

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Hundredths of one processor.
    #[serde(rename = "percent")]
    Percent,
}

impl Unit {
    /// As it is written behind a figure.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
        }
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) unit: Unit,
    /// The name of what the engine alone needs for the same.
    pub(super) floor: Option<&'static str>,
    pub(super) method: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $group:ident, $unit:ident, $floor:expr, $method:literal;)+) => {
        $(pub(super) const $constant: Metric =
            Metric { name: $name, group: Group::$group, unit: Unit::$unit, floor: $floor, method: $method };)+
        /// In the order they are shown in.
        #[cfg(test)]
        const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    FLOOR_SPAWN = "floor_spawn", Floor, Milliseconds, None,
        "the engine's process, started for a boot, until it answers its first control command";
    FLOOR_RESTORE = "floor_restore", Floor, Milliseconds, None,
        "the engine alone brings back the template, from its process's start until it says that the guest runs; no agent, no command";
    BOOT_PREPARE = "boot_prepare", Boot, Milliseconds, None, "making a fresh disk for a guest that will be booted";
    BOOT_HELLO = "boot_hello", Boot, Milliseconds, None,
        "cold boot: from the engine's start until the guest's agent says hello";
    BOOT_AGENT_READY = "boot_agent_ready", Boot, Milliseconds, None,
        "from the hello until the guest has its identity and takes commands; next to nothing, as the host's request waits for the guest and both answers come together";
    BOOT_FIRST_EXEC = "boot_first_exec", Boot, Milliseconds, None,
        "the first command of a booted guest, from asking for it to its end";
    START_PREPARE = "start_prepare", Start, Milliseconds, None,
        "checking the template and copying its disk for one guest";
    START_HELLO = "start_hello", Start, Milliseconds, Some("floor_restore"),
        "restore: from the engine's start until the guest's agent says hello";
    START_AGENT_READY = "start_agent_ready", Start, Milliseconds, None,
        "from the hello until the guest has its identity and takes commands; next to nothing, as the host's request waits for the guest and both answers come together";
    START_FIRST_EXEC = "start_first_exec", Start, Milliseconds, None,
        "the first command of a restored guest, from asking for it to its end";
    START_TOTAL = "start_total", Start, Milliseconds, Some("floor_restore"),
        "all of a start by restore, from checking the template to the end of the first command";
    CHANNEL_ROUND_TRIP = "channel_round_trip", Exec, Milliseconds, None,
        "one empty request to the guest's agent and its answer: no process, but the agent's own turn is in it";
    EXEC_WARM_TRUE = "exec_warm_true", Exec, Milliseconds, None,
        "`true` in a guest that has run it before, from asking for it to its end";
    EXEC_WARM_SHELL = "exec_warm_shell", Exec, Milliseconds, None,
        "`/bin/sh -c true`, likewise";
    EXEC_WARM_GIT = "exec_warm_git", Exec, Milliseconds, None,
        "`git --version`, likewise";
    SNAPSHOT_PAUSE = "snapshot_pause", Snapshot, Milliseconds, None,
        "how long a guest with 300 MiB of touched memory stands still while it is saved, memory included; nothing is synced to disk";
    SNAPSHOT_TOTAL = "snapshot_total", Snapshot, Milliseconds, None, "all of that, what is prepared while the guest runs included";
    SNAPSHOT_RESTORE = "snapshot_restore", Snapshot, Milliseconds, Some("floor_restore"),
        "a guest started from that snapshot, from the copy of its disk to the end of its first command";
    FORK_1_PAUSE = "fork_1_pause", Fork, Milliseconds, None,
        "how long a guest with 300 MiB of touched memory stands still while it is forked";
    FORK_1_TOTAL = "fork_1_total", Fork, Milliseconds, None, "from asking for one fork until it has run its first command";
    FORK_1_CHILD = "fork_1_child", Fork, Milliseconds, Some("floor_restore"),
        "the child's own start, from the copy of its disk to the end of its first command";
    FORK_1_PSS = "fork_1_pss", Fork, Mebibytes, None, "the child's proportional share of memory afterwards";
    FORK_10_PAUSE = "fork_10_pause", Fork, Milliseconds, None, "as fork_1_pause, for 10 children at once";
    FORK_10_TOTAL = "fork_10_total", Fork, Milliseconds, None,
        "from asking for 10 forks until all have run their first command; as many start at once as there are processors";
    FORK_10_CHILD = "fork_10_child", Fork, Milliseconds, Some("floor_restore"),
        "each child's own start, while the others start, to the end of its first command";
    FORK_10_PSS = "fork_10_pss", Fork, Mebibytes, None, "each child's proportional share of memory, with all 10 there";
    FORK_50_PAUSE = "fork_50_pause", Fork, Milliseconds, None, "as fork_1_pause, for 50 children at once";
    FORK_50_TOTAL = "fork_50_total", Fork, Milliseconds, None, "as fork_10_total, for 50";
    FORK_50_CHILD = "fork_50_child", Fork, Milliseconds, Some("floor_restore"), "as fork_10_child, for 50";
    FORK_50_PSS = "fork_50_pss", Fork, Mebibytes, None, "as fork_10_pss, with all 50 there";
    IDLE_PSS = "idle_pss", Idle, Mebibytes, None,
        "the engine's proportional share of memory for each restored guest that has run one command, with all of them there";
    IDLE_CPU = "idle_cpu", Idle, Percent, None,
        "processor time of each such guest's engine over three seconds without a command";
    IDLE_ANSWER = "idle_answer", Idle, Milliseconds, None,
        "the first command again in each of them, one after the other, with all of them there";
}

/// The four figures of a fork into so many children; nothing for numbers that have none.
pub(super) const fn of_fork(children: u32) -> Option<[Metric; 4]> {
    match children {
        1 => Some([FORK_1_PAUSE, FORK_1_TOTAL, FORK_1_CHILD, FORK_1_PSS]),
        10 => Some([FORK_10_PAUSE, FORK_10_TOTAL, FORK_10_CHILD, FORK_10_PSS]),
        50 => Some([FORK_50_PAUSE, FORK_50_TOTAL, FORK_50_CHILD, FORK_50_PSS]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_floors_exist() {
        for (index, metric) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != metric.name), "{} twice", metric.name);
            let known = |floor| ALL.iter().any(|other| other.name == floor && other.unit == metric.unit);
            assert!(metric.floor.is_none_or(known), "{} has an unknown floor", metric.name);
            assert!(!metric.method.is_empty());
        }
    }
}
