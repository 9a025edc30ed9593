//! The short forms of what is done with workspaces all day: `pyro exec` is `pyro workspace exec`. Each has the long command's
//! own arguments and is carried out as that; this file must not do anything itself.

use super::workspace as long;
use super::workspace::Workspace;
use clap::Subcommand;

/// Each short form, and what it is short for.
pub const SHORT_FORMS: &[(&str, &str)] = &[
    ("create", "workspace create"),
    ("ls", "workspace list"),
    ("status", "workspace status"),
    ("start", "workspace start"),
    ("stop", "workspace stop"),
    ("rm", "workspace delete"),
    ("exec", "workspace exec"),
    ("shell", "workspace shell"),
    ("logs", "workspace logs"),
    ("push", "workspace sync push"),
    ("pull", "workspace sync pull"),
    ("diff", "workspace diff"),
    ("snapshot", "workspace snapshot"),
    ("reset", "workspace reset"),
    ("fork", "workspace fork"),
];

/// Short forms of what is done with workspaces all day.
#[derive(Debug, Subcommand)]
pub enum Short {
    /// Make a workspace and start its guest.
    Create(long::create::Create),
    /// List all workspaces, the last used first.
    #[command(visible_alias = "list")]
    Ls(long::list::List),
    /// Show how a workspace is.
    Status(long::status::Status),
    /// Start a stopped workspace.
    Start(long::start::Start),
    /// Stop a workspace; its data stays.
    Stop(long::stop::Stop),
    /// Delete workspaces with everything in them.
    #[command(visible_alias = "delete")]
    Rm(long::delete::Delete),
    /// Run a command in a workspace; with -it at your terminal.
    Exec(long::exec::Exec),
    /// Open, use and leave shells: programs on a terminal that go on without you.
    #[command(subcommand)]
    Shell(long::shell::Shell),
    /// Show the commands of a workspace, and what they printed.
    Logs(long::logs::Logs),
    /// Bring a folder of the guest up to date with one of the host.
    Push(long::sync::Push),
    /// Bring a folder of the host up to date with one of the guest.
    Pull(long::sync::Pull),
    /// Show what changed.
    Diff(long::diff::Diff),
    /// Keep, show and forget snapshots.
    #[command(subcommand)]
    Snapshot(long::snapshot::Snapshot),
    /// Go back to a snapshot.
    Reset(long::reset::Reset),
    /// Make workspaces that begin where this one is.
    Fork(long::fork::Fork),
}

impl Short {
    /// What it is short for.
    pub(crate) fn long(self) -> Workspace {
        match self {
            Self::Create(command) => Workspace::Create(command),
            Self::Ls(command) => Workspace::List(command),
            Self::Status(command) => Workspace::Status(command),
            Self::Start(command) => Workspace::Start(command),
            Self::Stop(command) => Workspace::Stop(command),
            Self::Rm(command) => Workspace::Delete(command),
            Self::Exec(command) => Workspace::Exec(command),
            Self::Shell(command) => Workspace::Shell(command),
            Self::Logs(command) => Workspace::Logs(command),
            Self::Push(command) => Workspace::Sync(long::sync::Sync::Push(command)),
            Self::Pull(command) => Workspace::Sync(long::sync::Sync::Pull(command)),
            Self::Diff(command) => Workspace::Diff(command),
            Self::Snapshot(command) => Workspace::Snapshot(command),
            Self::Reset(command) => Workspace::Reset(command),
            Self::Fork(command) => Workspace::Fork(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    fn find(program: &Command, words: &str) -> Command {
        let found = words.split(' ').try_fold(program, |command, word| command.find_subcommand(word));
        found.unwrap_or_else(|| panic!("there is no '{words}'")).clone()
    }

    /// Everything that is parsed, whatever the help says of it.
    fn grammar(command: &Command) -> String {
        let arguments: Vec<String> = command.get_arguments().map(|arg| format!("{arg:?}")).collect();
        let below: Vec<String> = command
            .get_subcommands()
            .map(|command| command.get_name().to_owned() + &grammar(command))
            .collect();
        format!("{arguments:?}{below:?}")
    }

    #[test]
    fn a_short_form_takes_what_the_long_one_takes() {
        let program = crate::command();
        for (short, long) in SHORT_FORMS {
            let (short, long) = (find(&program, short), find(&program, long));
            assert_eq!(grammar(&short), grammar(&long), "{}", short.get_name());
        }
    }

    #[test]
    fn every_short_form_is_in_the_list() {
        let all = Short::augment_subcommands(Command::new("pyro"));
        let names: Vec<&str> = all.get_subcommands().map(Command::get_name).collect();
        assert_eq!(names, SHORT_FORMS.iter().map(|(short, _)| *short).collect::<Vec<_>>());
    }
}
