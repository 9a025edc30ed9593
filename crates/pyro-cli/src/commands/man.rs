//! `pyro man`.

use crate::exit;
use crate::failure::Failure;
use crate::output;
use std::path::PathBuf;

/// Write the manual pages to a folder.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Folder for the pages; it is made when it does not exist.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn call(&self) -> Result<i32, Failure> {
        let written = std::fs::create_dir_all(&self.dir)
            .and_then(|()| clap_mangen::generate_to(crate::command(), &self.dir));
        match written {
            Ok(()) => {
                output::line(&format!("Manual pages written to {}", self.dir.display()));
                Ok(exit::OK)
            }
            Err(error) => Err(Failure::plain(
                "output_failed",
                format!("writing manual pages to {}: {error}", self.dir.display()),
                "name a folder you can write to",
                exit::FAILED,
            )),
        }
    }
}
