//! Turns the environment into the library's configuration. The only file that reads environment variables.

use crate::env_vars;
use crate::exit;
use crate::failure::Failure;
use pyro::Config;
use pyro::engine::EngineChoice;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Passed on to the programs that fetch packages.
const PROXIES: [&str; 4] =
    [env_vars::HTTP_PROXY, env_vars::HTTPS_PROXY, env_vars::FTP_PROXY, env_vars::NO_PROXY];

/// How long a guest may take to come up. Generous: many guests may be starting at once under emulation.
const BOOT_SECONDS: u64 = 120;
/// Disk that templates may take together, in MiB.
const TEMPLATE_CACHE_MIB: u64 = 8192;

/// Workspaces there may be at once.
const WORKSPACES: u64 = 1000;
/// Of each output of a command of a workspace so much is kept, in MiB.
const OUTPUT_MIB: u64 = 64;

/// The configuration for this process; `failed` is the exit code of the command that asks.
pub(crate) fn config(engine: &str, failed: i32) -> Result<Config, Failure> {
    let engine = engine.parse::<EngineChoice>().map_err(|_| {
        Failure::plain(
            "usage",
            format!("'{engine}' is no engine"),
            "use auto, qemu or firecracker",
            exit::USAGE,
        )
    })?;
    let cache_dir = first_path(&[env_vars::PYRO_CACHE_DIR, env_vars::PYRO_ENVIRONMENT_CACHE_DIR]);
    Ok(Config {
        cache_dir: cache_dir.map_or_else(|| base(env_vars::XDG_CACHE_HOME, ".cache", failed), Ok)?,
        state_dir: first_path(&[env_vars::PYRO_STATE_DIR])
            .map_or_else(|| base(env_vars::XDG_STATE_HOME, ".local/state", failed), Ok)?,
        search_path: search_path(),
        fetch_env: PROXIES.iter().filter_map(|name| Some((name.into(), env::var_os(name)?))).collect(),
        engine,
        debian_mirror: text(env_vars::PYRO_DEBIAN_MIRROR),
        debian_security_mirror: text(env_vars::PYRO_DEBIAN_SECURITY_MIRROR),
        user_catalogue: user_catalogue(),
        template_bytes_max: whole_number(env_vars::PYRO_TEMPLATE_CACHE_MIB, TEMPLATE_CACHE_MIB)?
            * 1024
            * 1024,
        boot_deadline: Duration::from_secs(whole_number(env_vars::PYRO_BOOT_TIMEOUT_SECONDS, BOOT_SECONDS)?),
        workspaces_max: whole_number(env_vars::PYRO_MAX_WORKSPACES, WORKSPACES)?,
        output_bytes_max: whole_number(env_vars::PYRO_MAX_OUTPUT_MIB, OUTPUT_MIB)? * 1024 * 1024,
        secret_keyring: env::var_os(env_vars::PYRO_NO_KEYRING).is_none_or(|value| value.is_empty()),
        secrets_key: base(env_vars::XDG_CONFIG_HOME, ".config", failed)
            .ok()
            .map(|base| base.join("secrets.key")),
        home: first_path(&[env_vars::HOME]),
        // This program, even if another has been put in its place meanwhile.
        supervisor: PathBuf::from("/proc/self/exe"),
        caller: "cli".to_owned(),
    })
}

/// Why the environment gives no configuration: what the command line would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The configuration for another surface in this process, named `caller` in audits: what the command line takes from the
/// environment, except for the engine if one is given, and with `supervisor` as the program that runs workspaces.
///
/// # Errors
/// [`SettingsError`].
pub fn config_for(caller: &str, engine: Option<&str>, supervisor: PathBuf) -> Result<Config, SettingsError> {
    let named = engine.map(str::to_owned).or_else(|| text(env_vars::PYRO_ENGINE));
    let config = config(named.as_deref().unwrap_or("auto"), exit::FAILED).map_err(Failure::into_settings)?;
    Ok(Config { caller: caller.to_owned(), supervisor, ..config })
}

/// The token that MCP clients over HTTP must know, if one was chosen.
pub(crate) fn mcp_token() -> Option<String> {
    text(env_vars::PYRO_MCP_TOKEN)
}

/// The user's home folder, and that of programs' configurations.
pub(crate) fn config_homes() -> Result<(PathBuf, PathBuf), Failure> {
    let home = first_path(&[env_vars::HOME]).filter(|home| home.is_absolute()).ok_or_else(|| {
        Failure::plain(
            "home_missing",
            "HOME names no folder",
            "set HOME to an absolute path, or name the file with --config",
            exit::FAILED,
        )
    })?;
    let configs = first_path(&[env_vars::XDG_CONFIG_HOME]).filter(|configs| configs.is_absolute());
    Ok((home.clone(), configs.unwrap_or_else(|| home.join(".config"))))
}

/// The shell that asks for a command line to be completed.
pub(crate) fn completing() -> Option<String> {
    text(env_vars::PYRO_COMPLETE)
}

/// The folders that are not the usual ones, for a command that is run elsewhere.
pub(crate) fn folders_given() -> Vec<(OsString, OsString)> {
    let given = |name: &&str| {
        let folder = std::path::absolute(env::var_os(name).filter(|value| !value.is_empty())?).ok()?;
        Some(((*name).into(), folder.into()))
    };
    [env_vars::PYRO_STATE_DIR, env_vars::PYRO_CACHE_DIR].iter().filter_map(given).collect()
}

/// How this program was called, so that it is found from any folder.
pub(crate) fn program() -> String {
    let called = env::args_os().next().map_or_else(|| PathBuf::from("pyro"), PathBuf::from);
    // What has no slash is looked for in PATH.
    let whole = if called.components().count() > 1 { std::path::absolute(&called).ok() } else { None };
    whole.unwrap_or(called).to_string_lossy().into_owned()
}

/// Whether colour and drawn progress are unwelcome.
pub(crate) fn plain_output() -> bool {
    env::var_os(env_vars::NO_COLOR).is_some_and(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Debian keeps mkfs.ext4 and its like where an ordinary user's `PATH` does not lead.
fn search_path() -> String {
    let path = env::var_os(env_vars::PATH).unwrap_or_default();
    format!("{}:/usr/sbin:/sbin", path.to_string_lossy())
}

/// A variable that holds a whole number above 0.
fn whole_number(name: &str, default: u64) -> Result<u64, Failure> {
    let Some(text) = env::var_os(name) else { return Ok(default) };
    let number = text.to_str().and_then(|text| text.parse::<u32>().ok()).filter(|number| *number > 0);
    number.map(u64::from).ok_or_else(|| {
        let message = format!("{name} is '{}', which is no whole number above 0", text.to_string_lossy());
        Failure::plain(
            "usage",
            message,
            format!("set {name} to a whole number above 0, or unset it"),
            exit::USAGE,
        )
    })
}

fn user_catalogue() -> Option<PathBuf> {
    first_path(&[env_vars::PYRO_CATALOG]).or_else(|| {
        let default =
            base(env_vars::XDG_CONFIG_HOME, ".config", exit::FAILED).ok()?.join("environments.toml");
        default.exists().then_some(default)
    })
}

fn first_path(names: &[&str]) -> Option<PathBuf> {
    names.iter().filter_map(env::var_os).find(|value| !value.is_empty()).map(PathBuf::from)
}

/// `$XDG_…/pyro`, or its default below the home folder. Relative values are ignored, as the XDG specification wants.
fn base(variable: &str, default: &str, failed: i32) -> Result<PathBuf, Failure> {
    if let Some(base) = first_path(&[variable]).filter(|base| base.is_absolute()) {
        return Ok(base.join("pyro"));
    }
    match first_path(&[env_vars::HOME]).filter(|home| home.is_absolute()) {
        Some(home) => Ok(home.join(default).join("pyro")),
        None => Err(Failure::plain(
            "home_missing",
            format!("neither {variable} nor HOME names a folder"),
            format!("set HOME, or {variable}, to an absolute path"),
            failed,
        )),
    }
}
