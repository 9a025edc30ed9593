//! The files excused from a rule, each with its reason. An exception that is no longer used is itself a finding.

use super::Finding;
use super::sources::SourceFile;
use std::path::Path;

/// Files outside of the command that read the environment.
const ENVIRONMENT: &[(&str, &str)] = &[];

/// Whether this file is excused from the rule about the environment.
pub(super) fn may_read_environment(path: &Path) -> bool {
    ENVIRONMENT.iter().any(|(excused, _reason)| path == Path::new(excused))
}

/// Exceptions that name no file, or one that does not need it.
pub(super) fn stale(files: &[SourceFile], needed: impl Fn(&SourceFile) -> bool) -> Vec<Finding> {
    ENVIRONMENT
        .iter()
        .filter(|(excused, _reason)| {
            !files.iter().any(|file| file.path == Path::new(excused) && needed(file))
        })
        .map(|(excused, _reason)| Finding {
            path: excused.into(),
            line: 1,
            message: "this file is excused from the rule about the environment and does not need it"
                .to_owned(),
        })
        .collect()
}
