//! Turns a user's tar archive of a root file system into an image. This file must not trust the archive.

use crate::error::ImageError;
use crate::pull::Work;
use std::path::Path;

/// Unpacks `archive` under `partial` and writes `image`.
pub(crate) fn import(
    _work: &Work<'_>,
    archive: &Path,
    _partial: &Path,
    _image: &Path,
) -> Result<(), ImageError> {
    Err(ImageError::Rootfs { path: archive.to_owned(), reason: "not supported yet".to_owned() })
}
