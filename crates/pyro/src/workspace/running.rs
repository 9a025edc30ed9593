//! What runs, and what it uses: every supervisor is asked at once, and one that does not answer spoils nothing. This file must
//! not change anything.

use super::control::connection;
use super::control::message::Request;
use super::control::message::StatusReply;
use super::error::StoreError;
use super::handle::Workspace;
use super::handle::Workspaces;
use crate::code::Coded as _;
use crate::code::chain;
use crate::work::Work;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a supervisor may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

impl Workspaces {
    /// The workspaces that are held, each with its processes and what they use, the last used first; and those that cannot be
    /// told anything about, each with its error.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn running(&self) -> Work<'_, Result<Vec<Value>, StoreError>> {
        Box::pin(async move {
            let mut asked = JoinSet::new();
            let mut found = Vec::new();
            for (index, listed) in self.list()?.into_iter().enumerate() {
                let workspace = self.open_listed(&listed);
                match listed.document {
                    Ok(_) if workspace.is_held() => {
                        drop(asked.spawn(async move { (index, workspace.usage().await) }));
                    }
                    Ok(_) => {}
                    Err(error) => found.push((index, broken(&workspace, error.code(), &chain(&error)))),
                }
            }
            while let Some(answer) = asked.join_next().await {
                found.extend(answer);
            }
            found.sort_by_key(|(index, _)| *index);
            Ok(found.into_iter().map(|(_, value)| value).collect())
        })
    }
}

impl Workspace {
    async fn usage(&self) -> Value {
        let request = Request::Status { guest: false, usage: true, settled: false };
        let call = connection::call_now::<StatusReply>(&self.config, &self.folder, request);
        match tokio::time::timeout(ANSWER_DEADLINE, call).await {
            Ok(Ok(reply)) => describe(&reply),
            Ok(Err(error)) => broken(self, error.code(), &chain(&error)),
            Err(_) => broken(self, crate::code::SUPERVISOR_FAILED, "its supervisor does not answer"),
        }
    }
}

fn describe(reply: &StatusReply) -> Value {
    let document = &reply.document;
    let uptime = super::document::UnixSeconds(reply.started_at).elapsed();
    json!({
        "workspace_id": document.workspace_id,
        "name": document.name,
        "environment": document.environment,
        "state": "started",
        "supervisor_pid": reply.supervisor_pid,
        "engine_pid": reply.engine_pid,
        "engine": reply.engine,
        "acceleration": reply.acceleration,
        "rss_kib": reply.usage.map(|usage| usage.rss_kib),
        "pss_kib": reply.usage.map(|usage| usage.pss_kib),
        "cpu_ms": reply.usage.map(|usage| usage.cpu_ms),
        "uptime_seconds": uptime.as_secs(),
        "running_jobs": reply.running_jobs,
    })
}

fn broken(workspace: &Workspace, code: &str, error: &str) -> Value {
    json!({ "workspace_id": workspace.id(), "state": "unknown", "code": code, "error": error })
}
