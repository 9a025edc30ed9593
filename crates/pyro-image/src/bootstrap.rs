//! Builds a Debian root file system from packages with mmdebstrap, and its image. This file must not know what an image needs.
//!
//! mmdebstrap runs as root of our namespaces. Its package cache and lists are folders of the store, bound in for the time of
//! the build: what a killed build has downloaded, the next one has. The tree is built in memory where there is enough: it is
//! many small files that are needed for seconds, and deleting them from a disk can take longer than all else.

use crate::child::Ended;
use crate::child::Task;
use crate::error::At;
use crate::error::ImageError;
use crate::image;
use crate::image::Size;
use crate::kernel::AptRoot;
use crate::mirror::Mirror;
use crate::mirror::Reader;
use crate::namespace;
use crate::program;
use crate::progress::Phase;
use crate::pull::Work;
use crate::space;
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// Binds the store's cache into the new root.
const SETUP: &str = r#"mkdir -p "$1/var/cache/apt/archives" "$1/var/lib/apt/lists" &&
mount --bind "$PYRO_ARCHIVES" "$1/var/cache/apt/archives" && mount --bind "$PYRO_LISTS" "$1/var/lib/apt/lists""#;

/// Unbinds it again, and leaves apt in the guest with public sources and none of the host's settings.
const FINISH: &str = r#"umount "$1/var/cache/apt/archives" "$1/var/lib/apt/lists" &&
rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf" &&
cp "$PYRO_GUEST_SOURCES" "$1/etc/apt/sources.list" && chmod 644 "$1/etc/apt/sources.list" &&
: > "$1/etc/machine-id" && rm -f "$1/var/lib/dbus/machine-id""#;

/// Builds the tree, has it measured, and writes the image in the sizes it is told on its standard input until one is enough.
const BUILD: &str = r#"set -e
mkdir root
[ -z "$PYRO_TREE_MIB" ] || mount -t tmpfs -o "mode=755,size=${PYRO_TREE_MIB}m" tmpfs root
mmdebstrap "$@" < "$PYRO_SOURCES"
find root -xdev -printf "$PYRO_FIND_FORMAT" > extent
echo 'I: measured' >&2
while read -r blocks inodes; do
  rm -f "$PYRO_IMAGE"
  mkfs.ext4 $PYRO_MKFS -N "$inodes" -d root "$PYRO_IMAGE" "$blocks" && exit 0
  echo 'I: too small' >&2
done
exit 1"#;

/// What is built.
pub(crate) struct Recipe<'a> {
    pub(crate) mirror: &'a Mirror,
    pub(crate) suite: &'a str,
    /// Packages beyond the essential ones.
    pub(crate) packages: &'a [String],
    /// The lists of this very suite were fetched a moment ago.
    pub(crate) lists_are_fresh: bool,
    /// An upper bound for what the tree takes.
    pub(crate) space_mib: u64,
}

/// Builds the recipe's image in `partial`, a new folder.
pub(crate) fn bootstrap(
    work: &Work<'_>,
    apt: &AptRoot<'_>,
    recipe: &Recipe<'_>,
    partial: &Path,
) -> Result<(), ImageError> {
    let scratch = partial.join("tmp");
    work.layout.make(&scratch)?;
    let guest_sources = scratch.join("guest-sources.list");
    std::fs::write(&guest_sources, recipe.mirror.lines(recipe.suite, Reader::Guest))
        .at("writing", &guest_sources)?;
    let mut command = namespace::command(work.config, program::SH)?;
    command
        .env("PYRO_ARCHIVES", apt.archives())
        .env("PYRO_LISTS", apt.lists())
        .env("PYRO_SOURCES", apt.sources());
    command.env("PYRO_GUEST_SOURCES", &guest_sources).env("TMPDIR", &scratch).current_dir(partial);
    command
        .env("PYRO_FIND_FORMAT", image::FIND_FORMAT)
        .env("PYRO_MKFS", image::options())
        .env("PYRO_IMAGE", image::FILE);
    command.env("PYRO_TREE_MIB", memory_for_tree(recipe).map(|mib| mib.to_string()).unwrap_or_default());
    command.args(["-c", BUILD, "sh"]);
    arguments(&mut command, recipe.packages);
    if recipe.lists_are_fresh {
        command.arg("--skip=update");
    }
    command.arg("--aptopt").arg(apt.host_settings());
    command.arg(recipe.suite).arg(partial.join("root")).arg("-");
    run(work, apt, command, partial)?;
    // The tree was in memory, and is gone with its namespace, or is here.
    for left in ["root", "tmp", "extent"] {
        let path = partial.join(left);
        if path.is_file() {
            std::fs::remove_file(&path).at("removing", &path)?;
        } else {
            namespace::remove_tree(work.config, &path)?;
        }
    }
    Ok(())
}

/// How much memory the tree may take, if it is to be built there: half of what is to be had, when that is plenty.
fn memory_for_tree(recipe: &Recipe<'_>) -> Option<u64> {
    space::memory_mib().map(|mib| mib / 2).filter(|&mib| mib >= recipe.space_mib)
}

fn arguments(command: &mut Command, packages: &[String]) {
    command.args(["--mode=root", "--variant=minbase", "--format=directory", "--architectures=amd64"]);
    command.args(["--skip=download/empty,essential/unlink"]);
    command.args(["--aptopt=APT::Sandbox::User \"root\"", "--aptopt=Acquire::Languages \"none\""]);
    command.arg(format!("--setup-hook={SETUP}")).arg(format!("--customize-hook={FINISH}"));
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
}

fn run(work: &Work<'_>, apt: &AptRoot<'_>, mut command: Command, partial: &Path) -> Result<(), ImageError> {
    let operation = "building the environment";
    let (answers, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at("opening a pipe for", partial)?;
    command.stdin(Stdio::from(answers));
    let mut dialogue = Dialogue {
        work,
        partial,
        answers: Some(File::from(ours)),
        sizes: None,
        reached: Phase::Lists,
        said: Vec::new(),
    };
    let ended =
        Task::new(operation, command, work.cancel).lend(&work.lent).end(&mut |line| dialogue.hear(line))?;
    if ended.status.success() {
        return Ok(());
    }
    if dialogue.reached == Phase::Install {
        // A package that was damaged on this disk would fail every later build too.
        namespace::remove_tree(work.config, &apt.archives())?;
    }
    if dialogue.sizes.is_some_and(|(_, count)| count == 0) {
        return Err(image::too_large());
    }
    // mmdebstrap's clean-up speaks last and says nothing about the cause.
    let stderr = if dialogue.said.is_empty() { ended.stderr.clone() } else { dialogue.said.join("\n") };
    Err(crate::kernel::failure(partial, operation, &Ended { stderr, ..ended }))
}

/// What the build says, and is told.
struct Dialogue<'a> {
    work: &'a Work<'a>,
    partial: &'a Path,
    answers: Option<File>,
    /// Sizes not yet tried, and how many there were to begin with.
    sizes: Option<(std::vec::IntoIter<Size>, usize)>,
    reached: Phase,
    /// mmdebstrap's errors.
    said: Vec<String>,
}

impl Dialogue<'_> {
    fn hear(&mut self, line: &str) {
        if let Some(phase) = phase_of(line) {
            self.reached = phase;
            self.work.progress.phase(phase);
        }
        match line {
            "I: measured" | "I: too small" => self.answer(),
            _ if line.starts_with("E: ")
                && !line.contains("mmdebstrap failed to run")
                && self.said.len() < 8 =>
            {
                self.said.push(line.to_owned());
            }
            _ => {}
        }
    }

    /// Tells the next size, or that there is none by hanging up. A build that is gone by now needs no answer.
    fn answer(&mut self) {
        let partial = self.partial;
        let (sizes, _) = self.sizes.get_or_insert_with(|| {
            let found = std::fs::read(partial.join("extent")).unwrap_or_default();
            let sizes: Vec<Size> = image::sizes(&String::from_utf8_lossy(&found)).collect();
            let count = sizes.len();
            (sizes.into_iter(), count)
        });
        match (sizes.next(), &mut self.answers) {
            (Some(size), Some(answers)) => {
                let _ = writeln!(answers, "{} {}", size.blocks, size.inodes);
            }
            _ => self.answers = None,
        }
    }
}

/// What mmdebstrap's own words mean.
fn phase_of(line: &str) -> Option<Phase> {
    let text = line.strip_prefix("I: ")?;
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if starts(&["running apt-get update"]) {
        Some(Phase::Lists)
    } else if starts(&["downloading packages"]) {
        Some(Phase::Download)
    } else if starts(&["extracting archives", "installing"]) {
        Some(Phase::Install)
    } else if starts(&["measured"]) {
        Some(Phase::Image)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mmdebstrap_s_words_are_phases() {
        assert_eq!(phase_of("I: downloading packages with apt..."), Some(Phase::Download));
        assert_eq!(phase_of("I: extracting archives..."), Some(Phase::Install));
        assert_eq!(phase_of("I: installing remaining packages inside the chroot..."), Some(Phase::Install));
        assert_eq!(phase_of("W: downloading packages"), None);
    }

    #[test]
    fn no_packages_means_no_empty_option() {
        let mut command = Command::new("x");
        arguments(&mut command, &[]);
        assert!(command.get_args().all(|arg| !arg.to_string_lossy().starts_with("--include")));
        arguments(&mut command, &["git".to_owned(), "make".to_owned()]);
        assert!(command.get_args().any(|arg| arg == "--include=git,make"));
    }
}
