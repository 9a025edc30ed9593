//! Why a repository of the host cannot be used. This file must not run git.

use crate::code;
use crate::code::Coded;
use std::io;
use std::path::PathBuf;

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is not installed")]
    Missing,
    /// Git cannot be started.
    #[error("starting git")]
    Start(#[source] io::Error),
    /// The source is on the network.
    #[error("'{0}' is no repository on this host")]
    Remote(String),
    /// There is nothing at the path.
    #[error("there is no {path}", path = .path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// It is no repository.
    #[error("{path} is no git repository: {said}", path = .path.display())]
    NotARepository {
        /// The path.
        path: PathBuf,
        /// What git says.
        said: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{path} has no commit '{reference}'", path = .path.display())]
    UnknownRef {
        /// The path.
        path: PathBuf,
        /// What was asked for.
        reference: String,
    },
    /// A step failed.
    #[error("{step} of {path} failed: {said}", path = .path.display())]
    Step {
        /// What was done.
        step: &'static str,
        /// The repository.
        path: PathBuf,
        /// What git says.
        said: String,
    },
    /// A step took too long.
    #[error("{step} of {path} took longer than {seconds} seconds", path = .path.display())]
    TooSlow {
        /// What was done.
        step: &'static str,
        /// The repository.
        path: PathBuf,
        /// How long it may take.
        seconds: u64,
    },
    /// What git leaves behind cannot be cleaned.
    #[error("cleaning {path}", path = .path.display())]
    Clean {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for GitError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing => code::PROGRAM_MISSING,
            Self::Start(_)
            | Self::NotARepository { .. }
            | Self::Step { .. }
            | Self::TooSlow { .. }
            | Self::Clean { .. } => code::GIT_FAILED,
            Self::Remote(_) => code::GIT_REMOTE,
            Self::NoFolder { .. } => code::SOURCE_MISSING,
            Self::UnknownRef { .. } => code::GIT_REF_UNKNOWN,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Missing => "install the package git",
            Self::Remote(_) => "clone it on the host first and give the folder, or clone it in the guest",
            Self::NotARepository { .. } => "use --seed-path for a folder that is no repository",
            Self::UnknownRef { .. } => "name a branch, a tag or a commit that 'git log' shows",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
