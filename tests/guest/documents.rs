//! The transcripts of the documentation, replayed: every `console` block of a page is run, in order and in one shell, and what
//! comes is compared with what is shown. In what is shown `[..]` stands for anything within a line, a line of `...` for any
//! lines, and `? N` for the exit code of the command above, 0 otherwise.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// Stands between the outputs of two commands.
const END: &str = "\n@@end-of-command ";

/// What is said only when something is done for the first time on this host.
const ONCE: [&str; 2] = ["[pyro] ", "[run] phase=template "];

/// One command of a transcript.
#[derive(Debug, Default)]
struct Step {
    command: String,
    exit_code: i32,
    shown: Vec<String>,
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn steps(text: &str) -> Vec<Step> {
    let blocks = text.split("\n```console\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), ..Step::default() });
            continue;
        }
        // A transcript begins with a command.
        let step = steps.last_mut().unwrap();
        match (line.strip_prefix("> "), line.strip_prefix("? ")) {
            (Some(more), _) if step.shown.is_empty() => step.command = format!("{}\n{more}", step.command),
            (_, Some(code)) if step.shown.is_empty() => step.exit_code = code.parse().unwrap(),
            _ => step.shown.push(line.to_owned()),
        }
    }
    steps
}

/// Runs the commands of all steps in one shell; each one's output and exit code.
fn run(home: &Sandbox, steps: &[Step]) -> Vec<(String, i32)> {
    let work = home.home().join("work");
    fs::create_dir(&work).unwrap();
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        script.push_str(&step.command);
        script.push_str(&format!("\nprintf '{}%s\\n' $?\n", END.replace('\n', "\\n")));
    }
    let file = home.home().join("transcript.sh");
    fs::write(&file, script).unwrap();
    let pyro = home.pyro(["--version"]);
    let mut shell = Command::new("bash");
    shell.arg(&file).env_clear().current_dir(&work).stdin(Stdio::null());
    for (name, value) in pyro.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut path = Path::new(pyro.get_program()).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(pyro_testkit::search_path());
    let output = Outcome::of(shell.env("PATH", path)).stdout();
    let mut rest = output.as_str();
    let mut told = Vec::new();
    while let Some((said, after)) = rest.split_once(END) {
        let (code, after) = after.split_once('\n').unwrap();
        told.push((said.to_owned(), code.parse().unwrap()));
        rest = after;
    }
    assert_eq!(told.len(), steps.len(), "the shell ended early: {output}");
    told
}

/// Whether a line is what is shown, `[..]` being anything.
fn line_fits(shown: &str, line: &str) -> bool {
    let Some((before, after)) = shown.split_once("[..]") else { return shown == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && line_fits(after, &rest[at..]))
}

/// Whether lines are what is shown, a line of `...` being any of them.
fn fits(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, after)) if first == "..." => (0..=lines.len()).any(|at| fits(after, &lines[at..])),
        Some((first, after)) => {
            lines.split_first().is_some_and(|(line, rest)| line_fits(first, line) && fits(after, rest))
        }
    }
}

#[track_caller]
fn replay(page: &str) {
    let steps = steps(&fs::read_to_string(docs().join(page)).unwrap());
    assert!(steps.len() >= 3, "{page} shows nothing");
    let home = debian().with_environment("debian:12-build");
    for (step, (said, code)) in steps.iter().zip(run(&home, &steps)) {
        let lines: Vec<&str> =
            said.lines().filter(|line| !ONCE.iter().any(|once| line.starts_with(once))).collect();
        assert!(
            fits(&step.shown, &lines) && code == step.exit_code,
            "{page}: $ {}\nis shown to end with {} and to say\n{}\nbut ended with {code} and said\n{said}",
            step.command,
            step.exit_code,
            step.shown.join("\n"),
        );
    }
    // A page cleans up after itself, and teaches that.
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0, "{page}");
}

#[test]
fn wildcards_stand_for_what_varies_and_nothing_else() {
    assert!(line_fits("a=[..] b=[..]", "a=1 b=") && !line_fits("a=[..] b", "a=1 c") && !line_fits("a", "ab"));
    let shown = ["a", "...", "z"].map(str::to_owned);
    assert!(fits(&shown, &["a", "b", "c", "z"]) && fits(&shown, &["a", "z"]) && !fits(&shown, &["a", "b"]));
}

macro_rules! replayed {
    ($($name:ident: $page:literal,)+) => {
        $(#[test] fn $name() { replay($page); })+

        #[test]
        fn every_page_with_a_transcript_is_replayed() {
            let mut shown: Vec<String> = ["", "stories/", "guides/", "reference/"]
                .into_iter()
                .flat_map(|folder| {
                    fs::read_dir(docs().join(folder)).unwrap().map(move |entry| {
                        format!("{folder}{}", entry.unwrap().file_name().to_str().unwrap())
                    })
                })
                .filter(|page| page.ends_with(".md"))
                .filter(|page| fs::read_to_string(docs().join(page)).unwrap().contains("```console"))
                .collect();
            shown.sort();
            let mut replayed = [$($page),+].to_vec();
            replayed.sort_unstable();
            assert_eq!(shown, replayed);
        }
    };
}

replayed! {
    the_first_run_is_true: "first-run.md",
    the_story_of_a_cold_start_is_true: "stories/cold-start.md",
    the_story_of_a_fix_is_true: "stories/repro-fix-loop.md",
    the_story_of_parallel_attempts_is_true: "stories/parallel-workspaces.md",
    the_story_of_an_inspection_is_true: "stories/untrusted-inspection.md",
    the_story_of_a_review_is_true: "stories/review-eval.md",
    the_guide_to_files_is_true: "guides/files.md",
    the_guide_to_forks_is_true: "guides/forks.md",
    the_guide_to_secrets_is_true: "guides/secrets.md",
    the_guide_to_services_is_true: "guides/services.md",
    the_guide_to_shells_is_true: "guides/shells.md",
}
