//! An open file: its content, and what becomes of it when it is closed. This file must not know how a client names it.

use super::attributes;
use super::staged::Staged;
use super::status::Refusal;
use pyro::tree::Entry;
use pyro::tree::EntryKind;
use pyro::workspace::Workspace;
use pyro::workspace::files::Attributes;
use pyro::workspace::files::GuestPath;
use pyro::workspace::files::WriteOptions;
use russh_sftp::protocol::FileAttributes;
use russh_sftp::protocol::OpenFlags;

/// Permissions of a new file that nobody said more of.
const MODE_DEFAULT: u32 = 0o644;

/// Permission bits that a client may give a new file.
const MODE_BITS: u32 = 0o777;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: GuestPath,
    flags: OpenFlags,
    staged: Staged,
    /// What is at the path; nothing for a new file.
    entry: Option<Entry>,
    /// Permissions to write it with; those it has when absent.
    mode: Option<u32>,
    /// What is to be changed besides when it is written.
    later: Attributes,
    /// The guest does not have what is here.
    dirty: bool,
}

impl OpenFile {
    /// Opens a file, as far as it is known to be possible: whether it can be written is told when it is.
    pub(super) async fn open(
        workspace: &Workspace,
        path: GuestPath,
        flags: OpenFlags,
        given: &FileAttributes,
    ) -> Result<Self, Refusal> {
        let entry = workspace.look_at(&path, true).await?;
        let is_new = entry.is_none();
        match entry.as_ref().map(|entry| entry.kind) {
            None if !flags.contains(OpenFlags::CREATE) => return Err(Refusal::missing()),
            None => check_folder(workspace, &path).await?,
            Some(_) if flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUDE) => {
                return Err(Refusal::failure("there is something at this path already"));
            }
            Some(EntryKind::File | EntryKind::HardLink) => {}
            Some(EntryKind::Directory) => return Err(Refusal::failure("this is a directory")),
            Some(_) => return Err(Refusal::failure("this is no regular file")),
        }
        let writes = flags.intersects(OpenFlags::WRITE | OpenFlags::APPEND);
        let is_cut = writes && flags.contains(OpenFlags::TRUNCATE);
        let rest = if is_new || is_cut { None } else { Some(workspace.open_file(&path).await?) };
        let staged = Staged::new(workspace.folder().path(), rest)?;
        let mode = is_new.then(|| given.permissions.map_or(MODE_DEFAULT, |mode| mode & MODE_BITS));
        Ok(Self { path, flags, staged, entry, mode, later: Attributes::default(), dirty: is_new || is_cut })
    }

    pub(super) async fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        if !self.flags.contains(OpenFlags::READ) {
            return Err(Refusal::failure("this handle is not for reading"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(super::PIECE_BYTES_MAX);
        let bytes = self.staged.read(offset, length).await?;
        if bytes.is_empty() && length > 0 { Err(Refusal::end()) } else { Ok(bytes) }
    }

    pub(super) async fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.check_writes()?;
        let offset = if self.flags.contains(OpenFlags::APPEND) {
            self.staged.content().await?;
            self.staged.size()
        } else {
            offset
        };
        self.staged.write(offset, bytes).await?;
        self.dirty = true;
        Ok(())
    }

    pub(super) fn attributes(&self) -> FileAttributes {
        let mut found = self.entry.as_ref().map(attributes::of).unwrap_or_default();
        if self.dirty || self.entry.is_none() {
            found.size = Some(self.staged.size());
            found.permissions = found.permissions.or_else(|| self.mode.map(|mode| 0o100_000 | mode));
        }
        found
    }

    /// Changes attributes: at once if the guest has the file as it is, else when it is written.
    pub(super) async fn change(
        &mut self,
        workspace: &Workspace,
        given: &FileAttributes,
    ) -> Result<(), Refusal> {
        if let Some(size) = given.size {
            self.check_writes()?;
            self.staged.resize(size).await?;
            self.dirty = true;
        }
        let wanted = attributes::wanted(given);
        if !self.dirty {
            return Ok(workspace.set_attributes(&self.path, wanted).await?);
        }
        self.mode = wanted.mode.or(self.mode);
        self.later.uid = wanted.uid.or(self.later.uid);
        self.later.gid = wanted.gid.or(self.later.gid);
        self.later.mtime_s = wanted.mtime_s.or(self.later.mtime_s);
        Ok(())
    }

    /// Has the guest have what was written.
    pub(super) async fn flush(&mut self, workspace: &Workspace) -> Result<(), Refusal> {
        if !self.dirty {
            return Ok(());
        }
        let options = WriteOptions { mode: self.mode, make_parents: false, create_new: false };
        let mut content = self.staged.content().await?;
        workspace.write_file(&self.path, &mut content, &options).await?;
        if self.later != Attributes::default() {
            workspace.set_attributes(&self.path, self.later).await?;
        }
        self.dirty = false;
        Ok(())
    }

    fn check_writes(&self) -> Result<(), Refusal> {
        if self.flags.intersects(OpenFlags::WRITE | OpenFlags::APPEND) {
            Ok(())
        } else {
            Err(Refusal::failure("this handle is not for writing"))
        }
    }
}

/// A new file needs a folder; to say so when it is opened is better than when it is closed.
async fn check_folder(workspace: &Workspace, path: &GuestPath) -> Result<(), Refusal> {
    let folder = GuestPath::new([path.as_bytes(), b"/.."].concat())?;
    match workspace.look_at(&folder, true).await? {
        Some(entry) if entry.kind == EntryKind::Directory => Ok(()),
        _ => Err(Refusal::missing()),
    }
}
