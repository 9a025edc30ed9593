//! A path of a guest as one side of a copy: what is there, and where exactly a copy to it goes. This file must not copy.

use super::error::CopyError;
use super::target;
use super::target::Ending;
use super::target::Kind;
use super::target::Target;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::FilesError;
use crate::workspace::files::GuestPath;
use crate::workspace::handle::Workspace;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// One side of a copy.
pub(super) struct GuestSide {
    pub(super) workspace: Workspace,
    pub(super) path: GuestPath,
    pub(super) ending: Ending,
}

/// What is copied.
#[derive(Clone, Copy)]
pub(super) struct Copied<'a> {
    pub(super) kind: Kind,
    pub(super) ending: Ending,
    /// Its own name; the root of a file system has none.
    pub(super) name: Option<&'a [u8]>,
}

impl Kind {
    pub(super) const fn of(entry: &Entry) -> Self {
        match entry.kind {
            EntryKind::Directory => Self::Folder,
            EntryKind::File | EntryKind::HardLink => Self::File,
            EntryKind::Symlink | EntryKind::Special => Self::Special,
        }
    }
}

impl GuestSide {
    pub(super) fn new(workspace: Workspace, path: &OsStr) -> Result<Self, WorkspaceError> {
        let clean = GuestPath::new(path.as_bytes()).map_err(FilesError::from)?;
        Ok(Self { workspace, path: clean, ending: Ending::of(path.as_bytes()) })
    }

    /// As a user wrote it, but for the path's being whole.
    pub(super) fn shown(&self) -> String {
        self.shown_at(&self.path)
    }

    pub(super) fn shown_at(&self, path: &GuestPath) -> String {
        let document = self.workspace.document().ok();
        let name = document.and_then(|document| document.name).map(|name| name.to_string());
        format!("{}:{path}", name.unwrap_or_else(|| self.workspace.id().to_string()))
    }

    /// Its own name; the root has none.
    pub(super) fn name(&self) -> Option<&[u8]> {
        let name = self.path.as_bytes().rsplit(|byte| *byte == b'/').next();
        name.filter(|name| !name.is_empty())
    }

    /// What there is, as a source.
    pub(super) async fn source(&self) -> Result<Entry, WorkspaceError> {
        let entry = self.look(&self.path).await?.ok_or_else(|| CopyError::Missing { shown: self.shown() })?;
        match Kind::of(&entry) {
            Kind::Special => Err(CopyError::Special { shown: self.shown() }.into()),
            Kind::File if self.ending.is_folder => Err(CopyError::NotAFolder { shown: self.shown() }.into()),
            Kind::File | Kind::Folder => Ok(entry),
        }
    }

    /// What there is at a path, links followed.
    pub(super) async fn look(&self, path: &GuestPath) -> Result<Option<Entry>, WorkspaceError> {
        self.workspace.look_at(path, true).await
    }

    /// Where exactly a copy goes, and what is there.
    pub(super) async fn settle(
        &self,
        copied: Copied<'_>,
    ) -> Result<(GuestPath, Option<Entry>), WorkspaceError> {
        let there = self.look(&self.path).await?;
        let at = (there.as_ref().map(Kind::of), self.ending);
        let target = target::target((copied.kind, copied.ending), at, &|| self.shown())?;
        match (target, copied.name) {
            (Target::Inside, Some(name)) => {
                let path = self.below(name)?;
                let there = self.look(&path).await?;
                target::check(copied.kind, there.as_ref().map(Kind::of), &|| self.shown_at(&path))?;
                Ok((path, there))
            }
            _ if there.is_some() => Ok((self.path.clone(), there)),
            _ => {
                let parent = self.parent()?;
                match self.look(&parent).await?.as_ref().map(Kind::of) {
                    Some(Kind::Folder) => Ok((self.path.clone(), None)),
                    _ => Err(CopyError::NoFolder { shown: self.shown_at(&parent) }.into()),
                }
            }
        }
    }

    fn below(&self, name: &[u8]) -> Result<GuestPath, WorkspaceError> {
        let path = [self.path.as_bytes(), b"/", name].concat();
        Ok(GuestPath::new(path).map_err(FilesError::from)?)
    }

    fn parent(&self) -> Result<GuestPath, WorkspaceError> {
        let path = [self.path.as_bytes(), b"/.."].concat();
        Ok(GuestPath::new(path).map_err(FilesError::from)?)
    }
}
