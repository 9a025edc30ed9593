//! What is left out of a tree: `--exclude` globs, `.pyroignore`, and git's `.gitignore` and `.git/info/exclude`, in that order
//! of authority. Rules of the user's or the machine's own git configuration are not read: what a tree is must not depend on
//! whose machine it is on. This file must not walk.

use super::source::Node;
use super::source::Source;
use super::warnings::Warnings;
use globset::GlobBuilder;
use globset::GlobMatcher;
use ignore::Match;
use ignore::gitignore::Gitignore;
use ignore::gitignore::GitignoreBuilder;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Most bytes of an ignore file that are read; git has such a bound as well.
const IGNORE_BYTES_MAX: u64 = 4 << 20;

const GIT_RULES: &[u8] = b".gitignore";
const OWN_RULES: &[u8] = b".pyroignore";
const GIT_FOLDER: &[u8] = b".git";

/// The rules of one tree, as far as its folders were entered. Cheap to ask.
#[derive(Debug, Default)]
pub struct Rules {
    exclude: Vec<Exclude>,
    /// By folder; only those that have any.
    levels: HashMap<TreePath, Level>,
    /// Of the folders above the root that belong to the same repository, nearest first: what the root is called there.
    above: Vec<(Vec<u8>, Level)>,
}

/// One `--exclude` glob.
#[derive(Debug)]
struct Exclude {
    glob: GlobMatcher,
    whole_path: bool,
    folders_only: bool,
}

/// The rules of one folder.
#[derive(Debug, Default)]
struct Level {
    git: Option<Gitignore>,
    own: Option<Gitignore>,
    /// `.git/info/exclude`.
    git_private: Option<Gitignore>,
    /// It has a `.git`: git's rules of the folders above end here.
    repository: bool,
}

impl Rules {
    /// Rules with these globs (see [`pyro_proto::glob`]; one that ends in a slash is for folders alone).
    ///
    /// # Errors
    /// The first glob that is none, and what is wrong with it.
    pub fn new(exclude: &[String]) -> Result<Self, (String, globset::Error)> {
        let exclude = exclude.iter().map(|glob| Exclude::new(glob).map_err(|error| (glob.clone(), error)));
        Ok(Self { exclude: exclude.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Whether this path is left out, itself or with a folder that it is in.
    pub fn excludes(&self, path: &TreePath, folder: bool) -> bool {
        let ends = path.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut above = ends.filter_map(|end| TreePath::new(&path.as_bytes()[..end]).ok());
        above.any(|above| self.excludes_itself(&above, true)) || self.excludes_itself(path, folder)
    }

    /// Whether this path is left out, its folder not being so.
    pub(super) fn excludes_itself(&self, path: &TreePath, folder: bool) -> bool {
        if path.is_root() {
            return false;
        }
        self.exclude.iter().any(|exclude| exclude.matches(path, folder))
            || self.own(path, folder).or_else(|| self.git(path, folder)).unwrap_or(false)
    }

    /// What `.pyroignore` files say: the deepest one that says anything.
    fn own(&self, path: &TreePath, folder: bool) -> Option<bool> {
        self.levels_of(path).find_map(|(level, rest)| ask(level.own.as_ref(), rest, folder))
    }

    /// What git's rules say. Git has none for its own folder.
    fn git(&self, path: &TreePath, folder: bool) -> Option<bool> {
        if path.components().any(|name| name == GIT_FOLDER) {
            return None;
        }
        for (level, rest) in self.levels_of(path) {
            if let Some(said) = ask(level.git.as_ref(), rest, folder) {
                return Some(said);
            }
            if level.repository {
                return ask(level.git_private.as_ref(), rest, folder);
            }
        }
        self.above.iter().find_map(|(prefix, level)| {
            let whole = [prefix, &b"/"[..], path.as_bytes()].concat();
            ask(level.git.as_ref(), &whole, folder)
                .or_else(|| ask(level.git_private.as_ref(), &whole, folder))
        })
    }

    /// The folders with rules that a path is in, deepest first, and what the path is called there.
    fn levels_of<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a Level, &'a [u8])> {
        let mut folder = if self.levels.is_empty() { None } else { path.parent() };
        std::iter::from_fn(move || {
            let current = folder.take()?;
            folder = current.parent();
            Some(current)
        })
        .filter_map(|folder| {
            let start = if folder.is_root() { 0 } else { folder.as_bytes().len() + 1 };
            Some((self.levels.get(&folder)?, &path.as_bytes()[start..]))
        })
    }

    /// Reads the ignore files of a folder that is being entered.
    pub(super) fn enter(
        &mut self,
        source: &Source,
        folder: &TreePath,
        nodes: &[Node],
        warnings: &mut Warnings,
    ) -> io::Result<()> {
        let has = |name: &[u8]| nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).is_ok();
        let mut read = |name: &[u8]| {
            let Ok(path) = folder.join(name) else { return Ok(None) };
            let content = source.read_small(&path, IGNORE_BYTES_MAX)?;
            Ok::<_, io::Error>(content.map(|content| parse(&content, &path.to_string(), warnings)))
        };
        let mut level = Level { repository: has(GIT_FOLDER), ..Level::default() };
        if has(GIT_RULES) {
            level.git = read(GIT_RULES)?;
        }
        if has(OWN_RULES) {
            level.own = read(OWN_RULES)?;
        }
        if level.repository {
            level.git_private = read(b".git/info/exclude")?;
        }
        if level.repository || level.git.is_some() || level.own.is_some() {
            self.levels.insert(folder.clone(), level);
        }
        Ok(())
    }

    /// Reads git's rules of the folders above the root, if it is inside a repository.
    pub(super) fn enter_above(&mut self, root: &Path, warnings: &mut Warnings) {
        if root.join(".git").symlink_metadata().is_ok() {
            return;
        }
        let mut found = Vec::new();
        for folder in root.ancestors().skip(1) {
            let Ok(prefix) = root.strip_prefix(folder) else { return };
            let prefix = prefix.as_os_str().as_bytes().to_vec();
            let Ok(source) = Source::open(folder) else { return };
            let mut read = |name: &str| {
                let content =
                    TreePath::new(name).ok().and_then(|path| source.read_small(&path, IGNORE_BYTES_MAX).ok());
                content
                    .flatten()
                    .map(|content| parse(&content, &folder.join(name).to_string_lossy(), warnings))
            };
            let repository = folder.join(".git").symlink_metadata().is_ok();
            let git_private = if repository { read(".git/info/exclude") } else { None };
            found.push((prefix, Level { git: read(".gitignore"), git_private, repository, own: None }));
            if repository {
                self.above = found;
                return;
            }
        }
    }
}

fn ask(rules: Option<&Gitignore>, path: &[u8], folder: bool) -> Option<bool> {
    match rules?.matched(Path::new(OsStr::from_bytes(path)), folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// Git, too, goes on after a line that it cannot make sense of.
fn parse(content: &[u8], shown: &str, warnings: &mut Warnings) -> Gitignore {
    let mut builder = GitignoreBuilder::new(".");
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    for line in content.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if let Err(error) = builder.add_line(None, &line) {
            warnings.add(format!("{shown}: {error}"));
        }
    }
    builder.build().unwrap_or_else(|error| {
        warnings.add(format!("{shown}: {error}"));
        Gitignore::empty()
    })
}

impl Exclude {
    fn new(glob: &str) -> Result<Self, globset::Error> {
        let folders_only = glob.len() > 1 && glob.ends_with('/');
        let text = glob.strip_suffix('/').filter(|_| folders_only).unwrap_or(glob);
        let whole_path = text.contains('/');
        let text = text.strip_prefix('/').unwrap_or(text);
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()?;
        Ok(Self { glob: glob.compile_matcher(), whole_path, folders_only })
    }

    fn matches(&self, path: &TreePath, folder: bool) -> bool {
        let bytes = path.as_bytes();
        let name = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or(bytes);
        let subject = if self.whole_path { bytes } else { name };
        (folder || !self.folders_only) && self.glob.is_match(OsStr::from_bytes(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_names_paths_and_folders() {
        let cases = [
            ("*.o", "a/b.o", false, true),
            ("*.o", "a/b.oo", false, false),
            ("target/", "x/target", true, true),
            ("target/", "x/target", false, false),
            ("target", "target/debug/x", false, true),
            ("/build", "build", true, true),
            ("/build", "a/build", true, false),
            ("a/*.c", "a/b.c", false, true),
            ("a/*.c", "a/b/c.c", false, false),
            ("a/**/c.c", "a/b/d/c.c", false, true),
            ("**/x", "x", false, true),
            ("[ab]?", "bz", false, true),
        ];
        for (glob, path, folder, expected) in cases {
            let rules = Rules::new(&[glob.to_owned()]).unwrap();
            let path = TreePath::new(path).unwrap();
            assert_eq!(rules.excludes(&path, folder), expected, "{glob} on {path}");
        }
        assert!(Rules::new(&["[".to_owned()]).is_err());
        assert!(!Rules::new(&["*".to_owned()]).unwrap().excludes(&TreePath::default(), true));
    }
}
