//! Completing a command line with what there is: names of workspaces, snapshots, services, secrets, numbers of jobs, ids of
//! shells. The shell's script asks this program at each press of the key, so this file reads documents and must not start,
//! change or wait for anything, and whatever goes wrong is no completion and not a word.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::settings;
use clap::Arg;
use clap::Command;
use clap_complete::engine::ArgValueCandidates;
use clap_complete::engine::ArgValueCompleter;
use clap_complete::engine::CompletionCandidate;
use clap_complete::engine::PathCompleter;
use clap_complete::engine::ValueCompleter as _;
use clap_complete::env::Shells;
use pyro::workspace::Workspace;
use pyro::workspace::Workspaces;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a supervisor may take to list its shells. A person waits for the key.
const SUPERVISOR_DEADLINE: Duration = Duration::from_millis(500);

/// The script that has a shell ask `program`; nothing for a shell that is not known.
pub(crate) fn script(shell: &str, variable: &str, program: &str) -> Vec<u8> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(shell) {
        let _ = shell.write_registration(variable, "pyro", "pyro", program, &mut script);
    }
    script
}

/// What a shell is told, given all that its script said.
pub(crate) fn complete(shell: &str, args: &[OsString], folder: Option<&Path>) -> Vec<u8> {
    let mut told = Vec::new();
    let name = Path::new(shell).file_name().unwrap_or_default().to_string_lossy();
    let words: Vec<OsString> = args.iter().skip_while(|arg| *arg != "--").skip(1).cloned().collect();
    if let Some(shell) = Shells::builtins().completer(&name)
        && !words.is_empty()
    {
        let line = Arc::new(Line { workspace: named_workspace(&words) });
        let mut program = equip(crate::command(), &mut Vec::new(), &line);
        program.build();
        // What was written before a failure is of no use.
        if shell.write_complete(&mut program, words, folder, &mut told).is_err() {
            told.clear();
        }
    }
    told
}

/// What the values of an argument are names of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Workspaces,
    Snapshots,
    Services,
    Secrets,
    Jobs,
    Shells,
    /// Either side of a copy.
    Places,
}

/// What an argument names, by the words of its command and its own id.
fn known(command: &[String], arg: &str) -> Option<Known> {
    let last = |count: usize| command.iter().rev().take(count).rev().map(String::as_str).collect::<Vec<_>>();
    match (last(2).as_slice(), arg) {
        (_, "workspace" | "workspaces") => Some(Known::Workspaces),
        (_, "snapshot") | ([_, "diff"], "from" | "to") | (["snapshot", "show" | "delete"], "name") => {
            Some(Known::Snapshots)
        }
        (["service", "status" | "logs" | "stop" | "restart"], "name") => Some(Known::Services),
        (["secret", "remove"], "name") | (_, "secret_env") => Some(Known::Secrets),
        (_, "job") => Some(Known::Jobs),
        (_, "shell") if command.iter().any(|word| word == "shell") => Some(Known::Shells),
        ([_, "cp"], "from" | "to") => Some(Known::Places),
        _ => None,
    }
}

/// Has every argument of a command that names something that is there be completed.
fn equip(command: Command, above: &mut Vec<String>, line: &Arc<Line>) -> Command {
    above.push(command.get_name().to_owned());
    let command = command.mut_args(|arg| match known(above, arg.get_id().as_str()) {
        Some(known) => with_values(arg, known, Arc::clone(line)),
        None => arg,
    });
    let command = command.mut_subcommands(|command| equip(command, above, line));
    above.pop();
    command
}

fn with_values(arg: Arg, known: Known, line: Arc<Line>) -> Arg {
    if known == Known::Places {
        return arg.add(ArgValueCompleter::new(move |current: &OsStr| line.places(current)));
    }
    arg.add(ArgValueCandidates::new(move || line.values(known).unwrap_or_default()))
}

/// The command line so far.
struct Line {
    /// The workspace that it names.
    workspace: Option<String>,
}

/// The workspace that a command line names, whatever else is wrong with it.
fn named_workspace(words: &[OsString]) -> Option<String> {
    let parsed = crate::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let mut matches = &parsed;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    matches.try_get_one::<String>("workspace").ok().flatten().cloned()
}

fn workspaces() -> Option<Workspaces> {
    Some(Workspaces::peek(&settings::config("auto", exit::FAILED).ok()?))
}

impl Line {
    fn workspace(&self) -> Option<Workspace> {
        workspaces()?.find(self.workspace.as_deref()?).ok()
    }

    fn values(&self, known: Known) -> Option<Vec<CompletionCandidate>> {
        let plain = |values: Vec<String>| values.into_iter().map(CompletionCandidate::new).collect();
        Some(match known {
            Known::Workspaces | Known::Places => named(""),
            Known::Snapshots => {
                let snapshots = self.workspace()?.snapshots().ok()?;
                plain(snapshots.iter().map(|snapshot| snapshot.name.to_string()).collect())
            }
            Known::Services => plain(self.workspace()?.service_names()),
            Known::Secrets => {
                let document = self.workspace()?.document().ok()?;
                plain(document.secrets.keys().map(ToString::to_string).collect())
            }
            Known::Jobs => self.jobs()?,
            Known::Shells => plain(self.shells()?),
        })
    }

    fn jobs(&self) -> Option<Vec<CompletionCandidate>> {
        let history = self.workspace()?.history().ok()?;
        // The newest first.
        let jobs = history.iter().rev().enumerate().map(|(order, entry)| {
            CompletionCandidate::new(entry.started.sequence.to_string())
                .help(Some(entry.started.command.clone().into()))
                .display_order(Some(order))
        });
        Some(jobs.collect())
    }

    fn shells(&self) -> Option<Vec<String>> {
        let workspace = self.workspace()?;
        let runtime = EventLoop::new().ok()?;
        let listed = runtime.block_on(async {
            tokio::time::timeout(SUPERVISOR_DEADLINE, workspace.list_shells()).await.ok()
        });
        let id = |record: &serde_json::Value| Some(record["shell_id"].as_str()?.to_owned());
        Some(listed?.ok()?.iter().filter_map(id).collect())
    }

    /// Paths of this host, and the beginnings of those in workspaces.
    fn places(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let mut places = PathCompleter::any().complete(current);
        let current = current.to_string_lossy();
        places.extend(
            named(":").into_iter().filter(|place| place.get_value().to_string_lossy().starts_with(&*current)),
        );
        places
    }
}

/// Every workspace by its name, with this behind it. One without a name is called by its id, and the ids of the others are there
/// for whoever has begun to type one.
fn named(suffix: &str) -> Vec<CompletionCandidate> {
    let listed = workspaces().and_then(|workspaces| workspaces.list().ok()).unwrap_or_default();
    let mut values = Vec::new();
    for (order, listed) in listed.iter().enumerate() {
        let document = listed.document.as_ref().ok();
        let id = CompletionCandidate::new(format!("{}{suffix}", listed.folder.id()));
        let help = document.map(|document| document.environment.clone().into());
        match document.and_then(|document| document.name.as_ref()) {
            Some(name) => {
                let name = CompletionCandidate::new(format!("{name}{suffix}"));
                values.push(name.help(help).display_order(Some(order)));
                values.push(id.hide(true));
            }
            None => values.push(id.help(help).display_order(Some(order))),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An argument that is renamed must not lose its completion without a word.
    #[test]
    fn every_kind_of_name_is_completed_somewhere() {
        fn collect(command: &Command, above: &mut Vec<String>, found: &mut Vec<(String, Known)>) {
            above.push(command.get_name().to_owned());
            for arg in command.get_arguments() {
                if let Some(known) = known(above, arg.get_id().as_str()) {
                    found.push((format!("{} {}", above[1..].join(" "), arg.get_id()), known));
                }
            }
            command.get_subcommands().for_each(|command| collect(command, above, found));
            above.pop();
        }
        let mut found = Vec::new();
        collect(&crate::command(), &mut Vec::new(), &mut found);
        for (arg, known) in [
            ("exec workspace", Known::Workspaces),
            ("workspace exec workspace", Known::Workspaces),
            ("rm workspaces", Known::Workspaces),
            ("reset snapshot", Known::Snapshots),
            ("diff from", Known::Snapshots),
            ("workspace diff to", Known::Snapshots),
            ("snapshot delete name", Known::Snapshots),
            ("workspace service logs name", Known::Services),
            ("workspace secret remove name", Known::Secrets),
            ("exec secret_env", Known::Secrets),
            ("workspace job wait job", Known::Jobs),
            ("shell attach shell", Known::Shells),
            ("cp from", Known::Places),
            ("cp to", Known::Places),
        ] {
            assert!(found.contains(&(arg.to_owned(), known)), "{arg}: {found:?}");
        }
        for new in ["snapshot create name", "workspace service start name", "workspace file move from"] {
            assert!(!found.iter().any(|(arg, _)| arg == new), "{new} names nothing that is there");
        }
        assert!(!found.iter().any(|(arg, known)| *known == Known::Shells && arg.starts_with("completions")));
    }

    #[test]
    fn the_workspace_is_found_on_an_unfinished_line() {
        let found = |line: &str| named_workspace(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(found("pyro workspace service logs fix "), Some("fix".to_owned()));
        assert_eq!(found("pyro reset fix --snapshot "), Some("fix".to_owned()));
        assert_eq!(found("pyro workspace job wait --json fix"), Some("fix".to_owned()));
        assert_eq!(found("pyro shell attach"), None);
    }

    #[test]
    fn nonsense_is_no_completion() {
        for shell in ["cobol", "", "/bin/false"] {
            assert!(complete(shell, &["pyro".into(), "--".into(), "pyro".into()], None).is_empty());
        }
        assert!(complete("bash", &["pyro".into()], None).is_empty());
    }
}
