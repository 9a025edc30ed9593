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
    config.mirror = std::env::var("PYRO_MIRROR").ok();
    let store = ImageStore::new(config)?;
    for name in arguments {
        let name = name.to_string_lossy();
        let report = store
            .pull(&name, &Lines, &Cancel::new()?)
            .map_err(|error| format!("{error:?} {}", error.code()))?;
        println!("{report:#?}");
        let installed = timed("open", || store.open(&name))?;
        println!("{installed:#?}");
        let template = timed("template of a disk", || store.rw_template(8192))?;
        timed("a disk from it", || template.instantiate_unnamed(&installed.modules_dir))?;
        println!("{} environments", timed("list", || store.list()).len());
    }
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    println!("{what}: {:?}", start.elapsed());
    result
}
