//! One run of a server: the label that its workspaces have, and what becomes of them when it ends. This file must not serve
//! anybody.

use crate::operations::OperationError;
use crate::operations::Rules;
use pyro::Config;
use pyro::code;
use pyro::identity::GuestId;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::Workspaces;
use std::str::FromStr;

/// The label that tells which run of a server made a workspace.
const LABEL: &str = "pyro/session";

/// One run of a server.
#[derive(Clone, Debug)]
pub struct Session {
    labels: Vec<(LabelKey, LabelValue)>,
}

impl Session {
    /// A new one.
    ///
    /// # Errors
    /// The host has no random numbers.
    pub fn begin() -> Result<Self, OperationError> {
        let failed = |text: String| OperationError::new(code::HOST_RANDOM, text);
        let id = GuestId::random().map_err(|error| failed(format!("naming the session: {error}")))?;
        let wrong = |error: pyro::workspace::NameError| failed(error.to_string());
        let label = (LabelKey::from_str(LABEL).map_err(wrong)?, id.as_str().parse().map_err(wrong)?);
        Ok(Self { labels: vec![label] })
    }

    /// Rules under which its workspaces have its label.
    #[must_use]
    pub fn rules(&self, rules: Rules) -> Rules {
        Rules { labels: self.labels.clone(), ..rules }
    }

    /// Its label, as `KEY=VALUE`.
    pub fn label(&self) -> String {
        self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// Deletes every workspace that it made; how many. One that cannot be deleted does not spare the others.
    ///
    /// # Errors
    /// Of the first that could not be deleted, or the state folder cannot be read.
    pub async fn delete_workspaces(&self, config: &Config) -> Result<usize, OperationError> {
        let all = Workspaces::open(config)?;
        let (mut deleted, mut failed) = (0, None);
        for listed in all.list()?.iter().filter(|listed| listed.has_labels(&self.labels)) {
            match all.open_listed(listed).delete().await {
                Ok(()) => deleted += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(deleted), |error| Err(error.into()))
    }
}
