//! SFTP, version 3, on the library's file operations, with the extensions that OpenSSH's clients like to have. Relative paths are
//! below `/workspace`. Names that are not UTF-8 cannot be told. This folder must not reach the guest in any other way.

mod attributes;
mod open;
mod staged;
mod status;

use crate::channel::Incoming;
use crate::command::Ended;
use crate::command::Outgoing;
use open::OpenFile;
use pyro::tree::EntryKind;
use pyro::workspace::Workspace;
use pyro::workspace::files::GuestPath;
use russh_sftp::protocol::Attrs;
use russh_sftp::protocol::Data;
use russh_sftp::protocol::ExtendedReply;
use russh_sftp::protocol::File;
use russh_sftp::protocol::FileAttributes;
use russh_sftp::protocol::Handle;
use russh_sftp::protocol::Name;
use russh_sftp::protocol::OpenFlags;
use russh_sftp::protocol::Packet;
use russh_sftp::protocol::Status;
use russh_sftp::protocol::StatusCode;
use russh_sftp::protocol::Version;
use russh_sftp::server::Handler;
use status::Refusal;
use std::collections::HashMap;
use tokio::sync::oneshot;

/// Most bytes of a packet, which is what russh-sftp takes.
const PACKET_BYTES_MAX: u64 = 256 * 1024;

/// Most bytes that are read or written at once: a packet, without what is around them.
const PIECE_BYTES_MAX: usize = 255 * 1024;

/// Most files and folders that a client may have open.
const HANDLES_MAX: usize = 256;

/// Most names in one answer.
const NAMES_MAX: usize = 200;

/// What beyond the protocol's version 3 is understood.
const EXTENSIONS: [(&str, &str); 3] =
    [("posix-rename@openssh.com", "1"), ("fsync@openssh.com", "1"), ("limits@openssh.com", "1")];

/// Serves files on a channel until the client has no more to ask.
pub(crate) async fn run(workspace: Workspace, incoming: Incoming, outgoing: Outgoing) {
    let (over, ended) = oneshot::channel();
    let sftp = Sftp { workspace, handles: HashMap::new(), handles_so_far: 0, _over: over };
    let Incoming { input, mut controls } = incoming;
    let stream = tokio::io::join(input, outgoing.channel.make_writer());
    russh_sftp::server::run(stream, sftp).await;
    tokio::select! {
        // The handler is dropped when there is nothing left to answer.
        _ = ended => outgoing.end(Ended::Code(0)).await,
        () = closed(&mut controls) => {}
    }
}

async fn closed(controls: &mut tokio::sync::mpsc::UnboundedReceiver<crate::channel::Control>) {
    while controls.recv().await.is_some() {}
}

struct Sftp {
    workspace: Workspace,
    handles: HashMap<String, Open>,
    handles_so_far: u64,
    _over: oneshot::Sender<()>,
}

enum Open {
    File(Box<OpenFile>),
    /// What of a folder has not been told yet.
    Folder(std::vec::IntoIter<File>),
}

type Answer<T> = Result<T, Refusal>;

impl Sftp {
    fn add(&mut self, id: u32, open: Open) -> Answer<Handle> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(Refusal::failure("too many files are open"));
        }
        self.handles_so_far += 1;
        let handle = self.handles_so_far.to_string();
        self.handles.insert(handle.clone(), open);
        Ok(Handle { id, handle })
    }

    fn file(&mut self, handle: &str) -> Answer<&mut OpenFile> {
        match self.handles.get_mut(handle) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(Refusal::no_handle()),
        }
    }

    async fn look(&mut self, id: u32, path: &str, follow: bool) -> Answer<Attrs> {
        let entry = self.workspace.look_at(&GuestPath::new(path)?, follow).await?;
        let entry = entry.ok_or_else(Refusal::missing)?;
        Ok(Attrs { id, attrs: attributes::of(&entry) })
    }

    async fn rename_to(&mut self, from: &str, to: &str, replace: bool) -> Answer<()> {
        let (from, to) = (GuestPath::new(from)?, GuestPath::new(to)?);
        self.workspace.move_file(&from, &to, replace).await?;
        Ok(())
    }

    async fn extension(&mut self, id: u32, request: &str, data: &[u8]) -> Answer<Packet> {
        let mut fields = Fields(data);
        match request {
            "posix-rename@openssh.com" => {
                let (from, to) = (fields.text()?, fields.text()?);
                self.rename_to(from, to, true).await?;
                Ok(done(id).into())
            }
            "fsync@openssh.com" => {
                let workspace = self.workspace.clone();
                self.file(fields.text()?)?.flush(&workspace).await?;
                Ok(done(id).into())
            }
            "limits@openssh.com" => {
                let (piece, handles) = (PIECE_BYTES_MAX as u64, HANDLES_MAX as u64);
                let limits = [PACKET_BYTES_MAX, piece, piece, handles];
                let data = limits.iter().flat_map(|limit| limit.to_be_bytes()).collect();
                Ok(ExtendedReply { id, data }.into())
            }
            _ => Err(self.unimplemented()),
        }
    }
}

impl Handler for Sftp {
    type Error = Refusal;

    fn unimplemented(&self) -> Refusal {
        Refusal::new(StatusCode::OpUnsupported, "this is not supported")
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Answer<Version> {
        let mut version = Version::new();
        version.extensions.extend(EXTENSIONS.map(|(name, data)| (name.to_owned(), data.to_owned())));
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        attributes: FileAttributes,
    ) -> Answer<Handle> {
        let file = OpenFile::open(&self.workspace, GuestPath::new(&path)?, flags, &attributes).await?;
        self.add(id, Open::File(Box::new(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Answer<Status> {
        match self.handles.remove(&handle) {
            Some(Open::File(mut file)) => file.flush(&self.workspace).await?,
            Some(Open::Folder(_)) => {}
            None => return Err(Refusal::no_handle()),
        }
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, length: u32) -> Answer<Data> {
        let data = self.file(&handle)?.read(offset, length).await?;
        Ok(Data { id, data })
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Answer<Status> {
        self.file(&handle)?.write(offset, &data).await?;
        Ok(done(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        self.look(id, &path, false).await
    }

    async fn stat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        self.look(id, &path, true).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Answer<Attrs> {
        Ok(Attrs { id, attrs: self.file(&handle)?.attributes() })
    }

    async fn setstat(&mut self, id: u32, path: String, given: FileAttributes) -> Answer<Status> {
        if let Some(size) = given.size {
            let path = GuestPath::new(&path)?;
            let flags = OpenFlags::WRITE;
            let mut file = OpenFile::open(&self.workspace, path, flags, &FileAttributes::empty()).await?;
            let size = FileAttributes { size: Some(size), ..FileAttributes::empty() };
            file.change(&self.workspace, &size).await?;
            file.flush(&self.workspace).await?;
        }
        self.workspace.set_attributes(&GuestPath::new(&path)?, attributes::wanted(&given)).await?;
        Ok(done(id))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, given: FileAttributes) -> Answer<Status> {
        let workspace = self.workspace.clone();
        self.file(&handle)?.change(&workspace, &given).await?;
        Ok(done(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Answer<Handle> {
        let path = GuestPath::new(&path)?;
        let entry = self.workspace.look_at(&path, true).await?.ok_or_else(Refusal::missing)?;
        if entry.kind != EntryKind::Directory {
            return Err(Refusal::failure("this is no directory"));
        }
        let itself = [".", ".."].map(|name| File::new(name, attributes::of(&entry)));
        let entries = self.workspace.folder_entries(&path).await?;
        let files = entries
            .iter()
            .map(|entry| File::new(attributes::text(entry.path.as_bytes()), attributes::of(entry)));
        let files: Vec<File> = itself.into_iter().chain(files).collect();
        self.add(id, Open::Folder(files.into_iter()))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Answer<Name> {
        let Some(Open::Folder(rest)) = self.handles.get_mut(&handle) else {
            return Err(Refusal::no_handle());
        };
        let files: Vec<File> = rest.take(NAMES_MAX).collect();
        if files.is_empty() { Err(Refusal::end()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, path: String) -> Answer<Status> {
        self.workspace.delete_file(&GuestPath::new(&path)?, false).await?;
        Ok(done(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, given: FileAttributes) -> Answer<Status> {
        let mode = given.permissions.map(|mode| mode & 0o777);
        self.workspace.make_folder(&GuestPath::new(&path)?, mode).await?;
        Ok(done(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Answer<Status> {
        self.workspace.remove_folder(&GuestPath::new(&path)?).await?;
        Ok(done(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Answer<Name> {
        let path = GuestPath::new(if path.is_empty() { "." } else { &path })?;
        Ok(Name { id, files: vec![File::dummy(attributes::text(path.as_bytes()))] })
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Answer<Status> {
        self.rename_to(&from, &to, false).await?;
        Ok(done(id))
    }

    async fn readlink(&mut self, id: u32, path: String) -> Answer<Name> {
        let entry = self.workspace.look_at(&GuestPath::new(&path)?, false).await?;
        let entry = entry.ok_or_else(Refusal::missing)?;
        if entry.kind != EntryKind::Symlink {
            return Err(Refusal::failure("this is no link"));
        }
        Ok(Name { id, files: vec![File::dummy(attributes::text(&entry.target))] })
    }

    /// OpenSSH's clients, and everybody after them, send the target first, whatever the protocol says.
    async fn symlink(&mut self, id: u32, target: String, path: String) -> Answer<Status> {
        self.workspace.make_link(&GuestPath::new(&path)?, target.as_bytes()).await?;
        Ok(done(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Answer<Packet> {
        self.extension(id, &request, &data).await
    }
}

fn done(id: u32) -> Status {
    Status { id, status_code: StatusCode::Ok, error_message: String::new(), language_tag: String::new() }
}

/// Fields of an extension's request.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn text(&mut self) -> Answer<&'a str> {
        let bad = || Refusal::new(StatusCode::BadMessage, "the request is cut off");
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(bad)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| bad())?;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(bad)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Refusal::failure("the path is no text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_request_are_bounded() {
        let mut fields = Fields(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x09cut");
        assert_eq!(fields.text().unwrap(), "ab");
        assert_eq!(fields.text().unwrap(), "");
        assert!(fields.text().is_err());
        assert!(Fields(b"\0\0").text().is_err() && Fields(b"\xff\xff\xff\xff").text().is_err());
    }
}
