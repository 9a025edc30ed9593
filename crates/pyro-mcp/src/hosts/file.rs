//! A program's configuration file: read whole, replaced whole. Whoever reads it meanwhile sees the old text or the new. This
//! file must not know what is in it.

use crate::operations::OperationError;
use pyro::code;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Mode of a new one: such files may hold keys.
const MODE: u32 = 0o600;

/// Most bytes that are read.
const BYTES_MAX: u64 = 16 << 20;

/// A configuration file, whether or not it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// The file at this path; where it is a link, what it leads to.
    pub fn at(path: &Path) -> Self {
        Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; empty when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<String, OperationError> {
        let read = || match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
            Ok(found) if found.len() > BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => fs::read_to_string(&self.path),
        };
        read().map_err(|error| self.failed(code::SOURCE_UNREADABLE, "reading", &error))
    }

    /// Replaces it, with the permissions it had.
    ///
    /// # Errors
    /// It cannot be written; it is then as it was.
    pub fn write(&self, text: &str) -> Result<(), OperationError> {
        self.replace(text).map_err(|error| self.failed(code::OUTPUT_FAILED, "writing", &error))
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mode = fs::metadata(&self.path).map_or(MODE, |found| found.permissions().mode() & 0o777);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let partial = folder.join(format!(".{name}.{}.partial", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&partial, &self.path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn failed(&self, code: &str, operation: &str, error: &io::Error) -> OperationError {
        OperationError::new(code, format!("{operation} {}: {error}", self.path.display()))
            .hint("check the file's owner, or name another with --config")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_keeps_its_mode_and_may_be_a_link() {
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (home.path().join("dotfiles/c.json"), home.path().join("c.json"));
        let file = ConfigFile::at(&real);
        assert_eq!(file.read().unwrap(), "");
        file.write("one").unwrap();
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, MODE);
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        ConfigFile::at(&link).write("two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1, "something is left beside it");
    }
}
