//! The folders of the host that a client says it works on. They are asked for when they are first needed, and again when the
//! client says that they changed. A client that names none, or does not answer, has none. This file must not use them.

use crate::operations::Root;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a client may take to say.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What a client has said.
#[derive(Debug, Default)]
pub(super) struct ClientRoots {
    known: Mutex<Option<Vec<Root>>>,
}

impl ClientRoots {
    /// The folders, which are held open from the first time on.
    pub(super) async fn get(&self, context: &RequestContext<RoleServer>) -> Vec<Root> {
        let mut known = self.known.lock().await;
        if let Some(roots) = known.as_ref() {
            return roots.clone();
        }
        let roots = ask(context).await;
        *known = Some(roots.clone());
        roots
    }

    /// They are others now.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }
}

#[expect(
    deprecated,
    reason = "clients of the revisions before 2026-07-28 have roots, and those after it have not"
)]
async fn ask(context: &RequestContext<RoleServer>) -> Vec<Root> {
    if context.client_capabilities().is_none_or(|client| client.roots.is_none()) {
        return Vec::new();
    }
    let asked = tokio::time::timeout(ANSWER_DEADLINE, context.peer.list_roots()).await;
    let Ok(Ok(listed)) = asked else { return Vec::new() };
    let folders = listed.roots.iter().filter_map(|root| path(&root.uri));
    folders.filter_map(|folder| Root::open(&folder).ok()).collect()
}

/// The path of a `file://` address of this host.
fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    rest.starts_with('/').then(|| super::resources::decoded(rest).map(PathBuf::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_this_host_are_roots() {
        assert_eq!(path("file:///home/me/a%20b"), Some("/home/me/a b".into()));
        assert_eq!(path("file://localhost/x"), Some("/x".into()));
        for none in ["file://elsewhere/x", "https://a/b", "/plain", "file://x"] {
            assert_eq!(path(none), None, "{none}");
        }
    }
}
