//! The page that says what is stable, from the tables that the surfaces are made of. It must not list anything itself.

use clap::Command;
use pyro_mcp::operations::Operation;
use std::fmt::Write as _;

const INTRO: &str = "\
What programs may rely on. A minor release may add to all of this: commands, flags, tools, arguments, methods, fields of documents,
codes. It takes nothing away and gives nothing another meaning; a major release may, and the changelog says so.

- Documents of `--json`, of MCP tools and of Python's methods are the same. Their fields may come in any order, and new ones
  may come at any time.
- The `code` of an error is stable, and so are exit codes. Texts and hints are for people, and change.
- Output without `--json` is for people, but for what `--id-only`, `--content-only` and `-` ask for.
- The Rust crates follow Cargo's rules of versions: before 1.0 a minor release may change them.
- What is in the state folder is read by every later release of the same major version. What is in the cache folder is nobody's.
";

/// The page. `methods` are the signatures of Python's contract.
pub(super) fn page(
    mut program: Command,
    exit_codes: &[(&str, &str)],
    operations: &[Operation],
    methods: &[String],
    error_codes: usize,
) -> String {
    program.build();
    let mut page = format!("# Public contract\n\n{INTRO}");
    page.push_str("\n## Command line\n\nWhat each does is in [the `pyro` command](cli.md).\n\n");
    command(&mut page, &program);
    let codes: Vec<String> = exit_codes.iter().map(|(code, _)| format!("`{code}`")).collect();
    let _ = write!(page, "\nExit codes: {}.\n", codes.join(", "));
    page.push_str(
        "\n## MCP\n\nRequired arguments stand in brackets; all are in [MCP tools](mcp-tools.md).\n\n",
    );
    for operation in operations {
        let required = operation.input_schema["required"].as_array().into_iter().flatten();
        let required: Vec<&str> = required.filter_map(serde_json::Value::as_str).collect();
        let _ = writeln!(page, "- `{}({})`", operation.name, required.join(", "));
    }
    page.push_str("\n## Python\n\nMethods of `pyro_mcp.Pyro`; each returns a dict.\n\n");
    for method in methods {
        let _ = writeln!(page, "- `{method}`");
    }
    let _ = write!(page, "\n## Errors\n\n{error_codes} codes: [error codes](error-codes.md).\n");
    page
}

/// The methods of the contract that Python's tests hold the package to.
pub(super) fn methods(source: &str) -> Vec<String> {
    let table = source.split("METHODS = \"\"\"\n").nth(1).and_then(|rest| rest.split("\"\"\"").next());
    table.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A command that does something, or those below it.
fn command(page: &mut String, shown: &Command) {
    if shown.is_hide_set() || shown.get_name() == "help" {
        return;
    }
    let mut below = shown.get_subcommands().peekable();
    if below.peek().is_some() {
        below.for_each(|subcommand| command(page, subcommand));
        return;
    }
    let name = shown.get_bin_name().unwrap_or_else(|| shown.get_name());
    let mut words: Vec<String> =
        shown.get_positionals().map(|arg| arg.get_id().as_str().to_uppercase()).collect();
    let seen = shown.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set());
    let mut flags: Vec<String> = seen
        .filter_map(|arg| arg.get_long())
        .filter(|long| *long != "help")
        .map(|long| format!("--{long}"))
        .collect();
    flags.sort_unstable();
    words.append(&mut flags);
    let _ = writeln!(page, "- `{}`", [&[name.to_owned()], words.as_slice()].concat().join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_listed() {
        let methods = methods("x = 1\nMETHODS = \"\"\"\none(a)\ntwo()\n\"\"\"\n");
        assert_eq!(methods, ["one(a)", "two()"]);
        let page =
            page(pyro_cli::command(), pyro_cli::EXIT_CODES, pyro_mcp::operations::table(), &methods, 7);
        assert!(page.contains("\n- `pyro workspace delete WORKSPACES --all --json --label`\n"), "{page}");
        assert!(page.contains("\n- `vm_run(environment, command)`\n"), "{page}");
        assert!(page.contains("\n- `one(a)`\n- `two()`\n"), "{page}");
        assert!(!page.contains("supervise"), "{page}");
    }
}
