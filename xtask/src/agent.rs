//! Checks the agent that pyro-image was built with: static, and small enough to be in every guest. It must not build
//! one; pyro-image's build script does, so that plain cargo commands suffice.

use crate::elf;
use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;

/// Every guest maps the agent, so it stays under 2 MB.
const SIZE_BYTES_MAX: usize = 2_000_000;

/// What is wrong with the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("reading the agent as an executable")]
    Malformed(#[from] elf::ElfError),
    #[error("the agent is linked dynamically, so it would need libraries inside every guest")]
    Dynamic,
    #[error("the agent has {bytes} bytes, and {SIZE_BYTES_MAX} is the most it may have")]
    TooLarge { bytes: usize },
    #[error("writing the agent to {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Checks the agent, writes it to `out` if that is given, and describes it.
pub(crate) fn run(out: Option<&Path>, json: bool) -> Result<String, AgentError> {
    let agent = pyro_image::agent::AGENT;
    check(agent)?;
    if let Some(path) = out {
        std::fs::write(path, agent).map_err(|source| AgentError::Write { path: path.to_owned(), source })?;
    }
    Ok(describe(out, agent.len(), pyro_image::agent::AGENT_SHA256, json))
}

fn check(agent: &[u8]) -> Result<(), AgentError> {
    if elf::has_interpreter(agent)? {
        return Err(AgentError::Dynamic);
    }
    if agent.len() > SIZE_BYTES_MAX {
        return Err(AgentError::TooLarge { bytes: agent.len() });
    }
    Ok(())
}

fn describe(out: Option<&Path>, size_bytes: usize, sha256: &str, json: bool) -> String {
    if json {
        return format!(
            "{}\n",
            serde_json::json!({ "path": out, "size_bytes": size_bytes, "sha256": sha256 })
        );
    }
    let mut text = format!("agent: static, {size_bytes} bytes, sha256 {sha256}\n");
    if let Some(path) = out {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "written to {}", path.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_of_this_build_may_ship() {
        let text = run(None, true).unwrap();
        assert!(text.contains(pyro_image::agent::AGENT_SHA256), "{text}");
    }

    #[test]
    fn an_agent_that_would_need_libraries_may_not() {
        let this_test = std::fs::read("/proc/self/exe").unwrap();
        assert!(matches!(check(&this_test), Err(AgentError::Dynamic)));
    }

    #[test]
    fn an_agent_that_grew_too_large_may_not() {
        let mut agent = pyro_image::agent::AGENT.to_vec();
        agent.resize(SIZE_BYTES_MAX + 1, 0);
        assert!(matches!(check(&agent), Err(AgentError::TooLarge { .. })));
    }
}
