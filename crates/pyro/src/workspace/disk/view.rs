//! Opens a chain of layers over its environment as one tree of files. Everything here blocks. This file must not decide
//! whether the layers stand still.

use super::error::FilesError;
use crate::config::Config;
use crate::workspace::document::Document;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::layers::Chain;
use crate::workspace::layers::LayerName;
use pyro_engine::DiskFormat;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use pyro_image::Installed;
use pyro_image::disk::Ext4;
use pyro_image::disk::LayerFormat;
use pyro_image::disk::LayeredDisk;
use pyro_image::disk::MergedRoot;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// The environment of a workspace, which stays installed for as long as this lives.
#[derive(Debug)]
pub(in crate::workspace) struct Environment {
    base: Arc<Ext4>,
    _installed: Installed,
}

impl Environment {
    /// The environment that a workspace was made from.
    pub(in crate::workspace) fn of(config: &Config, document: &Document) -> Result<Self, WorkspaceError> {
        let store = ImageStore::new(config.image_config())?;
        let installed = installed(&store, document)?;
        let image = File::open(&installed.rootfs).map_err(FilesError::Image)?;
        let base = Ext4::open(Box::new(image)).map_err(FilesError::Environment)?;
        Ok(Self { base: Arc::new(base), _installed: installed })
    }

    /// A chain of layers over it.
    pub(in crate::workspace) fn under(
        &self,
        folder: &Folder,
        chain: &Chain,
    ) -> Result<MergedRoot, FilesError> {
        let layers = folder.layers();
        let layer = |name: &LayerName| (layers.path(name), format(name));
        let paths: Vec<(PathBuf, LayerFormat)> = chain.layers().iter().map(layer).collect();
        let disk = LayeredDisk::open(&paths).map_err(FilesError::Layers)?;
        let rw = Ext4::open(Box::new(disk)).map_err(FilesError::Workspace)?;
        Ok(MergedRoot::new(Arc::clone(&self.base), Arc::new(rw))?)
    }

    /// The environment alone.
    pub(in crate::workspace) fn alone(&self) -> MergedRoot {
        MergedRoot::of_base(Arc::clone(&self.base))
    }
}

/// What a workspace was made from, whatever the catalogue has made of the name since.
///
/// # Errors
/// [`WorkspaceError::EnvironmentGone`], or it cannot be used.
pub(in crate::workspace) fn installed(
    store: &ImageStore,
    document: &Document,
) -> Result<Installed, WorkspaceError> {
    match store.open_digest(&document.environment, &document.rootfs_digest) {
        Err(ImageError::NotInstalled { .. }) => Err(WorkspaceError::EnvironmentGone {
            workspace: document.workspace_id.to_string(),
            environment: document.environment.clone(),
        }),
        opened => Ok(opened?),
    }
}

pub(in crate::workspace) fn format(name: &LayerName) -> LayerFormat {
    match name.format() {
        DiskFormat::Raw => LayerFormat::Raw,
        DiskFormat::Qcow2 => LayerFormat::Qcow2,
    }
}
