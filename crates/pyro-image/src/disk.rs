//! Writable disks: a small sparse ext4 made once per size, and copies of it that cost next to nothing. This file must not
//! know guests.

mod copy;
mod template;

pub use copy::copy_sparse;
pub use template::RwTemplate;
pub use template::copy_unnamed;
pub(crate) use template::key;
