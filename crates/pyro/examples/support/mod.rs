//! Where the examples keep things: the folders and the program of the `pyro` that is installed, unless the variables that it
//! reads itself say otherwise. A program of your own decides for itself; the library reads no variable.

use pyro::Config;
use std::env;
use std::path::PathBuf;

/// The configuration of the `pyro` program. What runs workspaces is `PYRO_PROGRAM`, or `pyro` as `PATH` has it.
pub(crate) fn config() -> Config {
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let folder = |name, usual: &str| env::var_os(name).map_or_else(|| home.join(usual), PathBuf::from);
    let cache = folder("PYRO_CACHE_DIR", ".cache/pyro");
    Config::new(cache, folder("PYRO_STATE_DIR", ".local/state/pyro"), program())
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = || env::split_paths(&path).map(|folder| folder.join("pyro")).find(|file| file.is_file());
    env::var_os("PYRO_PROGRAM").map(PathBuf::from).or_else(found).unwrap_or_default()
}
