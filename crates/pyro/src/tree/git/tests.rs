//! Seeds of real repositories.

use super::super::WalkOptions;
use super::super::Walker;
use super::super::fixture;
use super::*;
use crate::code;
use crate::code::Coded as _;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=A", "-c", "user.email=a@example.org"]).args(args);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with two branches, a tag, and a change that is not committed.
fn repository(folder: &Path) -> (String, String) {
    git(folder, &["init", "-q", "-b", "main"]);
    fixture::write(folder, &["src/a", "run.sh"]);
    fs::set_permissions(folder.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "first"]);
    git(folder, &["tag", "v1"]);
    let first = git(folder, &["rev-parse", "HEAD"]);
    git(folder, &["checkout", "-q", "-b", "topic/x"]);
    fs::write(folder.join("src/b"), "b").unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "second"]);
    let second = git(folder, &["rev-parse", "HEAD"]);
    git(folder, &["checkout", "-q", "main"]);
    fs::write(folder.join("src/a"), "not committed").unwrap();
    (first, second)
}

fn seed(source: &str, to: &Path) -> Result<GitSeed, GitError> {
    let program = GitProgram { search_path: SEARCH_PATH, home: None };
    program.seed(&GitSource::parse(OsStr::new(source))?, to)
}

fn code_of(outcome: Result<GitSeed, GitError>) -> &'static str {
    outcome.unwrap_err().code()
}

#[test]
fn a_repository_is_copied_with_its_branches_and_without_the_host() {
    let from = tempfile::tempdir().unwrap();
    let (first, second) = repository(from.path());
    let to = tempfile::tempdir().unwrap();
    let at = to.path().join("copy");
    let seeded = seed(from.path().to_str().unwrap(), &at).unwrap();
    assert_eq!(seeded, GitSeed { folder: at.clone(), commit: first, branch: Some("main".to_owned()) });
    assert_eq!(fs::read_to_string(at.join("src/a")).unwrap(), "src/a");
    assert_eq!(git(&at, &["status", "--porcelain"]), "");
    assert_eq!(git(&at, &["rev-parse", "topic/x"]), second);
    assert_eq!(git(&at, &["tag"]), "v1");
    assert_eq!(git(&at, &["remote"]), "");
    git(&at, &["fsck", "--strict"]);
    let host = from.path().to_str().unwrap().as_bytes();
    let walker = Walker::new(&at, WalkOptions::default()).unwrap();
    let source = walker.source().clone();
    for entry in walker.map(Result::unwrap).filter(|entry| entry.kind == pyro_proto::tree::EntryKind::File) {
        let content = fs::read(source.shown(&entry.path)).unwrap();
        assert!(!content.windows(host.len()).any(|window| window == host), "{} names the host", entry.path);
    }
}

#[test]
fn branches_tags_and_commits_are_checked_out() {
    let from = tempfile::tempdir().unwrap();
    let (first, second) = repository(from.path());
    // A commit that no branch has.
    git(from.path(), &["checkout", "-q", "--detach"]);
    git(from.path(), &["commit", "-q", "-a", "-m", "loose"]);
    let loose = git(from.path(), &["rev-parse", "HEAD"]);
    // One that only somebody else's branch had, and one that nothing has.
    git(from.path(), &["commit", "-q", "--allow-empty", "-m", "far"]);
    let far = git(from.path(), &["rev-parse", "HEAD"]);
    git(from.path(), &["update-ref", "refs/remotes/origin/far", &far]);
    git(from.path(), &["commit", "-q", "--allow-empty", "-m", "lost"]);
    let lost = git(from.path(), &["rev-parse", "HEAD"]);
    git(from.path(), &["checkout", "-q", "--detach", &loose]);
    let path = from.path().to_str().unwrap();
    let cases = [
        (format!("{path}#topic/x"), &second, Some("topic/x")),
        (format!("git+file://{path}#v1"), &first, None),
        (format!("file://localhost{path}#{second}"), &second, None),
        (format!("{path}#{}", &second[..9]), &second, None),
        (path.to_owned(), &loose, None),
        (format!("{path}#{loose}"), &loose, None),
        (format!("{path}#{lost}"), &lost, None),
        (format!("{path}#HEAD~1"), &first, None),
        (format!("{path}#topic/x~1"), &first, None),
        (format!("{path}#origin/far"), &far, None),
    ];
    let to = tempfile::tempdir().unwrap();
    for (n, (source, commit, branch)) in cases.iter().enumerate() {
        let seeded = seed(source, &to.path().join(n.to_string())).unwrap();
        assert_eq!((&seeded.commit, seeded.branch.as_deref()), (*commit, *branch), "{source}");
        assert_eq!(&git(&seeded.folder, &["rev-parse", "HEAD"]), *commit);
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let from = tempfile::tempdir().unwrap();
    repository(from.path());
    let path = from.path().to_str().unwrap();
    let to = tempfile::tempdir().unwrap();
    for (n, reference) in ["nope", "--help", &"1".repeat(40), "main:src/a", "v1^{tree}"].iter().enumerate() {
        let at = to.path().join(n.to_string());
        assert_eq!(code_of(seed(&format!("{path}#{reference}"), &at)), code::GIT_REF_UNKNOWN, "{reference}");
    }
    let at = to.path().join("copy");
    for none in ["src", "run.sh"] {
        assert_eq!(code_of(seed(&format!("{path}/{none}"), &at)), code::GIT_FAILED);
    }
    assert_eq!(code_of(seed("/nonexistent/repository", &at)), code::SOURCE_MISSING);
    let empty = to.path().join("empty");
    fs::create_dir(&empty).unwrap();
    git(&empty, &["init", "-q"]);
    assert_eq!(code_of(seed(empty.to_str().unwrap(), &to.path().join("of empty"))), code::GIT_REF_UNKNOWN);
    for remote in [
        "https://example.org/x.git",
        "ssh://a@b/c",
        "git@example.org:x.git",
        "git+file://host/x",
        "ext::sh -c x",
    ] {
        let outcome = seed(remote, &at);
        assert!(matches!(outcome, Err(GitError::Remote(_))), "{remote}");
        assert!(!outcome.unwrap_err().hints().is_empty());
    }
    let none = GitProgram { search_path: "/nonexistent", home: None };
    let source = GitSource { path: from.path().into(), reference: None };
    assert!(matches!(none.seed(&source, &at), Err(GitError::Missing)));
    assert!(!at.exists());
}

/// A repository whose every setting that names a program names one that writes into a file.
struct Trap {
    folder: tempfile::TempDir,
}

impl Trap {
    const PROGRAM_KEYS: [&str; 24] = [
        "core.fsmonitor",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.gitProxy",
        "core.askPass",
        "core.pager",
        "core.editor",
        "sequence.editor",
        "uploadpack.packObjectsHook",
        "credential.helper",
        "gpg.program",
        "gpg.ssh.program",
        "gpg.ssh.defaultKeyCommand",
        "diff.external",
        "diff.trap.command",
        "diff.trap.textconv",
        "merge.trap.driver",
        "filter.trap.clean",
        "filter.trap.smudge",
        "filter.trap.process",
        "remote.origin.uploadpack",
        "alias.rev-parse",
        "alias.pack-objects",
        "pager.ls-remote",
    ];
    const SETTINGS: [(&str, &str); 10] = [
        ("protocol.allow", "always"),
        ("protocol.ext.allow", "always"),
        ("uploadpack.allowFilter", "true"),
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialCloneFilter", "blob:none"),
        ("commit.gpgSign", "true"),
        ("log.showSignature", "true"),
        ("core.untrackedCache", "true"),
    ];

    fn new() -> Self {
        let trap = Self { folder: tempfile::tempdir().unwrap() };
        repository(trap.path());
        fs::write(trap.path().join(".gitattributes"), "* filter=trap diff=trap merge=trap\n").unwrap();
        git(trap.path(), &["add", "."]);
        git(trap.path(), &["commit", "-q", "-m", "attributes"]);
        // What the settings for alternates are about.
        let other = trap.path().join("other");
        fs::create_dir(&other).unwrap();
        repository(&other);
        let alternates = trap.path().join(".git/objects/info/alternates");
        fs::write(alternates, format!("{}\n", other.join(".git/objects").display())).unwrap();
        let program = trap.program(&trap.path().join("program"));
        for key in Self::PROGRAM_KEYS {
            git(trap.path(), &["config", key, &program]);
        }
        for (key, value) in Self::SETTINGS {
            git(trap.path(), &["config", key, value]);
        }
        git(trap.path(), &["config", "remote.origin.url", &format!("ext::{program}")]);
        let hooks = trap.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"] {
            trap.program(&hooks.join(hook));
            trap.program(&trap.path().join(".git/hooks").join(hook));
        }
        git(trap.path(), &["config", "core.hooksPath", hooks.to_str().unwrap()]);
        trap.spring();
        trap
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn canary(&self) -> PathBuf {
        self.path().join("canary")
    }

    fn program(&self, at: &Path) -> String {
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, format!("#!/bin/sh\necho $0 \"$@\" >> {}\n", self.canary().display())).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        at.to_str().unwrap().to_owned()
    }

    /// What the programs wrote since they were last looked at.
    fn spring(&self) -> String {
        let ran = fs::read_to_string(self.canary()).unwrap_or_default();
        let _ = fs::remove_file(self.canary());
        ran
    }

    /// Git as somebody runs it who does not think of traps.
    fn careless(&self, args: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.path()).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let _ = command.stdin(std::process::Stdio::null()).output().unwrap();
    }

    /// Takes away an object that a commit needs, so that git would ask the remote for it.
    fn lose(&self, what: &str) -> String {
        let id = git(self.path(), &["-c", "core.fsmonitor=false", "rev-parse", what]);
        let (folder, file) = id.split_at(2);
        fs::remove_file(self.path().join(".git/objects").join(folder).join(file)).unwrap();
        id
    }
}

#[test]
fn nothing_of_the_repository_is_run() {
    let trap = Trap::new();
    trap.careless(&["status"]);
    assert!(trap.spring().contains("program"), "the trap is none");
    let to = tempfile::tempdir().unwrap();
    let path = trap.path().to_str().unwrap();
    for (n, reference) in ["", "#main", "#v1", "#topic/x~1"].iter().enumerate() {
        let seeded = seed(&format!("{path}{reference}"), &to.path().join(n.to_string())).unwrap();
        assert_eq!(trap.spring(), "", "{reference}");
        assert!(!seeded.folder.join(".git/hooks").exists());
        assert_eq!(fs::read_to_string(seeded.folder.join("run.sh")).unwrap(), "run.sh");
        let config = fs::read_to_string(seeded.folder.join(".git/config")).unwrap();
        assert!(!config.contains("program"), "{config}");
    }
}

#[test]
fn objects_that_a_repository_lacks_are_not_fetched_by_its_program() {
    // Both ways of naming a program: an address that is a command, and a command that serves a plain address.
    let lost = ["main^{commit}", "main:src/a", "main^{tree}"];
    for (lost, address) in lost.into_iter().flat_map(|lost| [(lost, None), (lost, Some("other"))]) {
        let trap = Trap::new();
        if let Some(address) = address {
            let address = trap.path().join(address);
            git(trap.path(), &["config", "remote.origin.url", address.to_str().unwrap()]);
        }
        trap.spring();
        let id = trap.lose(lost);
        trap.careless(&["cat-file", "-p", &id]);
        assert!(trap.spring().contains("program"), "the trap is none");
        let to = tempfile::tempdir().unwrap();
        for (n, reference) in ["", "#main", &format!("#{id}")].iter().enumerate() {
            let source = format!("{}{reference}", trap.path().display());
            assert!(seed(&source, &to.path().join(n.to_string())).is_err(), "{lost} is not there");
            assert_eq!(trap.spring(), "", "{lost} {reference}");
        }
    }
}

#[test]
fn a_repository_that_makes_git_wait_is_given_up() {
    let from = tempfile::tempdir().unwrap();
    repository(from.path());
    let head = from.path().join(".git/packed-refs");
    rustix::fs::mknodat(rustix::fs::CWD, &head, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let to = tempfile::tempdir().unwrap();
    let program = GitProgram { search_path: SEARCH_PATH, home: None };
    let source = GitSource { path: from.path().into(), reference: None };
    let outcome = program.seed_within(&source, &to.path().join("copy"), 1);
    assert!(matches!(outcome, Err(GitError::TooSlow { seconds: 1, .. })), "{outcome:?}");
}

#[test]
fn a_branch_that_looks_like_an_option_is_a_branch() {
    let from = tempfile::tempdir().unwrap();
    let (first, _) = repository(from.path());
    fs::write(from.path().join(".git/refs/heads/--help"), format!("{first}\n")).unwrap();
    fs::write(from.path().join(".git/HEAD"), "ref: refs/heads/--help\n").unwrap();
    let to = tempfile::tempdir().unwrap();
    let seeded = seed(from.path().to_str().unwrap(), &to.path().join("copy")).unwrap();
    assert_eq!((seeded.commit, seeded.branch.as_deref()), (first, Some("--help")));
}

#[test]
fn urls_are_decoded_and_paths_are_not() {
    let parsed = |text: &str| GitSource::parse(OsStr::new(text)).unwrap();
    assert_eq!(parsed("git+file:///a%20b#c").path.shown(), Path::new("/a b"));
    assert_eq!(parsed("git+file:///a%20b#c").reference.as_deref(), Some("c"));
    assert_eq!(parsed("/a%20b").path.shown(), Path::new("/a%20b"));
    assert_eq!(parsed("./x#").reference, None);
    assert_eq!(parsed("file:///100%").path.shown(), Path::new("/100%"));
}
