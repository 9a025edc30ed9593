//! The table of all operations. This file must not say what one does: its type does.

use super::act;
use super::action::Action;
use super::action::Context;
use super::action::Outcome;
use super::error::OperationError;
use super::schema;
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::LazyLock;

/// What a client may assume of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may take something away for good.
    pub destructive: bool,
    /// Doing it again changes nothing more.
    pub idempotent: bool,
}

impl Hints {
    pub(super) const READS: Self = Self { read_only: true, destructive: false, idempotent: true };
    pub(super) const ADDS: Self = Self { read_only: false, destructive: false, idempotent: false };
    pub(super) const SETS: Self = Self { read_only: false, destructive: false, idempotent: true };
    pub(super) const REPLACES: Self = Self { read_only: false, destructive: true, idempotent: true };
    pub(super) const DESTROYS: Self = Self { read_only: false, destructive: true, idempotent: false };
}

type Run = for<'a> fn(&'a Context<'a>, Value) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One operation.
pub struct Operation {
    /// Its name, which is also the tool's.
    pub name: &'static str,
    /// A few words for people.
    pub title: &'static str,
    /// What it does and when to use it, for models.
    pub description: &'static str,
    /// JSON schema of its arguments.
    pub input_schema: Value,
    /// JSON schema of what it gives back.
    pub output_schema: Value,
    /// What a client may assume of it.
    pub hints: Hints,
    pub(super) run: Run,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Operation {
    pub(super) fn of<A: Action>() -> Self {
        Self {
            name: A::NAME,
            title: A::TITLE,
            description: A::DESCRIPTION,
            input_schema: schema::input::<A>(),
            output_schema: schema::output(A::OUTPUT),
            hints: A::HINTS,
            run: |with, arguments| Box::pin(run::<A>(with, arguments)),
        }
    }
}

async fn run<A: Action>(with: &Context<'_>, arguments: Value) -> Outcome {
    let wrong = |error: serde_json::Error| OperationError::arguments(format!("{}: {error}", A::NAME));
    let action: A = serde_json::from_value(arguments).map_err(wrong)?;
    action.run(with).await
}

static TABLE: LazyLock<Vec<Operation>> = LazyLock::new(act::all);

/// Every operation, in the order in which they are listed.
pub fn table() -> &'static [Operation] {
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_there_once_and_every_schema_is_of_an_object() {
        let names: BTreeSet<&str> = table().iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), table().len());
        for operation in table() {
            let name = operation.name;
            assert_eq!(operation.input_schema["type"], "object", "{name}");
            assert_eq!(operation.input_schema["additionalProperties"], false, "{name}");
            assert_eq!(operation.output_schema["type"], "object", "{name}");
            assert!(!operation.hints.read_only || !operation.hints.destructive, "{name}");
            assert!(
                operation.description.len() <= 600,
                "{name} says too much: {}",
                operation.description.len()
            );
            for (property, schema) in operation.input_schema["properties"].as_object().into_iter().flatten() {
                let said = schema["description"].as_str().unwrap_or_default();
                assert!(!said.is_empty(), "{name}: {property} is not described");
            }
        }
    }

    /// The contract's tools, none of which may go.
    #[test]
    fn every_tool_of_the_contract_is_there() {
        let contract = "vm_run vm_list_environments vm_create vm_start vm_exec vm_stop vm_delete vm_status vm_network_info \
            vm_reap_expired workspace_create workspace_sync_push workspace_exec workspace_status workspace_stop \
            workspace_start workspace_logs workspace_export workspace_diff workspace_disk_export workspace_disk_list \
            workspace_disk_read snapshot_create snapshot_list snapshot_delete workspace_reset shell_open shell_read \
            shell_write shell_signal shell_close service_start service_list service_status service_logs service_stop \
            workspace_delete workspace_list workspace_update workspace_file_list workspace_file_read workspace_file_write \
            workspace_patch_apply";
        let names: BTreeSet<&str> = table().iter().map(|operation| operation.name).collect();
        let missing: Vec<&str> = contract.split_whitespace().filter(|name| !names.contains(name)).collect();
        assert_eq!(missing, [""; 0]);
        assert_eq!(contract.split_whitespace().count(), 43);
    }
}
