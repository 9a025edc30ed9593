//! From a request to what the kernel wants: checked, resolved, and turned into C strings before any fork, so that every
//! refusal comes early. This file must not start anything.

use crate::names::shown;
use crate::refusal::refuse;
use crate::users::Databases;
use crate::users::User;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::Stdio;
use pyro_proto::frame::CONTROL;
use pyro_proto::limits::ARGS_MAX;
use pyro_proto::limits::ENV_MAX;
use pyro_proto::limits::PATH_BYTES_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use std::collections::BTreeMap;
use std::ffi::CString;

/// Longest file name (Linux `NAME_MAX`), and most folders of `PATH` that are tried: together they bound what a request
/// makes the agent allocate.
const NAME_BYTES_MAX: usize = 255;
const PATH_FOLDERS_MAX: usize = 256;

const PATH_DEFAULT: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a command starts from when the request does not say.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// Working directories to try, in order.
    pub(crate) cwd: Vec<CString>,
    /// Who runs the agent; commands run as this user unless another is asked for.
    pub(crate) uid: u32,
}

/// A command ready to start.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Paths to try, in order.
    pub(crate) programs: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) envp: Vec<CString>,
    pub(crate) cwd: Vec<CString>,
    /// Set when the command runs as somebody else than the agent.
    pub(crate) switch_to: Option<User>,
}

impl Command {
    /// Checks and resolves a request.
    pub(crate) fn new(spec: &ExecSpec, defaults: &Defaults) -> Result<Self, WireError> {
        check_sizes(spec)?;
        check_streams(&spec.stdio)?;
        let argv =
            spec.argv.iter().map(|word| c_string("an argument", &word.0)).collect::<Result<Vec<_>, _>>()?;
        let user = find_user(spec.user.as_deref(), defaults)?;
        let environment = environment(spec, &user)?;
        let path = environment.get(&b"PATH"[..]).map_or(PATH_DEFAULT, Vec::as_slice);
        let programs = candidates(&spec.argv[0].0, path)?;
        let cwd = match &spec.cwd {
            Some(cwd) => vec![c_string("the working directory", &cwd.0)?],
            None => defaults.cwd.clone(),
        };
        let switch_to =
            (user.uid != defaults.uid || (spec.user.is_some() && defaults.uid == 0)).then_some(user);
        Ok(Self { programs, argv, envp: flatten(&environment)?, cwd, switch_to })
    }
}

fn bad(message: impl Into<String>) -> WireError {
    refuse(ErrorCode::BadRequest, message)
}

fn c_string(what: &str, bytes: &[u8]) -> Result<CString, WireError> {
    CString::new(bytes).map_err(|_| bad(format!("{what} {:?} contains a zero byte", shown(bytes))))
}

fn check_sizes(spec: &ExecSpec) -> Result<(), WireError> {
    if spec.argv.first().is_none_or(|program| program.0.is_empty()) {
        return Err(bad("the command is empty"));
    }
    if spec.argv.len() > ARGS_MAX || spec.env.len() > ENV_MAX {
        let (arguments, variables) = (spec.argv.len(), spec.env.len());
        return Err(bad(format!(
            "the command has {arguments} arguments and {variables} variables, more than {ARGS_MAX} and {ENV_MAX}"
        )));
    }
    if let Some(cwd) = spec.cwd.as_ref().filter(|cwd| cwd.0.is_empty() || cwd.0.len() >= PATH_BYTES_MAX) {
        let text = format!("the working directory {:?} is empty or too long", shown(&cwd.0));
        return Err(refuse(ErrorCode::BadCwd, text));
    }
    Ok(())
}

/// Whether these streams can be a job's.
pub(crate) fn check_streams(stdio: &Stdio) -> Result<(), WireError> {
    let (output, error) = (stdio.stream, stdio.stderr_stream);
    if output == CONTROL || error == Some(CONTROL) || error == Some(output) {
        return Err(bad(format!("the streams {output} and {error:?} cannot be the command's")));
    }
    if stdio.pty.is_some() && error.is_some() {
        return Err(bad("a command on a terminal has no separate standard error"));
    }
    Ok(())
}

fn find_user(asked: Option<&str>, defaults: &Defaults) -> Result<User, WireError> {
    let Some(asked) = asked else { return Ok(Databases::read_users().by_uid(defaults.uid)) };
    let user =
        Databases::read().resolve(asked).map_err(|error| refuse(ErrorCode::BadUser, error.to_string()))?;
    if defaults.uid != 0 && user.uid != defaults.uid {
        return Err(refuse(
            ErrorCode::BadUser,
            format!("only root may run commands as {}", shown(asked.as_bytes())),
        ));
    }
    Ok(user)
}

fn environment(spec: &ExecSpec, user: &User) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, WireError> {
    let defaults: [(&[u8], &[u8]); 6] = [
        (b"PATH", PATH_DEFAULT),
        (b"HOME", &user.home),
        (b"USER", &user.name),
        (b"LOGNAME", &user.name),
        (b"SHELL", &user.shell),
        (b"LANG", b"C.UTF-8"),
    ];
    let mut all: BTreeMap<_, _> =
        defaults.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    if spec.stdio.pty.is_some() {
        all.insert(b"TERM".to_vec(), b"xterm-256color".to_vec());
    }
    for (name, value) in &spec.env {
        if name.0.is_empty() || name.0.contains(&b'=') {
            return Err(bad(format!("{name:?} cannot name a variable")));
        }
        all.insert(name.0.clone(), value.0.clone());
    }
    Ok(all)
}

fn flatten(environment: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<CString>, WireError> {
    let join = |(name, value): (&Vec<u8>, &Vec<u8>)| [name.as_slice(), b"=", value].concat();
    environment.iter().map(|entry| c_string("a variable", &join(entry))).collect()
}

/// Where execvp would look: the path itself when it has a slash, else each folder of `PATH`, an empty one being the
/// working directory.
fn candidates(program: &[u8], path: &[u8]) -> Result<Vec<CString>, WireError> {
    if program.contains(&b'/') {
        return Ok(vec![c_string("the program", program)?]);
    }
    if program.len() > NAME_BYTES_MAX {
        return Err(refuse(
            ErrorCode::NotFound,
            format!("{}...: the program's name is too long", shown(program)),
        ));
    }
    let join =
        |folder: &[u8]| if folder.is_empty() { program.to_vec() } else { [folder, b"/", program].concat() };
    let folders = path.split(|byte| *byte == b':').filter(|folder| folder.len() < PATH_BYTES_MAX);
    folders.take(PATH_FOLDERS_MAX).map(|folder| c_string("the program", &join(folder))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_proto::ByteString;
    use pyro_proto::exec::PtySize;
    use pyro_proto::exec::Stdio;

    fn spec(argv: &[&str]) -> ExecSpec {
        let argv = argv.iter().map(|word| ByteString::from(*word)).collect();
        ExecSpec { argv, stdio: Stdio { stream: 1, ..Stdio::default() }, ..ExecSpec::default() }
    }

    fn defaults() -> Defaults {
        Defaults { cwd: vec![c"/workspace".into(), c"/".into()], uid: 0 }
    }

    fn code(spec: &ExecSpec) -> ErrorCode {
        Command::new(spec, &defaults()).unwrap_err().code
    }

    #[test]
    fn the_program_is_looked_up_in_the_commands_own_path() {
        let own = ExecSpec { env: vec![("PATH".into(), "/a::/b".into())], ..spec(&["git"]) };
        let command = Command::new(&own, &defaults()).unwrap();
        assert_eq!(command.programs, [c"/a/git", c"git", c"/b/git"].map(CString::from));
        let absolute = Command::new(&spec(&["./x"]), &defaults()).unwrap();
        assert_eq!(absolute.programs, [CString::from(c"./x")]);
    }

    #[test]
    fn variables_replace_defaults() {
        let own =
            ExecSpec { env: vec![("LANG".into(), "de".into()), ("A".into(), "=".into())], ..spec(&["x"]) };
        let envp = Command::new(&own, &defaults()).unwrap().envp;
        assert!(envp.contains(&c"LANG=de".into()) && envp.contains(&c"A==".into()));
        assert!(!envp.contains(&c"LANG=C.UTF-8".into()));
        assert!(envp.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=/")));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(code(&spec(&[])), ErrorCode::BadRequest);
        assert_eq!(code(&spec(&[""])), ErrorCode::BadRequest);
        assert_eq!(code(&spec(&["a\0b"])), ErrorCode::BadRequest);
        assert_eq!(code(&spec(&vec!["x"; ARGS_MAX + 1])), ErrorCode::BadRequest);
        assert_eq!(
            code(&ExecSpec { env: vec![("A=B".into(), "".into())], ..spec(&["x"]) }),
            ErrorCode::BadRequest
        );
        assert_eq!(code(&ExecSpec { cwd: Some("".into()), ..spec(&["x"]) }), ErrorCode::BadCwd);
        assert_eq!(code(&ExecSpec { user: Some("no such".into()), ..spec(&["x"]) }), ErrorCode::BadUser);
    }

    #[test]
    fn streams_must_be_distinct_and_not_the_control_stream() {
        let with = |stdio| ExecSpec { stdio, ..spec(&["x"]) };
        assert_eq!(code(&with(Stdio::default())), ErrorCode::BadRequest);
        let twice = Stdio { stream: 4, stderr_stream: Some(4), ..Stdio::default() };
        assert_eq!(code(&with(twice)), ErrorCode::BadRequest);
        let terminal = Some(PtySize { cols: 80, rows: 24 });
        let both = Stdio { stream: 4, stderr_stream: Some(5), pty: terminal, ..Stdio::default() };
        assert_eq!(code(&with(both)), ErrorCode::BadRequest);
    }

    #[test]
    fn an_ordinary_agent_runs_commands_as_itself_only() {
        let defaults = Defaults { uid: 4_000_000, ..defaults() };
        let root = ExecSpec { user: Some("0".into()), ..spec(&["x"]) };
        assert_eq!(Command::new(&root, &defaults).unwrap_err().code, ErrorCode::BadUser);
        let itself = ExecSpec { user: Some("4000000".into()), ..spec(&["x"]) };
        assert!(Command::new(&itself, &defaults).unwrap().switch_to.is_none());
    }
}
