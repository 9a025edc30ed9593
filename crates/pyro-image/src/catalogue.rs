//! Which environments there are, as data: ours and the user's. This file must not know what is installed.

use crate::digest::Sha256Hex;
use crate::error::ImageError;
use serde::Deserialize;
use std::path::Path;
use std::path::PathBuf;

/// The version of the built-in catalogue.
pub(crate) const CATALOG_VERSION: &str = "1.0.0";
const BUILTIN: &str = include_str!("catalogue.toml");
/// The only shape of catalogue files so far.
const SCHEMA: u32 = 1;
/// The most that is read of a user's catalogue.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Room to build an entry that does not say how much it takes.
const BUILD_SPACE_MIB: u64 = 2048;

/// All environments that can be asked for.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    problem: Option<Problem>,
}

/// Why the user's catalogue is not part of it.
#[derive(Clone, Debug)]
struct Problem {
    path: PathBuf,
    line: Option<usize>,
    reason: String,
}

/// One environment's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) source: EntrySource,
    pub(crate) build_space_mib: u64,
    pub(crate) catalog_version: Option<String>,
}

/// What an environment is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntrySource {
    /// Debian packages, on top of the essential ones.
    Packages { suite: String, packages: Vec<String> },
    /// A tar archive of a root file system.
    Rootfs { archive: PathBuf },
}

impl Entry {
    /// Identifies the definition: when it changes, what was built from the old one no longer counts.
    pub(crate) fn definition(&self) -> Sha256Hex {
        let source = match &self.source {
            EntrySource::Packages { suite, packages } => {
                format!("packages\n{suite}\n{}", packages.join("\n"))
            }
            EntrySource::Rootfs { archive } => format!("rootfs\n{}", archive.display()),
        };
        Sha256Hex::of(format!("{}\n{}\n{source}\n", self.name, self.version).as_bytes())
    }

    /// The start of the folder names of this environment's installations.
    pub(crate) fn slug(&self) -> String {
        let keep = |c: char| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-') { c } else { '_' }
        };
        self.name.chars().map(keep).collect()
    }
}

impl Catalogue {
    /// The built-in environments and those of the user's file. A file that cannot be used takes nothing else with it: its
    /// error is told by [`Catalogue::problem`] and when one of its environments is asked for.
    ///
    /// # Errors
    /// [`ImageError::BuiltinCatalogue`], which a test excludes.
    pub fn load(user: Option<&Path>) -> Result<Self, ImageError> {
        let mut entries = parse(BUILTIN, Path::new("/"), Some(CATALOG_VERSION))
            .map_err(|problem| ImageError::BuiltinCatalogue { reason: problem.reason })?;
        let problem = user.and_then(|path| match read_user(path) {
            Ok(own) => {
                entries.retain(|entry| own.iter().all(|o| o.name != entry.name));
                entries.extend(own);
                None
            }
            Err(problem) => Some(problem),
        });
        Ok(Self { entries, problem })
    }

    /// The names of all environments, the built-in ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Why the user's file is left out, if it is.
    #[must_use]
    pub fn problem(&self) -> Option<ImageError> {
        self.problem.clone().map(|problem| ImageError::UserCatalogue {
            path: problem.path,
            line: problem.line,
            reason: problem.reason,
        })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The definition of `name`.
    pub(crate) fn find(&self, name: &str) -> Result<&Entry, ImageError> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.name == name) {
            return Ok(entry);
        }
        Err(self.problem().unwrap_or_else(|| ImageError::UnknownEnvironment {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    #[serde(default, rename = "environment")]
    environments: Vec<toml::Spanned<Definition>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    suite: Option<String>,
    packages: Option<Vec<String>>,
    rootfs: Option<PathBuf>,
    build_space_mib: Option<u64>,
}

fn read_user(path: &Path) -> Result<Vec<Entry>, Problem> {
    let fail = |reason: String| Problem { path: path.to_owned(), line: None, reason };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    parse(&text, dir, None).map_err(|problem| Problem { path: path.to_owned(), ..problem })
}

fn parse(text: &str, dir: &Path, catalog_version: Option<&str>) -> Result<Vec<Entry>, Problem> {
    let fail = |line: Option<usize>, reason: String| Problem { path: PathBuf::new(), line, reason };
    let document: Document = toml::from_str(text).map_err(|error| {
        fail(error.span().map(|span| line_of(text, span.start)), error.message().to_owned())
    })?;
    if document.schema != SCHEMA {
        return Err(fail(None, format!("schema {} is not known, only {SCHEMA}", document.schema)));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for spanned in document.environments {
        let line = Some(line_of(text, spanned.span().start));
        let entry = entry(spanned.into_inner(), dir, catalog_version).map_err(|reason| fail(line, reason))?;
        if entries.iter().any(|other| other.name == entry.name) {
            return Err(fail(line, format!("`{}` is defined twice", entry.name)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

fn entry(definition: Definition, dir: &Path, catalog_version: Option<&str>) -> Result<Entry, String> {
    let Definition { name, version, description, suite, packages, rootfs, build_space_mib } = definition;
    check(
        "name",
        &name,
        64,
        "a-z 0-9 . _ / : -",
        |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '/' | ':' | '-'),
    )?;
    check("version", &version, 32, "a-z A-Z 0-9 . _ -", |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
    })?;
    let source = match (suite, packages, rootfs) {
        (Some(suite), packages, None) => {
            check("suite", &suite, 32, "a-z 0-9 -", |c| matches!(c, 'a'..='z' | '0'..='9' | '-'))?;
            let packages = packages.unwrap_or_default();
            packages.iter().try_for_each(|package| {
                check(
                    "package",
                    package,
                    128,
                    "a-z 0-9 + . -",
                    |c| matches!(c, 'a'..='z' | '0'..='9' | '+' | '.' | '-'),
                )
            })?;
            EntrySource::Packages { suite, packages }
        }
        (None, None, Some(archive)) => EntrySource::Rootfs { archive: dir.join(archive) },
        _ => return Err(format!("`{name}` needs either `suite` (with `packages`) or `rootfs`")),
    };
    let catalog_version = catalog_version.map(str::to_owned);
    let build_space_mib = build_space_mib.unwrap_or(BUILD_SPACE_MIB);
    Ok(Entry { name, version, description, source, build_space_mib, catalog_version })
}

/// Names become file names and arguments of programs: they begin with a letter or digit and hold nothing surprising.
fn check(
    what: &str,
    value: &str,
    length_max: usize,
    allowed: &str,
    is_allowed: fn(char) -> bool,
) -> Result<(), String> {
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && value.len() <= length_max && value.chars().all(is_allowed) && !value.contains("..") {
        return Ok(());
    }
    Err(format!(
        "{what} `{}` must begin with a letter or digit and hold only {allowed}, at most {length_max}",
        value.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> (tempfile::TempDir, Catalogue) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("environments.toml");
        std::fs::write(&path, text).unwrap();
        let catalogue = Catalogue::load(Some(&path)).unwrap();
        (dir, catalogue)
    }

    #[test]
    fn the_built_in_environments() {
        let catalogue = Catalogue::load(None).unwrap();
        assert_eq!(catalogue.names().collect::<Vec<_>>(), ["debian:12", "debian:12-base", "debian:12-build"]);
        assert_eq!(catalogue.find("debian:12-build").unwrap().slug(), "debian_12-build");
        assert!(catalogue.problem().is_none());
    }

    #[test]
    fn a_user_s_environments_join_in_and_may_replace() {
        let (dir, catalogue) = user(
            "schema = 1\n[[environment]]\nname = \"mine\"\nversion = \"3\"\nrootfs = \"root.tar.zst\"\n\
             [[environment]]\nname = \"debian:12\"\nversion = \"2\"\nsuite = \"trixie\"\npackages = [\"g++\"]\n",
        );
        let archive = dir.path().join("root.tar.zst");
        assert_eq!(catalogue.find("mine").unwrap().source, EntrySource::Rootfs { archive });
        assert_eq!(catalogue.find("debian:12").unwrap().version, "2");
        assert_eq!(catalogue.names().filter(|name| *name == "debian:12").count(), 1);
    }

    #[test]
    fn a_bad_user_file_names_the_line_and_takes_nothing_with_it() {
        let (dir, catalogue) =
            user("schema = 1\n[[environment]]\nname = \"mine\"\nversion = \"1\"\nsuit = \"sid\"\n");
        assert!(catalogue.find("debian:12").is_ok());
        let error = catalogue.find("mine").unwrap_err();
        assert_eq!(error.code(), "catalogue_invalid");
        let path = dir.path().join("environments.toml");
        assert!(
            error.to_string().starts_with(&format!("{}, line 5: unknown field `suit`", path.display())),
            "{error}"
        );
    }

    #[test]
    fn names_that_would_be_options_or_paths_are_refused() {
        for (field, line) in [
            ("name", "name = \"../x\"\nversion = \"1\"\nsuite = \"sid\""),
            ("suite", "name = \"x\"\nversion = \"1\"\nsuite = \"--evil\""),
            ("package", "name = \"x\"\nversion = \"1\"\nsuite = \"sid\"\npackages = [\"-o=Evil\"]"),
            ("version", "name = \"x\"\nversion = \"a/b\"\nsuite = \"sid\""),
            ("needs either", "name = \"x\"\nversion = \"1\""),
        ] {
            let (_dir, catalogue) = user(&format!("schema = 1\n\n[[environment]]\n{line}\n"));
            let text = catalogue.problem().unwrap().to_string();
            assert!(text.contains(field) && text.contains("line 3"), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_tells_what_there_is() {
        let error = Catalogue::load(None).unwrap().find("debian:99").unwrap_err();
        assert_eq!(error.code(), "environment_unknown");
        assert!(error.hints()[0].contains("debian:12-build"));
    }

    #[test]
    fn the_definition_digest_follows_the_definition() {
        let catalogue = Catalogue::load(None).unwrap();
        let entry = catalogue.find("debian:12").unwrap();
        let mut changed = entry.clone();
        changed.description = "other words".to_owned();
        assert_eq!(entry.definition(), changed.definition());
        changed.source =
            EntrySource::Packages { suite: "bookworm".to_owned(), packages: vec!["git".to_owned()] };
        assert_ne!(entry.definition(), changed.definition());
    }
}
