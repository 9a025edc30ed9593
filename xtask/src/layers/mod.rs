//! The build-time check of what ARCHITECTURE.md promises: which room may know which, who may print, who may read the
//! environment, and that every file says what it is for. It must not change a file.

mod arrows;
mod exceptions;
mod rules;
mod sources;
mod tokens;

use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;

/// One broken rule, at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the top of the repository.
    path: PathBuf,
    /// Counted from 1.
    line: usize,
    message: String,
}

/// Why the check could not be made, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayersError {
    #[error("asking cargo for the workspace's packages")]
    Arrows(#[from] arrows::ArrowsError),
    #[error("reading the sources")]
    Sources(#[from] sources::SourcesError),
    #[error("{report}{count} broken rules")]
    Broken { count: usize, report: String },
}

/// Checks the repository at `root`.
pub(crate) fn run(root: &Path) -> Result<String, LayersError> {
    let mut findings = arrows::check(root)?;
    let files = sources::read(root)?;
    findings.extend(rules::check(&files));
    if findings.is_empty() {
        return Ok(format!("layers: {} files hold every rule\n", files.len()));
    }
    findings.sort();
    Err(LayersError::Broken { count: findings.len(), report: render(&findings) })
}

fn render(findings: &[Finding]) -> String {
    let mut report = String::new();
    for Finding { path, line, message } in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(report, "{}:{line}: {message}", path.display());
    }
    report
}
