//! Copies the initrd that an installed environment's guests start from, for inspection. It must not make one itself:
//! what is looked at is what a guest gets.

use pyro_image::Config;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use std::path::Path;
use std::path::PathBuf;

/// Why there is no initrd to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitrdError {
    #[error("opening the cache of environments at {}", path.display())]
    Store { path: PathBuf, source: ImageError },
    #[error("opening the environment {name}")]
    Open { name: String, source: ImageError },
    #[error("copying {} to {}", from.display(), to.display())]
    Copy { from: PathBuf, to: PathBuf, source: std::io::Error },
}

/// Copies the initrd of `environment`, as installed in `cache_dir`, to `out`.
pub(crate) fn run(cache_dir: &Path, environment: &str, out: &Path) -> Result<String, InitrdError> {
    let store = ImageStore::new(Config::new(cache_dir.to_owned()))
        .map_err(|source| InitrdError::Store { path: cache_dir.to_owned(), source })?;
    let installed = store
        .open(environment)
        .map_err(|source| InitrdError::Open { name: environment.to_owned(), source })?;
    let bytes = std::fs::copy(&installed.initrd, out).map_err(|source| InitrdError::Copy {
        from: installed.initrd.clone(),
        to: out.to_owned(),
        source,
    })?;
    Ok(format!("initrd: {bytes} bytes in {}, digest {}\n", out.display(), installed.initrd_digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_environment_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("initrd.img");
        let missing = run(&folder.path().join("cache"), "debian:12", &out);
        assert!(matches!(missing, Err(InitrdError::Open { .. })), "{missing:?}");
        assert!(!out.exists());
    }
}
