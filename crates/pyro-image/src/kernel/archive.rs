//! apt with a state of its own under the store: its lists, its packages, the mirror's sources, the host's proxy settings and
//! nothing else of the host. This file must not know what is fetched.

use crate::child::Ended;
use crate::child::Task;
use crate::config::Config;
use crate::error::At;
use crate::error::ImageError;
use crate::mirror::Mirror;
use crate::mirror::Reader;
use crate::namespace;
use crate::program;
use crate::program::Program;
use crate::progress::Phase;
use crate::pull::Work;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Debian's name for the only processor supported so far.
pub(crate) const ARCHITECTURE: &str = "amd64";

/// A private apt.
pub(crate) struct AptRoot<'a> {
    config: &'a Config,
    dir: PathBuf,
}

impl<'a> AptRoot<'a> {
    /// Prepares the folders and the configuration for `suite` of `mirror`.
    pub(crate) fn prepare(work: &Work<'a>, mirror: &Mirror, suite: &str) -> Result<Self, ImageError> {
        let root = Self { config: work.config, dir: work.layout.downloads() };
        for dir in [root.lists().join("partial"), root.archives().join("partial"), root.kernels()] {
            work.layout.make(&dir)?;
        }
        let put = |name: &str, text: &str| {
            let path = root.dir.join(name);
            std::fs::write(&path, text).at("writing", &path)
        };
        put("status", "")?;
        put("sources.list", &mirror.lines(suite, Reader::Host))?;
        put("host.conf", &host_settings(work)?)?;
        let only_this = "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n";
        put("apt.conf", &format!("{only_this}#include \"{}\";\n", root.host_settings().display()))?;
        Ok(root)
    }

    /// Package lists, kept between pulls.
    pub(crate) fn lists(&self) -> PathBuf {
        self.dir.join("lists")
    }

    /// Packages, kept between pulls so that one that was cut short goes on where it was.
    pub(crate) fn archives(&self) -> PathBuf {
        self.dir.join("archives")
    }

    pub(crate) fn kernels(&self) -> PathBuf {
        self.dir.join("kernels")
    }

    /// The sources for the build on this host.
    pub(crate) fn sources(&self) -> PathBuf {
        self.dir.join("sources.list")
    }

    /// The host's proxies, as a file of apt's configuration.
    pub(crate) fn host_settings(&self) -> PathBuf {
        self.dir.join("host.conf")
    }

    /// Fetches the package lists that have changed.
    pub(crate) fn update(&self, work: &Work<'_>) -> Result<(), ImageError> {
        work.progress.phase(Phase::Lists);
        let mut command = self.command(program::APT_GET)?;
        command.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        self.run(work, "fetching package lists", command).map(drop)
    }

    /// One of apt's programs, told to use this state.
    pub(crate) fn command(&self, program: Program) -> Result<Command, ImageError> {
        let mut command = namespace::command(self.config, program)?;
        command.env("APT_CONFIG", self.dir.join("apt.conf"));
        for (name, path) in [
            ("Dir::State", self.dir.clone()),
            ("Dir::State::lists", self.lists()),
            ("Dir::State::status", self.dir.join("status")),
            ("Dir::Cache", self.dir.clone()),
            ("Dir::Cache::archives", self.archives()),
            ("Dir::Etc::sourcelist", self.sources()),
            ("Dir::Etc::sourceparts", PathBuf::from("/dev/null")),
            ("Dir::Etc::netrc", self.config.apt_dir.join("auth.conf")),
            ("Dir::Etc::netrcparts", self.config.apt_dir.join("auth.conf.d")),
        ] {
            command.arg("-o").arg(option(name, &path));
        }
        for plain in ["APT::Sandbox::User=root", "Acquire::Languages=none", "quiet=2"] {
            command.args(["-o", plain]);
        }
        command.args([
            "-o",
            &format!("APT::Architecture={ARCHITECTURE}"),
            "-o",
            &format!("APT::Architectures={ARCHITECTURE}"),
        ]);
        Ok(command)
    }

    /// Runs one of them to success.
    pub(crate) fn run(
        &self,
        work: &Work<'_>,
        operation: &'static str,
        command: Command,
    ) -> Result<Vec<u8>, ImageError> {
        let ended = Task::new(operation, command, work.cancel).lend(&work.lent).end(&mut |_| {})?;
        if ended.status.success() { Ok(ended.stdout) } else { Err(failure(&self.dir, operation, &ended)) }
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(format!("{name}="));
    option.push(path);
    option
}

/// The host's settings for fetching: proxies, retries, certificates. Nothing else of its configuration concerns the build, and
/// hooks among it could even change the host.
fn host_settings(work: &Work<'_>) -> Result<String, ImageError> {
    let mut command = program::APT_CONFIG.command(work.config)?;
    command.arg("dump");
    let dump = Task::new("reading apt's configuration", command, work.cancel).run(&mut |_| {})?;
    Ok(fetch_settings(&String::from_utf8_lossy(&dump)))
}

fn fetch_settings(dump: &str) -> String {
    let mut settings = String::new();
    for line in dump.lines() {
        let lower = line.to_ascii_lowercase();
        let concerns_fetching =
            ["acquire::http::", "acquire::https::", "acquire::retries", "acquire::forceipv"]
                .iter()
                .any(|p| lower.starts_with(p));
        let has_value = !line.ends_with(" \"\";");
        if concerns_fetching && has_value && line.ends_with("\";") {
            let _ = writeln!(settings, "{line}");
        }
    }
    settings
}

/// What apt's failure is, from what it said.
pub(crate) fn failure(dir: &Path, operation: &'static str, ended: &Ended) -> ImageError {
    let line = |signs: &[&str]| {
        let found = ended.stderr.lines().find(|line| signs.iter().any(|sign| line.contains(sign)));
        found.map(|line| line.trim().trim_start_matches("E: ").trim_start_matches("W: ").to_owned())
    };
    if line(&["No space left on device", "not enough free space", "enough space"]).is_some() {
        return ImageError::DiskFull { path: dir.to_owned(), needed_mib: None, free_mib: None };
    }
    if let Some(reason) =
        line(&["NO_PUBKEY", "is not signed", "EXPKEYSIG", "BADSIG", "signature", "signatures"])
    {
        return ImageError::MirrorUntrusted { reason };
    }
    if let Some(text) = line(&["Unable to locate package", "has no installation candidate"]) {
        let package = text.split_whitespace().last().unwrap_or_default().trim_matches('\'').to_owned();
        return ImageError::PackageMissing { package };
    }
    // Without anything fetched there is nothing that could be signed: apt then complains of both.
    let unreachable = [
        "Failed to fetch",
        "Could not resolve",
        "Unable to connect",
        "does not have a Release file",
        "Could not connect",
    ];
    if let Some(reason) = line(&unreachable) {
        return ImageError::MirrorUnreachable { reason };
    }
    if let Some(reason) = line(&["is not signed"]) {
        let nothing_there = ended.stderr.contains("404") || ended.stderr.contains("403");
        return if nothing_there {
            ImageError::MirrorUnreachable { reason }
        } else {
            ImageError::MirrorUntrusted { reason }
        };
    }
    namespace::failure(operation, ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn failed(stderr: &str) -> ImageError {
        let status = std::process::ExitStatus::from_raw(100 << 8);
        let ended = Ended { status, stdout: Vec::new(), stderr: stderr.to_owned() };
        failure(Path::new("/cache"), "fetching", &ended)
    }

    #[test]
    fn apt_s_words_become_codes() {
        for (stderr, code) in [
            (
                "E: Failed to fetch http://m/x  Could not resolve 'm'\nE: Some index files failed",
                "mirror_unreachable",
            ),
            (
                "W: GPG error: http://m sid InRelease: The following signatures couldn't be verified: NO_PUBKEY 1",
                "mirror_untrusted",
            ),
            (
                "Err:1 http://m sid Release\n  404  Not Found\nE: The repository 'm' does not have a Release file.",
                "mirror_unreachable",
            ),
            ("E: The repository 'http://m sid InRelease' is not signed.", "mirror_untrusted"),
            ("E: Unable to locate package nonesuch", "package_missing"),
            ("E: Write error - write (28: No space left on device)", "disk_full"),
            ("unshare: unshare failed: Operation not permitted", "namespace_unavailable"),
            ("E: something else", "image_build_failed"),
        ] {
            assert_eq!(failed(stderr).code(), code, "{stderr}");
        }
        assert!(failed("E: Unable to locate package nonesuch").to_string().contains("nonesuch"));
    }

    #[test]
    fn only_settings_about_fetching_leave_the_host() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::https::Verify-Peer \"\";\n\
                    APT::Update::Post-Invoke:: \"rm -rf /var/cache\";\nAcquire::Retries \"3\";\nDir \"/\";\n";
        assert_eq!(
            fetch_settings(dump),
            "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Retries \"3\";\n"
        );
    }
}
