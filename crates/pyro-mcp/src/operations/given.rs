//! Arguments as types that can only be built valid. This file must not know which operation they are for.

use super::error::OperationError;
use super::rules::Rules;
use pyro::Command;
use pyro::code;
use pyro::limits::DiskMib;
use pyro::machine::Size;
use pyro::secret::SecretName;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::files::GuestPath;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;

/// A name of whatever kind.
pub(super) fn name<T: FromStr<Err: Display>>(text: &str) -> Result<T, OperationError> {
    let wrong = |error: T::Err| {
        OperationError::new(code::NAME_INVALID, error.to_string()).hint("choose another name")
    };
    text.parse().map_err(wrong)
}

/// Anything else whose text form is checked where it is made; `what` is the argument's name.
pub(super) fn parsed<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, OperationError> {
    text.parse().map_err(|error: T::Err| OperationError::arguments(format!("{what}: {error}")))
}

/// A shell string.
pub(super) fn command(text: String) -> Result<Command, OperationError> {
    Command::from_words(vec![text.into()]).map_err(|error| {
        OperationError::new(code::NO_COMMAND, error.to_string()).hint("give a shell string, such as 'ls -l'")
    })
}

/// A path of the guest.
pub(super) fn guest_path(text: &str) -> Result<GuestPath, OperationError> {
    GuestPath::new(text).map_err(|error| OperationError::from(&error as &dyn pyro::Coded))
}

/// What a guest shall have.
pub(super) fn size(rules: &Rules, vcpus: u64, mem_mib: u64, disk_mib: u64) -> Result<Size, OperationError> {
    Ok(Size { vcpus: rules.vcpus(vcpus)?, mem: rules.mem(mem_mib)?, disk: DiskMib::new(disk_mib)? })
}

/// Labels.
pub(super) fn labels(
    given: &BTreeMap<String, String>,
) -> Result<Vec<(LabelKey, LabelValue)>, OperationError> {
    given.iter().map(|(key, value)| Ok((name(key)?, name(value)?))).collect()
}

/// Variables.
pub(super) fn variables(
    given: BTreeMap<String, String>,
) -> Result<Vec<(OsString, OsString)>, OperationError> {
    let variable = |(name, value): (String, String)| {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(OperationError::arguments(format!(
                "env: '{name}' is no variable's name, or its value has a NUL"
            )));
        }
        Ok((name.into(), value.into()))
    };
    given.into_iter().map(variable).collect()
}

/// Secrets as variables.
pub(super) fn secret_env(
    given: Option<BTreeMap<String, String>>,
) -> Result<Vec<(SecretName, String)>, OperationError> {
    let one = |(secret, variable): (String, String)| {
        // A variable's name follows the same rule.
        name::<SecretName>(&variable)?;
        Ok((name(&secret)?, variable))
    };
    given.unwrap_or_default().into_iter().map(one).collect()
}

/// Globs as the library takes them.
pub(super) fn globs(given: Vec<String>) -> Vec<Vec<u8>> {
    given.into_iter().map(String::into_bytes).collect()
}

/// The contract's defaults, by the name of what they are for.
pub(super) mod default {
    macro_rules! default {
        ($($name:ident: $type:ty = $value:expr;)+) => {
            $(pub(in crate::operations) fn $name() -> $type {
                $value
            })+
        };
    }

    default! {
        vcpu_count: u64 = 1;
        mem_mib: u64 = 1024;
        disk_mib: u64 = 8192;
        timeout_seconds: u64 = 30;
        ttl_seconds: u64 = 600;
        network_policy: String = "off".to_owned();
        workspace: String = "/workspace".to_owned();
        baseline: String = "baseline".to_owned();
        max_bytes: u64 = 65536;
        max_chars: u64 = 65536;
        cols: u64 = 120;
        rows: u64 = 30;
        yes: bool = true;
        int: String = "INT".to_owned();
        term: String = "TERM".to_owned();
        ready_interval_ms: u64 = 500;
        tail_lines: u64 = 200;
        stop_seconds: u64 = 10;
        one: u16 = 1;
        no: String = "no".to_owned();
        loopback: String = "127.0.0.1".to_owned();
        list_limit: usize = 1000;
        search_limit: u32 = 200;
        search_seconds: u32 = 60;
        context_lines: usize = 3;
        refuse: String = "refuse".to_owned();
        tree: String = "tree".to_owned();
        patch_bytes: usize = 256 * 1024;
        diff_limit: usize = 1000;
        logs_last: usize = 20;
        logs_bytes: usize = 8 * 1024;
        jobs_last: usize = 100;
        workspaces_limit: usize = 200;
    }
}
