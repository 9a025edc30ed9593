//! `pyro events`.

use crate::commands::workspace::all;
use crate::commands::workspace::block_on;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::signals;
use pyro::code;
use pyro::workspace::event;
use pyro::workspace::event::Follower;
use pyro::workspace::event::LifecycleEvent;
use serde_json::json;
use std::io;

/// Show what happened to workspaces: made, started, stopped and why, reset, forked, deleted, commands and snapshots.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only what happens from now on, as it happens, until interrupted.
    #[arg(long, short = 'f')]
    follow: bool,

    /// With --follow: begin with what has happened so far.
    #[arg(long, requires = "follow")]
    all: bool,

    /// Only of this workspace, by id or name.
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<String>,

    /// Print one JSON object per line.
    #[arg(long)]
    json_lines: bool,

    /// Print one JSON object with all events so far.
    #[arg(long, conflicts_with_all = ["follow", "json_lines"])]
    json: bool,
}

impl Events {
    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let all = all(engine, exit::FAILED)?;
        let config = all.config();
        // One that is deleted by now has its events all the same.
        let of = self.workspace.as_ref().map(|given| {
            all.find(given).map_or_else(|_| given.clone(), |workspace| workspace.id().to_string())
        });
        let is_wanted =
            |event: &LifecycleEvent| of.as_ref().is_none_or(|id| event.workspace_id.as_str() == id);
        let (events, offset) = event::read(config, 0).map_err(|error| unreadable(&error))?;
        let shown: Vec<&LifecycleEvent> = events.iter().filter(|event| is_wanted(event)).collect();
        if self.json {
            output::json(&json!({ "count": shown.len(), "events": shown }));
            return Ok(exit::OK);
        }
        if !self.follow || self.all {
            shown.iter().for_each(|event| self.show(event));
        }
        if !self.follow {
            return Ok(exit::OK);
        }
        block_on(async {
            let mut follower = Follower::new(config, offset)?;
            let mut interrupts = signals::listen();
            loop {
                tokio::select! {
                    events = follower.next() => {
                        events?.iter().filter(|event| is_wanted(event)).for_each(|event| self.show(event));
                    }
                    _ = interrupts.recv() => return Ok(exit::OK),
                }
            }
        })?
        .map_err(|error: io::Error| unreadable(&error))
    }

    fn show(&self, event: &LifecycleEvent) {
        if self.json_lines {
            output::json_line(event);
            return;
        }
        let detail = event.detail.as_ref().map(|detail| format!(" detail={detail}")).unwrap_or_default();
        output::line(&format!(
            "[event] time={:.3} event={} workspace_id={}{detail}",
            event.time.0, event.event, event.workspace_id
        ));
    }
}

fn unreadable(error: &io::Error) -> Failure {
    let hint = "check the state folder's owner";
    Failure::plain(code::STATE_IO, format!("reading the events: {error}"), hint, exit::FAILED)
}
