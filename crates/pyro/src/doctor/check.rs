//! One thing that was checked. This file must not check anything.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// Guests work, but not as well as they could.
    Warn,
    /// Guests do not work until this is mended.
    Fail,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A stable name.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found, as one line.
    pub detail: String,
    /// What to do about it, where there is something to do.
    pub remedy: Option<String>,
}

impl Check {
    pub(super) fn pass(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Pass, detail: detail.into(), remedy: None }
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// A failure where it matters, a warning where something already works without it.
    pub(super) fn unless(
        works_without: bool,
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        if works_without { Self::warn(name, detail, remedy) } else { Self::fail(name, detail, remedy) }
    }

    /// The check as one line, unless it passed.
    pub(super) fn issue(&self) -> Option<String> {
        let remedy = self.remedy.as_deref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
        (self.status != Status::Pass).then(|| format!("{}: {}{remedy}", self.name, self.detail))
    }
}
