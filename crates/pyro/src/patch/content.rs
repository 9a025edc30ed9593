//! A file's bytes while a patch is being applied: as the caller has them, or made, and then shared by all copies. It must not
//! know where they come from.

use std::ops::Deref;
use std::rc::Rc;

/// See the top of the file.
#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    Known(&'a [u8]),
    Made(Rc<Vec<u8>>),
}

impl Content<'_> {
    pub(super) fn made(bytes: Vec<u8>) -> Self {
        Self::Made(Rc::new(bytes))
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Known(bytes) => bytes.to_vec(),
            Self::Made(bytes) => Rc::unwrap_or_clone(bytes),
        }
    }
}

impl Deref for Content<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Known(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

impl PartialEq for Content<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Content<'_> {}
