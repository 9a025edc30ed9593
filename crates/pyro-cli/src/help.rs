//! The program's own help: its commands in groups, which clap has not. It must not say anything that the commands do not say
//! of themselves.

use crate::commands::short::SHORT_FORMS;
use clap::Command;
use std::fmt::Write as _;

/// Has the help list the commands in groups.
pub(crate) fn grouped(program: Command) -> Command {
    let is_short = |command: &&Command| SHORT_FORMS.iter().any(|(short, _)| *short == command.get_name());
    let shown: Vec<&Command> = program.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let width = shown.iter().map(|command| command.get_name().len()).max().unwrap_or(0);
    let (short, other): (Vec<&Command>, Vec<&Command>) = shown.into_iter().partition(is_short);
    let styles = program.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut text = "{before-help}{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    let groups = [("Commands", other), ("Short for 'pyro workspace ...'", short)];
    for (title, commands) in groups {
        let _ = writeln!(text, "\n{header}{title}:{header:#}");
        for command in commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let aliases: Vec<&str> = command.get_visible_aliases().collect();
            let aliases = if aliases.is_empty() {
                String::new()
            } else {
                format!(" [aliases: {}]", aliases.join(", "))
            };
            let _ = writeln!(text, "  {literal}{:width$}{literal:#}  {about}{aliases}", command.get_name());
        }
    }
    let _ = write!(text, "\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    program.help_template(text)
}
