//! Builds the static guest agent and hands it to the library as bytes. This file must not do anything else.
//!
//! The agent is another package with another profile, target and set of flags, so that a cargo of its own builds it, in a target
//! folder of its own: the outer cargo holds a lock on its own one. `PYRO_AGENT_PATH` names a ready agent instead.

use sha2::Digest;
use std::env;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Settings of the outer cargo that must not reach the inner one: its flags, its linter, and what it says of this package.
const OUTER: &[&str] = &[
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
    "RUSTFLAGS",
    "TARGET",
    "HOST",
    "PROFILE",
    "OPT_LEVEL",
    "DEBUG",
    "NUM_JOBS",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=PYRO_AGENT_PATH");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let agent = match env::var_os("PYRO_AGENT_PATH") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", PathBuf::from(&path).display());
            PathBuf::from(path)
        }
        // Not the file that is built here: it is always newer than this run, and would be built again every time.
        None => build_agent(&out)?,
    };
    let bytes = std::fs::read(&agent).map_err(|error| format!("reading {}: {error}", agent.display()))?;
    std::fs::write(out.join("pyro-agent"), &bytes)?;
    let mut digest = String::new();
    for byte in sha2::Sha256::digest(&bytes) {
        write!(digest, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=PYRO_AGENT_SHA256={digest}");
    Ok(())
}

fn build_agent(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let crates = here.parent().ok_or("this package has no parent folder")?;
    let workspace = crates.parent().ok_or("the packages have no parent folder")?;
    // Relative to this package, so that they mean this checkout even in a target folder that was copied from another one.
    for package in ["pyro-agent", "pyro-proto"] {
        println!("cargo::rerun-if-changed=../{package}/src");
        println!("cargo::rerun-if-changed=../{package}/Cargo.toml");
    }
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target = format!("{architecture}-unknown-linux-gnu");
    let target_dir = target_dir(out)?.join("guest");
    let mut command = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?);
    command.current_dir(workspace);
    for name in OUTER {
        command.env_remove(name);
    }
    // An explicit target keeps these flags from build scripts and procedural macros, which cannot be static.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.args(["build", "--quiet", "--package", "pyro-agent", "--profile", "guest", "--target", &target]);
    command.arg("--target-dir").arg(&target_dir);
    let status = command.status()?;
    if !status.success() {
        return Err(format!("building the guest agent failed ({status})").into());
    }
    Ok(target_dir.join(target).join("guest").join("pyro-agent"))
}

/// The outer cargo's target folder: OUT_DIR is `<target>[/<triple>]/<profile>/build/<package>/out`.
fn target_dir(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let build = out.ancestors().find(|path| path.file_name().is_some_and(|name| name == "build"));
    let profile = build.and_then(Path::parent).ok_or("OUT_DIR is not in a target folder")?;
    let parent = profile.parent().ok_or("OUT_DIR is not in a target folder")?;
    let is_triple = parent.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"));
    let target = if is_triple { parent.parent() } else { Some(parent) };
    Ok(target.ok_or("OUT_DIR is not in a target folder")?.to_owned())
}
