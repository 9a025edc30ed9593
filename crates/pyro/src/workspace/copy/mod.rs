//! Copying files and folders between the host and guests, or from guest to guest, by the rules of `docker cp`: a file replaces
//! a file, a folder goes into a folder that is there, and nothing takes the place of something of another kind. Links that are
//! named are followed, links below a folder are copied. This folder must not know how a tree travels.
//!
//! ```text
//!   NAME:PATH, PATH, - ──► CopyPlace ──► what is there ──► target (pure) ──► push, pull, export, write, across
//! ```

mod across;
mod error;
mod guest;
mod incoming;
mod outgoing;
mod place;
mod target;

pub use error::CopyError;
pub use place::CopyPlace;

use super::error::WorkspaceError;
use super::handle::Workspaces;
use super::transfer::Moved;
use crate::tree::Links;
use crate::work::Work;
use guest::GuestSide;
use std::io::Read;
use std::io::Write;

/// A copy.
#[derive(Clone, Debug)]
pub struct CopySpec {
    /// What.
    pub from: CopyPlace,
    /// Where to.
    pub to: CopyPlace,
    /// What becomes of links that lead out of a folder which comes to the host.
    pub links: Links,
}

/// What [`CopyPlace::Stream`] is.
pub struct CopyStreams {
    /// Where an archive is read from.
    pub input: Box<dyn Read + Send>,
    /// Where an archive is written to.
    pub output: Box<dyn Write + Send>,
}

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// What was copied, as it is shown to people.
    pub source: String,
    /// Where it is now, in the end.
    pub destination: String,
    /// `file`, `directory` or `tar_archive`.
    pub artifact_type: &'static str,
    /// Files, folders and links that went over; what was the same on both sides already did not.
    pub entry_count: u64,
    /// Bytes of files.
    pub bytes_written: u64,
    /// What was left out.
    pub warnings: Vec<String>,
}

impl Workspaces {
    /// Copies.
    ///
    /// # Errors
    /// [`CopyError`], and whatever else a copy fails with. A guest is then as it was before; a folder of the host that was there
    /// has what had come over by then.
    pub fn copy<'a>(
        &'a self,
        spec: CopySpec,
        streams: CopyStreams,
        moved: Moved<'a>,
    ) -> Work<'a, Result<CopyReport, WorkspaceError>> {
        Box::pin(async move {
            let guest = |workspace: &str, path: &std::ffi::OsStr| GuestSide::new(self.find(workspace)?, path);
            match (&spec.from, &spec.to) {
                (CopyPlace::Host(from), CopyPlace::Guest { workspace, path }) => {
                    guest(workspace, path)?.copy_in(from, moved).await
                }
                (CopyPlace::Stream, CopyPlace::Guest { workspace, path }) => {
                    guest(workspace, path)?.copy_archive_in(streams.input, moved).await
                }
                (CopyPlace::Guest { workspace, path }, CopyPlace::Host(to)) => {
                    guest(workspace, path)?.copy_out(to, spec.links, moved).await
                }
                (CopyPlace::Guest { workspace, path }, CopyPlace::Stream) => {
                    guest(workspace, path)?.copy_archive_out(streams.output, spec.links, moved).await
                }
                (CopyPlace::Guest { workspace, path }, CopyPlace::Guest { workspace: to, path: at }) => {
                    guest(workspace, path)?.copy_across(&guest(to, at)?, moved).await
                }
                _ => Err(CopyError::NoGuest.into()),
            }
        })
    }
}
