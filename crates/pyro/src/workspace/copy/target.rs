//! Where exactly a copy goes, by the rules of `docker cp`: into a folder that is there, or else to the very path. Pure: this
//! file must not look at files.

use super::error::CopyError;

/// What there is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Special,
}

/// How a path was written, beyond what it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// It ends with a slash, or what is as good as one.
    pub(super) is_folder: bool,
    /// It ends with `/.`: what is in the folder is meant.
    pub(super) is_content: bool,
}

/// Where a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To the path itself.
    Exactly,
    /// Into the folder at the path, under the source's own name.
    Inside,
}

impl Ending {
    /// Of a path as it was written.
    pub(super) fn of(path: &[u8]) -> Self {
        let is_content = path == b"." || path.ends_with(b"/.");
        let is_up = path == b".." || path.ends_with(b"/..");
        Self { is_folder: is_content || is_up || path.ends_with(b"/"), is_content }
    }
}

/// Where a source goes; `shown` is the destination.
pub(super) fn target(
    (source, source_ending): (Kind, Ending),
    (there, ending): (Option<Kind>, Ending),
    shown: &dyn Fn() -> String,
) -> Result<Target, CopyError> {
    match (source, there) {
        (Kind::Folder, Some(Kind::Folder)) if source_ending.is_content => Ok(Target::Exactly),
        (_, Some(Kind::Folder)) => Ok(Target::Inside),
        (Kind::Folder, None) => Ok(Target::Exactly),
        (Kind::Folder, Some(_)) => Err(CopyError::FolderOntoFile { shown: shown() }),
        (_, None) if ending.is_folder => Err(CopyError::NoFolder { shown: shown() }),
        (_, Some(_)) if ending.is_folder => Err(CopyError::NotAFolder { shown: shown() }),
        (_, _) => Ok(Target::Exactly),
    }
}

/// Checks what is at the path that a copy goes to in the end.
pub(super) fn check(source: Kind, there: Option<Kind>, shown: &dyn Fn() -> String) -> Result<(), CopyError> {
    match (source, there) {
        (Kind::Folder, None | Some(Kind::Folder)) | (Kind::File | Kind::Special, None) => Ok(()),
        (Kind::Folder, Some(_)) => Err(CopyError::FolderOntoFile { shown: shown() }),
        (_, Some(Kind::Folder)) => Err(CopyError::FileOntoFolder { shown: shown() }),
        (_, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;
    use crate::code::Coded as _;

    fn to(source: (Kind, &str), there: Option<Kind>, destination: &str) -> Result<Target, &'static str> {
        let (kind, source) = source;
        let ending = Ending::of(destination.as_bytes());
        target((kind, Ending::of(source.as_bytes())), (there, ending), &String::new)
            .map_err(|error| error.code())
    }

    #[test]
    fn copies_go_where_docker_puts_them() {
        let (file, folder) = ((Kind::File, "f"), (Kind::Folder, "d"));
        assert_eq!(to(file, None, "x"), Ok(Target::Exactly));
        assert_eq!(to(file, None, "x/"), Err(code::PATH_NOT_FOUND));
        assert_eq!(to(file, Some(Kind::File), "x"), Ok(Target::Exactly));
        assert_eq!(to(file, Some(Kind::File), "x/"), Err(code::NOT_A_DIRECTORY));
        assert_eq!(to(file, Some(Kind::Folder), "x"), Ok(Target::Inside));
        assert_eq!(to(file, Some(Kind::Special), "x"), Ok(Target::Exactly));
        assert_eq!(to(folder, None, "x"), Ok(Target::Exactly));
        assert_eq!(to(folder, None, "x/"), Ok(Target::Exactly));
        assert_eq!(to(folder, Some(Kind::File), "x"), Err(code::PATH_EXISTS));
        assert_eq!(to(folder, Some(Kind::Folder), "x"), Ok(Target::Inside));
        assert_eq!(to((Kind::Folder, "d/"), Some(Kind::Folder), "x"), Ok(Target::Inside));
        assert_eq!(to((Kind::Folder, "d/."), Some(Kind::Folder), "x/"), Ok(Target::Exactly));
        assert_eq!(to((Kind::Folder, "."), Some(Kind::Folder), "x"), Ok(Target::Exactly));
    }

    #[test]
    fn nothing_takes_the_place_of_another_kind() {
        let check = |source, there| check(source, there, &String::new).map_err(|error| error.code());
        assert_eq!(check(Kind::File, Some(Kind::Folder)), Err(code::IS_A_DIRECTORY));
        assert_eq!(check(Kind::Folder, Some(Kind::File)), Err(code::PATH_EXISTS));
        assert_eq!(check(Kind::File, Some(Kind::File)), Ok(()));
        assert_eq!(check(Kind::Folder, Some(Kind::Folder)), Ok(()));
    }
}
