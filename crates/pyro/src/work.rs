//! What the library's larger operations give back. This file must not know any of them.

use std::pin::Pin;

/// An operation that goes on while it is waited for, and is given up when it is dropped.
///
/// It is what an `async fn` would give back, in a box: the code of an `async fn` is compiled anew in every crate that waits
/// for it, and that of a boxed one where it is written. An allocation is nothing beside a guest.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
