//! Pulls environments into a cache folder and prints how long each phase took: `pull CACHE_DIR NAME...`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use pyro_image::Cancel;
use pyro_image::Config;
use pyro_image::ImageStore;
use pyro_image::Phase;
use pyro_image::Progress;
use std::path::PathBuf;

struct Lines;

impl Progress for Lines {
    fn phase(&self, phase: Phase) {
        println!("{}", phase.title());
    }
    fn bytes(&self, _done: u64, _total: Option<u64>) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut config = Config::new(PathBuf::from(arguments.next().ok_or("CACHE_DIR is missing")?));
    config.user_catalogue = std::env::var_os("PYRO_ENVIRONMENTS").map(PathBuf::from);
    let store = ImageStore::new(config)?;
    for name in arguments {
        let name = name.to_string_lossy();
        let report = store
            .pull(&name, &Lines, &Cancel::new()?)
            .map_err(|error| format!("{error:?} {}", error.code()))?;
        println!("{report:#?}");
        println!("{:#?}", store.open(&name)?);
    }
    Ok(())
}
