//! The operations themselves, one file for each noun. This file only lists them; nothing here may know who calls.

mod diff;
mod disk;
mod environment;
mod exec;
mod fields;
mod file;
mod fork;
mod job;
mod life;
mod port;
mod secret;
mod service;
mod shell;
mod snapshot;
mod transfer;
mod vm;
mod workspace;

use super::table::Operation;

/// All of them, in the order in which they are listed: what is needed first comes first.
pub(super) fn all() -> Vec<Operation> {
    let mut all = Vec::new();
    for part in [
        vm::one_shot,
        workspace::all,
        life::all,
        exec::all,
        job::all,
        file::all,
        transfer::all,
        diff::all,
        snapshot::all,
        fork::all,
        shell::all,
        service::all,
        port::all,
        secret::all,
        disk::all,
        environment::all,
        vm::all,
    ] {
        all.extend(part());
    }
    all
}
