//! Bringing the guest to rest: frozen and flushed for a snapshot, or ended for good. This file must not power off.

use crate::agent::Agent;
use crate::disks;
use crate::place::Kind;
use crate::refusal::refuse;
use crate::refusal::refuse_errno;
use crate::refusal::refuse_error;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use std::time::Duration;
use std::time::Instant;

/// Longest wait for every process to stop: one may be in the middle of a long write.
const FREEZE_WAIT: Duration = Duration::from_secs(10);

/// What the guest is on its way to.
#[derive(Debug, Default)]
pub(crate) enum Stillness {
    #[default]
    Not,
    /// Processes are being frozen.
    Freezing { request: Option<RequestId>, until: Instant },
    /// Jobs are being ended.
    Ending { request: Option<RequestId> },
}

impl Stillness {
    /// When to look again although nothing happened.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Freezing { until, .. } => Some(*until),
            _ => None,
        }
    }

    pub(crate) const fn is_shutting_down(&self) -> bool {
        matches!(self, Self::Ending { .. })
    }

    /// Whoever asked is gone; what was asked goes on.
    pub(crate) const fn forget_host(&mut self) {
        match self {
            Self::Not => {}
            Self::Freezing { request, .. } | Self::Ending { request } => *request = None,
        }
    }
}

impl Agent {
    /// Begins to bring everything to rest for a snapshot.
    pub(crate) fn quiesce(&mut self, request: RequestId) {
        let (Kind::Guest, Some(groups)) = (self.place.kind, &mut self.place.groups) else {
            return self
                .answer(request, Err(refuse(ErrorCode::Unsupported, "there is nothing to freeze with")));
        };
        if self.stillness.is_shutting_down() {
            return self.answer(request, Err(refuse(ErrorCode::Quiesced, "the guest is shutting down")));
        }
        if let Err(errno) = groups.freeze() {
            return self.answer(request, Err(refuse_errno(ErrorCode::System, "freezing processes", errno)));
        }
        self.let_go_of_disk();
        // From here on nothing is started and no output is taken, so that nothing follows the answer.
        self.session.quiesce();
        if let Err(error) = self.keep_session() {
            // Already failing: that failure is the one to tell.
            let _ = self.thaw();
            return self.answer(request, Err(error));
        }
        self.stillness = Stillness::Freezing { request: Some(request), until: Instant::now() + FREEZE_WAIT };
    }

    /// Goes on with what was begun; true when the guest is to be powered off.
    pub(crate) fn advance_stillness(&mut self) -> bool {
        match self.stillness {
            Stillness::Not => false,
            Stillness::Freezing { request, until } => {
                self.advance_freeze(request, until);
                false
            }
            // Their last words go first, as far as the host takes them.
            Stillness::Ending { request } => {
                self.jobs.all_dead() && self.jobs.all_said() && self.end(request)
            }
        }
    }

    fn advance_freeze(&mut self, request: Option<RequestId>, until: Instant) {
        let frozen = self.place.groups.as_ref().is_some_and(crate::groups::Groups::is_frozen);
        if !frozen && Instant::now() < until {
            return;
        }
        self.stillness = Stillness::Not;
        let outcome = if frozen {
            disks::flush().map_err(|error| refuse_error(ErrorCode::System, &error))
        } else {
            Err(refuse(ErrorCode::System, "processes could not be frozen in time"))
        };
        if outcome.is_err() {
            // Already failing: that failure is the one to tell.
            let _ = self.thaw();
        }
        let body = outcome.map_or_else(ReplyBody::Failed, |()| ReplyBody::Done);
        if let Some(request) = request {
            self.channel.send_after_data(&Reply { request, body });
        }
    }

    /// Lets the guest go on as itself.
    pub(crate) fn thaw(&mut self) -> Result<(), WireError> {
        self.unfreeze()?;
        self.session.thaw();
        self.look_at_all_jobs();
        self.keep_session()
    }

    /// Lets frozen processes go on, if there are any.
    pub(crate) fn unfreeze(&mut self) -> Result<(), WireError> {
        if matches!(self.stillness, Stillness::Freezing { .. }) {
            self.stillness = Stillness::Not;
        }
        match &mut self.place.groups {
            Some(groups) => groups
                .unfreeze()
                .map_err(|errno| refuse_errno(ErrorCode::System, "letting processes go on", errno)),
            _ => Ok(()),
        }
    }

    /// Begins to end everything.
    pub(crate) fn shut_down(&mut self, request: RequestId) {
        self.let_go_of_disk();
        self.stillness = Stillness::Ending { request: Some(request) };
        let now = Instant::now();
        for id in self.jobs.ids() {
            if let Some(job) = self.jobs.get_mut(id) {
                job.kill_further(now);
            }
            self.job_changed(id);
        }
    }

    fn end(&mut self, request: Option<RequestId>) -> bool {
        let outcome = match self.place.kind {
            Kind::Guest => disks::put_away().map_err(|error| refuse_error(ErrorCode::System, &error)),
            Kind::Host => Ok(()),
        };
        if let Some(request) = request {
            let body = outcome.map_or_else(ReplyBody::Failed, |()| ReplyBody::Done);
            self.channel.send_after_data(&Reply { request, body });
            // A host that is gone does not need the answer.
            let _ = self.flush_finally();
        }
        true
    }
}
