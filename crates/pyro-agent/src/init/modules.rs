//! Kernel modules from the initrd, in the order the initrd lists. This file must not know which they are.

use super::InitError;
use crate::users::read_bounded;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

const FOLDER: &str = "/modules";

/// Loads every module that `/modules/order` names, one file name on each line; no such file means no modules.
pub(super) fn load_all() -> Result<(), InitError> {
    let order = read_bounded(format!("{FOLDER}/order"));
    let names =
        order.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()).map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        match load(name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(InitError::Module { name: name.to_owned(), source: errno.into() }),
        }
    }
    Ok(())
}

fn load(name: &str) -> Result<(), Errno> {
    let path = format!("{FOLDER}/{name}");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::system::finit_module(&file, c"", 0)
}
