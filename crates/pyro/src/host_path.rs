//! A path of the host: by its name, or as somebody found it below a folder and holds it open, so that what is used is what was
//! looked at, whatever takes its name meanwhile. People are told the name in either case. This file must not decide who may
//! use what.

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// A path of the host.
#[derive(Clone, Debug)]
pub struct HostPath {
    shown: PathBuf,
    held: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    open: OwnedFd,
    /// What is to be made in the folder that is open; nothing for what is open itself.
    name: Option<OsString>,
    path: PathBuf,
}

impl HostPath {
    /// What is open, and what people call it.
    pub fn found(shown: impl Into<PathBuf>, open: OwnedFd) -> Self {
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        Self { shown: shown.into(), held: Some(Arc::new(Held { open, name: None, path })) }
    }

    /// A name in an open folder, at which something is to be made, and what people call it.
    pub fn to_make(shown: impl Into<PathBuf>, folder: OwnedFd, name: &OsStr) -> Self {
        let path = Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        let held = Held { open: folder, name: Some(name.to_owned()), path };
        Self { shown: shown.into(), held: Some(Arc::new(held)) }
    }

    /// What people call it.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// How this process reaches it, for as long as this is kept.
    pub fn path(&self) -> &Path {
        self.held.as_ref().map_or(&self.shown, |held| &held.path)
    }

    /// It from the root on, if it is only a name.
    pub(crate) fn absolute(&self) -> io::Result<Self> {
        match self.held {
            Some(_) => Ok(self.clone()),
            None => Ok(Self::from(std::path::absolute(&self.shown)?)),
        }
    }

    /// How a program that this process starts reaches it: it has other descriptors.
    pub(crate) fn path_for_children(&self) -> PathBuf {
        match self.path().strip_prefix("/proc/self") {
            Ok(rest) if self.held.is_some() => Path::new(&format!("/proc/{}", std::process::id())).join(rest),
            _ => self.shown.clone(),
        }
    }

    /// A text of such a program, with the path as people call it.
    pub(crate) fn told(&self, text: String) -> String {
        match &self.held {
            None => text,
            Some(_) => {
                let (path, shown) = (self.path_for_children(), self.shown.to_string_lossy());
                text.replace(&*path.to_string_lossy(), &shown)
            }
        }
    }

    /// Whether there is nothing, as far as is known.
    pub(crate) fn is_missing(&self) -> bool {
        match &self.held {
            // What has taken the name since is not what was looked at.
            Some(held) => held.name.is_some(),
            None => !self.shown.exists(),
        }
    }

    /// The folder, which is made if it is missing.
    pub(crate) fn folder(&self) -> io::Result<Self> {
        let Some((held, name)) = self.held.as_ref().and_then(|held| Some((held, held.name.as_ref()?))) else {
            std::fs::create_dir_all(self.path())?;
            return Ok(self.clone());
        };
        match rustix::fs::mkdirat(&held.open, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let one = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let open = rustix::fs::openat2(&held.open, name, flags, Mode::empty(), one)?;
        Ok(Self::found(self.shown.clone(), open))
    }
}

impl PartialEq for HostPath {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown && self.path() == other.path()
    }
}

impl Eq for HostPath {}

impl<T: Into<PathBuf>> From<T> for HostPath {
    fn from(path: T) -> Self {
        Self { shown: path.into(), held: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_was_found_is_reached_whatever_takes_its_name() {
        let home = tempfile::tempdir().unwrap();
        let (folder, secret) = (home.path().join("folder"), home.path().join("secret"));
        for path in [&folder, &secret] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("name"), path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        let found = HostPath::found(&folder, OwnedFd::from(fs::File::open(&folder).unwrap()));
        fs::rename(&folder, home.path().join("elsewhere")).unwrap();
        symlink(&secret, &folder).unwrap();
        assert_eq!(fs::read_to_string(found.path().join("name")).unwrap(), "folder");
        assert_eq!(found.shown(), folder);
        let told = found.told(format!("no {}/x", found.path_for_children().display()));
        assert_eq!(told, format!("no {}/x", folder.display()));
    }

    #[test]
    fn a_folder_is_made_where_it_was_to_be_and_never_behind_a_link() {
        let home = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(fs::File::open(home.path()).unwrap());
        let new = HostPath::to_make("/shown/new", open(), OsStr::new("new"));
        assert!(new.is_missing());
        let made = new.folder().unwrap();
        assert!(home.path().join("new").is_dir() && !made.is_missing());
        assert_eq!(
            (made.shown(), made.path().read_link().unwrap()),
            (Path::new("/shown/new"), home.path().join("new"))
        );
        symlink("/", home.path().join("link")).unwrap();
        assert!(HostPath::to_make("/x", open(), OsStr::new("link")).folder().is_err());
    }

    #[test]
    fn a_name_is_only_a_name() {
        let plain = HostPath::from("a");
        assert_eq!(
            (plain.path(), plain.shown(), plain.told("a".to_owned())),
            (Path::new("a"), Path::new("a"), "a".to_owned())
        );
        assert_eq!(plain.absolute().unwrap().path(), std::path::absolute("a").unwrap());
    }
}
