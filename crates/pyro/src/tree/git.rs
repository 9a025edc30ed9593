//! A git repository of the host as a folder to walk: copied with all its branches and tags, one commit checked out, nothing in
//! it that names the host. Git itself does it, without hooks, prompts or network. This file must not walk.
//!
//! The repository may be hostile, and a repository's configuration names programs. So one program runs in it, `git
//! upload-pack`, which git makes for that purpose and keeps from running what the repository names; everything else runs in
//! the copy, whose configuration is ours alone.

mod advertised;
mod child;
mod error;
mod source;

use crate::host_path::HostPath;
use advertised::Advertised;
use advertised::is_id;
use child::Ended;
pub use error::GitError;
pub use source::GitSource;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long git may take for what does not depend on how much there is.
const LOOK_SECONDS_MAX: u64 = 60;
/// How long it may copy, and how long it may check out.
const COPY_SECONDS_MAX: u64 = 1800;

/// Settings that win over those of every file.
const SETTINGS: [&str; 14] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sshCommand=false",
    "core.alternateRefsCommand=:",
    "core.askPass=false",
    "credential.helper=",
    "gpg.program=false",
    "protocol.version=2",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "core.logAllRefUpdates=false",
];

/// Where git is and whose configuration it reads.
#[derive(Clone, Debug)]
pub struct GitProgram<'a> {
    /// Where programs are looked for, as in `PATH`.
    pub search_path: &'a str,
    /// The user's home folder: git reads there whose repositories are trusted.
    pub home: Option<&'a Path>,
}

/// A repository that is ready to be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSeed {
    /// The folder, with `.git` in it.
    pub folder: PathBuf,
    /// The commit that is checked out.
    pub commit: String,
    /// The branch, unless the commit is checked out without one.
    pub branch: Option<String>,
}

impl GitProgram<'_> {
    /// Copies a repository into `folder`, which must not exist, and checks out what `source` says.
    ///
    /// # Errors
    /// [`GitError`]; `folder` may then be there in part.
    pub fn seed(&self, source: &GitSource, folder: &Path) -> Result<GitSeed, GitError> {
        self.seed_within(source, folder, LOOK_SECONDS_MAX)
    }

    fn seed_within(&self, source: &GitSource, folder: &Path, look_seconds: u64) -> Result<GitSeed, GitError> {
        let no_folder = || GitError::NoFolder { path: source.path.shown().to_owned() };
        let named = source.path.absolute().map_err(|_| no_folder())?;
        let repository = named.path_for_children();
        if !repository.exists() {
            return Err(no_folder());
        }
        let parent = folder.parent().unwrap_or(Path::new("/"));
        let work = Work {
            program: self,
            git: self.find()?,
            named: &named,
            repository: &repository,
            folder,
            parent,
            look_seconds,
        };
        let there = work.look()?;
        work.copy(&there)?;
        let commit = work.commit(source.reference.as_deref(), &there)?;
        let branch = match &source.reference {
            Some(reference) => Some(reference.as_str()).filter(|name| there.has_branch(name)),
            None => there.head_branch(),
        };
        work.check_out(branch, &commit)?;
        work.clean()?;
        let branch = branch.map(str::to_owned);
        Ok(GitSeed { folder: folder.to_owned(), commit, branch })
    }

    fn find(&self) -> Result<PathBuf, GitError> {
        let mut candidates = std::env::split_paths(self.search_path).map(|folder| folder.join("git"));
        candidates.find(|path| path.is_file()).ok_or(GitError::Missing)
    }
}

/// One seeding.
struct Work<'a> {
    program: &'a GitProgram<'a>,
    git: PathBuf,
    named: &'a HostPath,
    repository: &'a Path,
    /// The copy.
    folder: &'a Path,
    parent: &'a Path,
    look_seconds: u64,
}

impl Work<'_> {
    /// Git in a folder of ours, with our settings, and without those of the user and the host.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.git);
        command.env_clear().env("PATH", self.program.search_path).env("LC_ALL", "C.UTF-8");
        command.env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null");
        let switches = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_ALLOW_PROTOCOL", "file"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_SSH_COMMAND", "false"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ];
        command.envs(switches).env("GIT_CEILING_DIRECTORIES", self.parent).arg("-C").arg(folder);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }

    /// Git that talks to `git upload-pack` in the repository. Git takes no settings along into another repository, so they
    /// are part of the command. The user's own configuration says which folders of other users are trusted.
    fn transport(&self, folder: &Path, subcommand: &[&str]) -> Command {
        let mut command = self.command(folder);
        command.env("HOME", self.program.home.unwrap_or(Path::new("/nonexistent")));
        command.env_remove("GIT_CONFIG_GLOBAL").env_remove("GIT_CONFIG_NOSYSTEM");
        let settings: String = SETTINGS.iter().map(|setting| format!("-c {setting} ")).collect();
        command.args(subcommand).arg(format!("--upload-pack=git {settings}upload-pack"));
        command.arg("--").arg(self.repository);
        command
    }

    fn run(&self, step: &'static str, command: Command, seconds: u64) -> Result<Ended, GitError> {
        let ended = child::run(command, Duration::from_secs(seconds)).map_err(GitError::Start)?;
        ended.ok_or_else(|| GitError::TooSlow { step, path: self.named.shown().to_owned(), seconds })
    }

    fn step(&self, step: &'static str, command: Command, seconds: u64) -> Result<(), GitError> {
        let ended = self.run(step, command, seconds)?;
        if ended.succeeded { Ok(()) } else { Err(self.failed(step, ended)) }
    }

    fn failed(&self, step: &'static str, ended: Ended) -> GitError {
        GitError::Step { step, path: self.named.shown().to_owned(), said: self.named.told(ended.said) }
    }

    /// Asks the repository what it has.
    fn look(&self) -> Result<Advertised, GitError> {
        let none = |said: String| GitError::NotARepository {
            path: self.named.shown().to_owned(),
            said: self.named.told(said),
        };
        if !self.repository.is_dir() {
            return Err(none("it is no folder".to_owned()));
        }
        let command = self.transport(self.parent, &["ls-remote", "--quiet", "--symref"]);
        let ended = self.run("looking at the branches", command, self.look_seconds)?;
        if ended.succeeded { Ok(Advertised::parse(&ended.out)) } else { Err(none(ended.said)) }
    }

    /// Brings all branches and tags, and what is checked out if none of them has it. Not `git clone`: that would leave a
    /// remote which names a folder of the host, and branches that only exist there. Git's own transport is used even though
    /// the source is near: unlike a copy it follows no links in a repository that may be hostile.
    fn copy(&self, there: &Advertised) -> Result<(), GitError> {
        let mut command = self.command(self.parent);
        command.args(["init", "--quiet", "--template=", "--initial-branch=pyro-seed"]);
        command.arg(format!("--object-format={}", there.object_format())).arg("--").arg(self.folder);
        self.step("making a copy", command, self.look_seconds)?;
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let wanted: Vec<&str> = all.into_iter().chain(there.head()).collect();
        let ended = self.fetch(&wanted)?;
        if !ended.succeeded {
            return Err(self.failed("copying the objects", ended));
        }
        match there.head() {
            Some(head) => self.detach(head),
            None => Ok(()),
        }
    }

    fn fetch(&self, wanted: &[&str]) -> Result<Ended, GitError> {
        let options = [
            "fetch",
            "--quiet",
            "--no-auto-gc",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--update-shallow",
            "--update-head-ok",
        ];
        let mut command = self.transport(self.folder, &options);
        command.args(wanted);
        self.run("copying the objects", command, COPY_SECONDS_MAX)
    }

    /// The commit that a reference stands for: a name that the repository has, or whatever git understands in the copy.
    fn commit(&self, reference: Option<&str>, there: &Advertised) -> Result<String, GitError> {
        let reference = reference.unwrap_or("HEAD");
        let unknown =
            || GitError::UnknownRef { path: self.named.shown().to_owned(), reference: reference.to_owned() };
        let what = there.id(reference).unwrap_or(reference);
        if let Some(commit) = self.resolve(what)? {
            return Ok(commit);
        }
        // An object that no branch or tag has.
        if !is_id(what) || !self.fetch(&[what])?.succeeded {
            return Err(unknown());
        }
        self.resolve(what)?.ok_or_else(unknown)
    }

    fn resolve(&self, what: &str) -> Result<Option<String>, GitError> {
        let mut command = self.command(self.folder);
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        command.arg(format!("{what}^{{commit}}"));
        let ended = self.run("finding the commit", command, self.look_seconds)?;
        Ok(ended.succeeded.then_some(ended.out))
    }

    fn detach(&self, commit: &str) -> Result<(), GitError> {
        let mut command = self.command(self.folder);
        command.args(["update-ref", "--no-deref", "HEAD"]).arg(commit);
        self.step("naming the commit", command, self.look_seconds)
    }

    /// Not `git checkout`, for which a branch may look like an option.
    fn check_out(&self, branch: Option<&str>, commit: &str) -> Result<(), GitError> {
        match branch {
            None => self.detach(commit)?,
            Some(branch) => {
                let mut command = self.command(self.folder);
                command.args(["symbolic-ref", "HEAD"]).arg(format!("refs/heads/{branch}"));
                self.step("naming the branch", command, self.look_seconds)?;
            }
        }
        let mut command = self.command(self.folder);
        command.args(["reset", "--quiet", "--hard"]);
        self.step("checking out the files", command, COPY_SECONDS_MAX)
    }

    /// Removes what names the host.
    fn clean(&self) -> Result<(), GitError> {
        for name in ["FETCH_HEAD", "ORIG_HEAD", "logs"] {
            let path = self.folder.join(".git").join(name);
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(GitError::Clean { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
