//! The command reference, from any clap command tree. It must not know this program's commands.

use clap::Arg;
use clap::ArgAction;
use clap::Command;
use std::fmt::Write;

/// The page of a whole program; commands that are short for others are listed, not described again.
pub(super) fn page(mut program: Command, short: &[(&str, &str)], exit_codes: &[(&str, &str)]) -> String {
    program.build();
    let name = program.get_name().to_owned();
    let mut page = format!("# The `{name}` command\n");
    for (short, _) in short {
        program = program.mut_subcommand(*short, |command| command.hide(true));
    }
    section(&mut page, &mut program, true);
    if !short.is_empty() {
        page.push_str("\n## Short forms\n\n");
    }
    for (short, long) in short {
        line(&mut page, &format!("- `{name} {short}`: `{name} {long}`"));
    }
    page.push_str("\n## Exit codes\n\n");
    for (code, meaning) in exit_codes {
        line(&mut page, &format!("- `{code}`: {meaning}"));
    }
    page
}

/// A command and those below it; options that hold for all are listed once, at the top.
fn section(page: &mut String, command: &mut Command, top: bool) {
    if command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let usage = command.render_usage().to_string();
    let _ = write!(page, "\n## {name}\n\n{}\n", about(command));
    let _ = write!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage:").trim());
    arguments(page, "Arguments", command.get_positionals());
    let options = command.get_opts().chain(command.get_arguments().filter(|arg| is_flag(arg)));
    arguments(page, "Options", options.filter(|arg| top || !arg.is_global_set()));
    if let Some(more) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        let _ = write!(page, "\n{}\n", more.to_string().trim());
    }
    for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
        section(page, subcommand, false);
    }
}

fn about(command: &Command) -> String {
    let text = command.get_long_about().or_else(|| command.get_about());
    text.map(|text| sentence(text.to_string().trim())).unwrap_or_default()
}

/// With the full stop that clap takes off a doc comment.
fn sentence(text: &str) -> String {
    let stop = if text.is_empty() || text.ends_with(['.', '!', '?', ':']) { "" } else { "." };
    format!("{text}{stop}")
}

/// Options without a value, but for the ones clap adds to every command.
fn is_flag(arg: &Arg) -> bool {
    let own = !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong);
    own && !arg.is_positional() && !takes_values(arg)
}

fn takes_values(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.takes_values())
}

fn arguments<'a>(page: &mut String, title: &str, args: impl Iterator<Item = &'a Arg>) {
    let mut lines: Vec<(String, String)> =
        args.filter(|arg| !arg.is_hide_set()).map(|arg| (signature(arg), explanation(arg))).collect();
    if lines.is_empty() {
        return;
    }
    if title == "Options" {
        lines.sort_by(|one, other| long_name(&one.0).cmp(long_name(&other.0)));
    }
    let _ = write!(page, "\n{title}:\n\n");
    for (signature, explanation) in lines {
        let colon = if explanation.is_empty() { "" } else { ": " };
        line(page, &format!("- `{signature}`{colon}{explanation}"));
    }
}

/// A signature from its long name on.
fn long_name(signature: &str) -> &str {
    signature.find("--").map_or(signature, |at| &signature[at..])
}

/// `--mem-mib <MIB>`, `-q, --quiet`, `<ENVIRONMENT>`.
fn signature(arg: &Arg) -> String {
    let values = (arg.is_positional() || takes_values(arg)).then(|| value_names(arg));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    let repeated = matches!(arg.get_action(), ArgAction::Append) && !arg.is_positional();
    let signature =
        [Some(names).filter(|names| !names.is_empty()), values].into_iter().flatten().collect::<Vec<_>>();
    format!("{}{}", signature.join(" "), if repeated { " ..." } else { "" })
}

fn value_names(arg: &Arg) -> String {
    let id = arg.get_id().as_str();
    let names = arg
        .get_value_names()
        .map_or_else(|| vec![id], |names| names.iter().map(clap::builder::Str::as_str).collect());
    names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ")
}

/// The help in one paragraph, then default, choices and environment variable.
fn explanation(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = sentence(&help.split_whitespace().collect::<Vec<_>>().join(" "));
    if !takes_values(arg) {
        return text;
    }
    let defaults = joined(arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()));
    let choices = joined(
        arg.get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| value.get_name().to_owned()),
    );
    let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
    for (label, part) in [("Values", choices), ("Default", defaults), ("Environment variable", variable)] {
        if let Some(part) = part {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{label}: {part}.");
        }
    }
    text
}

fn joined(values: impl Iterator<Item = String>) -> Option<String> {
    let values: Vec<String> = values.map(|value| format!("`{value}`")).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let memory =
            Arg::new("mem").long("mem-mib").value_name("MIB").default_value("1024").help("Memory,\nin MiB");
        let engine =
            Arg::new("engine").long("engine").value_parser(["auto", "qemu"]).env("P_ENGINE").global(true);
        let label = Arg::new("label").short('l').long("label").value_name("K=V").action(ArgAction::Append);
        let quiet = Arg::new("quiet").long("quiet").action(ArgAction::SetTrue).help("Say less.");
        let secret = Arg::new("secret").long("secret").hide(true);
        let run =
            Command::new("run").about("Run it.").args([memory, label, quiet, secret]).arg(Arg::new("WHAT"));
        let hidden = Command::new("supervise").about("Internal.").hide(true);
        Command::new("p").about("A program.").arg(engine).subcommands([run, hidden])
    }

    #[test]
    fn the_page_holds_what_help_holds() {
        let page = page(program(), &[], &[("0", "Fine."), ("2", "Wrong.")]);
        let expected = "\
# The `p` command

## p

A program.

```text
p [OPTIONS] [COMMAND]
```

Options:

- `--engine <engine>`: Values: `auto`, `qemu`. Environment variable: `P_ENGINE`.

## p run

Run it.

```text
p run [OPTIONS] [WHAT]
```

Arguments:

- `<WHAT>`
";
        assert!(page.starts_with(expected), "{page}");
        assert!(page.contains("- `--mem-mib <MIB>`: Memory, in MiB. Default: `1024`.\n"), "{page}");
        assert!(page.contains("- `-l, --label <K=V> ...`"), "{page}");
        assert!(page.contains("- `--quiet`: Say less.\n"), "{page}");
        assert!(page.ends_with("## Exit codes\n\n- `0`: Fine.\n- `2`: Wrong.\n"), "{page}");
    }

    #[test]
    fn what_is_hidden_stays_hidden() {
        let page = page(program(), &[], &[]);
        assert!(
            !page.contains("secret") && !page.contains("supervise") && !page.contains("--help"),
            "{page}"
        );
    }

    #[test]
    fn a_short_form_is_named_and_not_described() {
        let program = program().subcommand(Command::new("r").about("Run it, shortly."));
        let page = page(program, &[("r", "run")], &[]);
        assert!(
            page.contains("## p run\n") && page.contains("## Short forms\n\n- `p r`: `p run`\n"),
            "{page}"
        );
        assert!(!page.contains("shortly"), "{page}");
    }
}
