//! A home of its own for one test, and the shared cache of environments: content-addressed, so sharing it is safe.

use crate::linked;
use crate::outcome::Outcome;
use crate::processes;
use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// A home of its own for one test. Dropping it checks that no process still has anything open in it.
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    home: tempfile::TempDir,
    cache: PathBuf,
    catalogue: Option<PathBuf>,
}

impl Sandbox {
    /// A sandbox for the program at `program` (a test's `env!("CARGO_BIN_EXE_pyro")`), sharing the caller's cache.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self::with_cache(program, shared_cache())
    }

    /// A sandbox whose cache is its own, and empty.
    pub fn with_empty_cache(program: impl Into<PathBuf>) -> Self {
        let mut sandbox = Self::with_cache(program, PathBuf::new());
        sandbox.cache = sandbox.home.path().join("cache");
        sandbox
    }

    /// A sandbox whose cache is its own, with the caller's environments and kernels in it but none of its templates. What it
    /// adds, damages by putting another file in its place, or removes, is its own business.
    pub fn with_linked_cache(program: impl Into<PathBuf>) -> Self {
        let sandbox = Self::with_empty_cache(program);
        linked::cache(&shared_cache(), sandbox.cache());
        sandbox
    }

    /// A sandbox with this cache.
    pub fn with_cache(program: impl Into<PathBuf>, cache: PathBuf) -> Self {
        // On the same kind of disk as a user's home: a tmpfs would hide what sparse files and disk space do.
        let home = tempfile::Builder::new().prefix("pyro-test-").tempdir_in("/var/tmp").unwrap();
        Self { program: program.into(), home, cache, catalogue: None }
    }

    /// Adds the environments of this catalogue, in TOML, to the built-in ones.
    pub fn with_catalogue(mut self, text: &str) -> Self {
        let path = self.home().join("environments.toml");
        std::fs::write(&path, text).unwrap();
        self.catalogue = Some(path);
        self
    }

    /// Its home folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    /// Where templates are.
    pub fn templates(&self) -> PathBuf {
        self.cache.join("templates")
    }

    /// Its own catalogue's file.
    pub fn catalogue(&self) -> Option<&Path> {
        self.catalogue.as_deref()
    }

    /// The cache of environments.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The program, with these arguments, in this sandbox; nothing of the caller's environment but `PATH`.
    pub fn pyro<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.home())
            .env("PYRO_CACHE_DIR", &self.cache)
            .env("PYRO_STATE_DIR", self.state())
            .current_dir(self.home())
            .stdin(Stdio::null());
        if let Some(catalogue) = &self.catalogue {
            command.env("PYRO_CATALOG", catalogue);
        }
        for variable in ["PYRO_DEBIAN_MIRROR", "http_proxy", "https_proxy"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        Outcome::of(&mut self.pyro(args))
    }

    /// Installs an environment if it is not yet. Processes that want the same one wait for each other. An installation that is
    /// there is not verified, which would read all of it.
    pub fn with_environment(self, name: &str) -> Self {
        if self.run(["env", "inspect", name, "--json"]).succeeds().json()["installed"] != true {
            self.run(["env", "pull", "--no-template", name]).succeeds();
        }
        self
    }

    /// Fails unless nothing of this sandbox still runs and its state folder holds no file.
    pub fn assert_nothing_left(&self) {
        processes::wait_until_none_uses(self.home());
        let left = files_below(&self.state());
        assert!(left.is_empty(), "files are left: {left:?}");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test that fails leaves no guests behind.
            let _ = self.run(["workspace", "delete", "--all"]);
        } else {
            processes::wait_until_none_uses(self.home());
        }
    }
}

/// Every file below a folder; none when there is no such folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { vec![entry.path()] }
        })
        .collect()
}

/// Every file below a folder that changes meanwhile.
pub fn files_below_quietly(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { files_below_quietly(&entry.path()) } else { vec![entry.path()] }
        })
        .collect()
}

/// Where the program under test looks for others.
pub fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into())
}

fn shared_cache() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("PYRO_CACHE_DIR")
        .or_else(|| var("XDG_CACHE_HOME").map(|base| base.join("pyro")))
        .or_else(|| var("HOME").map(|home| home.join(".cache/pyro")))
        .expect("HOME is set in a test's environment")
}
