//! Disks of guests: a small sparse ext4 made once per size, copies of it that cost next to nothing, the empty overlays that
//! are laid on them, and readers that need no guest. What a guest has written is hostile, so the readers trust nothing they
//! find on a disk: every length and place is checked, and what they keep is bounded. This file must not know guests.

mod build;
pub mod compare;
mod copy;
pub mod ext4;
mod layers;
pub mod merged;
mod qcow2;
mod read_at;
mod template;

pub use build::BuildError;
pub use build::Built;
pub use build::build_image;
pub use compare::Change;
pub use compare::Meta;
pub use compare::compare;
pub use compare::system_changes;
pub use copy::copy_sparse;
pub use ext4::Ext4;
pub use ext4::Ext4Error;
pub use layers::LAYERS_MAX;
pub use layers::LayerFormat;
pub use layers::LayeredDisk;
pub use layers::LayersError;
pub use merged::MergedError;
pub use merged::MergedRoot;
pub use merged::Node;
pub use qcow2::Place;
pub use qcow2::Qcow2;
pub use qcow2::Qcow2Error;
pub use qcow2::create_overlay;
pub use read_at::ReadAt;
pub use template::RwTemplate;
pub use template::copy_unnamed;
pub(crate) use template::key;
