//! Which tools a server offers. This file must not know what they do.

use std::str::FromStr;

/// A set of tools by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// `vm_run` alone.
    VmRun,
    /// What most work in one workspace needs.
    WorkspaceCore,
    /// Everything.
    #[default]
    WorkspaceFull,
}

/// There is no profile of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be vm-run, workspace-core or workspace-full")]
pub struct UnknownProfile;

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "vm-run" => Ok(Self::VmRun),
            "workspace-core" => Ok(Self::WorkspaceCore),
            "workspace-full" => Ok(Self::WorkspaceFull),
            _ => Err(UnknownProfile),
        }
    }
}

const CORE: [&str; 16] = [
    "vm_run",
    "workspace_create",
    "workspace_list",
    "workspace_status",
    "workspace_update",
    "workspace_delete",
    "workspace_exec",
    "workspace_logs",
    "workspace_file_list",
    "workspace_file_read",
    "workspace_file_write",
    "workspace_patch_apply",
    "workspace_sync_push",
    "workspace_export",
    "workspace_diff",
    "workspace_reset",
];

/// Arguments that the tools of the core profile do without: fewer choices are made wrong less often.
const NOT_CORE: &[&str] = &["network_policy", "secrets", "persist_secrets", "secret_env"];

impl Profile {
    /// Whether it has this tool.
    pub(super) fn has(self, name: &str) -> bool {
        match self {
            Self::VmRun => name == "vm_run",
            Self::WorkspaceCore => CORE.contains(&name),
            Self::WorkspaceFull => true,
        }
    }

    /// Arguments that its tools do not take.
    pub(super) const fn without(self) -> &'static [&'static str] {
        match self {
            Self::VmRun | Self::WorkspaceFull => &[],
            Self::WorkspaceCore => NOT_CORE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::table;

    #[test]
    fn every_tool_of_the_core_exists() {
        let known = |name: &&&str| table().iter().any(|operation| operation.name == **name);
        assert_eq!(CORE.iter().filter(known).count(), CORE.len());
    }
}
