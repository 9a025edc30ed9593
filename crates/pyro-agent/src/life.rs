//! What happens to jobs: they start, write, end, run out of time and disappear. This file must not read requests.

use crate::agent::Agent;
use crate::job::Job;
use crate::job::Killing;
use crate::job::Phase;
use crate::job::Start;
use crate::poll::JobId;
use crate::poll::Part;
use crate::spawn::explain;
use crate::tree::Tree;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use std::time::Instant;

impl Agent {
    /// A descriptor of a job became ready.
    pub(crate) fn job_event(&mut self, id: JobId, part: Part, readable: bool) {
        if self.session.is_quiesced() {
            // Nothing is said until the guest goes on; then every job is looked at.
            return;
        }
        match part {
            Part::Status if readable => self.job_started(id),
            Part::Process | Part::Report if readable => self.job_ended(id),
            Part::Output | Part::Error if readable => {
                if let Some(output) = self.jobs.get_mut(id).and_then(|job| job.lane(part)) {
                    output.note_readable();
                }
            }
            _ => {}
        }
        if matches!(part, Part::Input | Part::Output) {
            self.feed(id);
        }
        self.job_changed(id);
    }

    /// Makes up for the events that were not acted on while the guest was at rest.
    pub(crate) fn look_at_all_jobs(&mut self) {
        for id in self.jobs.ids() {
            for part in [Part::Process, Part::Output, Part::Error] {
                self.job_event(id, part, true);
            }
        }
        self.look_at_all_connections();
    }

    /// Moves what the host sent into the command, and grants the host as much again.
    pub(crate) fn feed(&mut self, id: JobId) {
        if self.session.is_quiesced() {
            return;
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let hosted = job.request.is_some();
        let Some(input) = &mut job.input else { return };
        let taken = input.pump();
        if let Some((fd, wanted)) = input.room_wanted() {
            self.poller.watch_room(fd, id, wanted);
        }
        if let Some(bytes) = taken
            && hosted
        {
            self.channel.send_credit(input.stream(), bytes);
        }
    }

    fn job_started(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        match job.check_start() {
            Start::Pending => {}
            Start::Done(pid) => {
                if let Some(request) = job.request {
                    self.say(request, ReplyBody::Started { pid: pid.as_raw_nonzero().get().unsigned_abs() });
                }
            }
            Start::Failed(failure) => {
                job.abandon_outputs();
                let (request, error) = (job.request, explain(failure, &job.names));
                self.jobs.release(id);
                if let Some(request) = request {
                    self.answer(request, Err(error));
                }
            }
        }
    }

    fn job_ended(&mut self, id: JobId) {
        // The end may be seen before the start.
        self.job_started(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.phase != Phase::Starting && job.check_end() {
            job.note_end();
        }
    }

    /// Does everything that a change of a job makes possible.
    pub(crate) fn job_changed(&mut self, id: JobId) {
        self.reclaim_group(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.settle();
        if job.phase != Phase::Starting {
            self.want_turn(id, Part::Output);
            self.want_turn(id, Part::Error);
        }
        self.tell_exit(id);
        if self.jobs.get(id).is_some_and(Job::is_gone) {
            self.jobs.remove(id);
        }
    }

    fn tell_exit(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let request = job.request;
        if job.parked.is_some() || (self.session.is_quiesced() && request.is_some()) {
            return;
        }
        let Some(exit) = job.take_exit() else { return };
        self.jobs.release(id);
        if let Some(request) = request {
            self.channel.send_after_data(&Reply { request, body: ReplyBody::Exited(exit) });
        }
    }

    /// Takes back the control group of a job whose processes are all gone; of others, asks to hear when they are.
    fn reclaim_group(&mut self, id: JobId) {
        let (Some(groups), Some(job)) = (&mut self.place.groups, self.jobs.get_mut(id)) else { return };
        if !job.is_reaped() {
            return;
        }
        let Some(Tree::Group(group)) = &job.tree else { return };
        if group.is_empty() {
            groups.unwatch(id);
            if let Some(Tree::Group(group)) = job.tree.take() {
                groups.give_back(group);
            }
        } else if !groups.is_watched(id) {
            // Without the watch the group is looked at again whenever something else happens to the job.
            let _ = groups.watch(id, group);
        }
    }

    /// Some job's last process ended, or everything is frozen.
    pub(crate) fn groups_changed(&mut self) {
        let changed = self.place.groups.as_mut().map(crate::groups::Groups::changed).unwrap_or_default();
        for id in changed {
            self.job_changed(id);
        }
    }

    /// Ends jobs whose time is over, step by step.
    pub(crate) fn meet_deadlines(&mut self) {
        if self.session.is_quiesced() {
            return;
        }
        let now = Instant::now();
        for id in self.jobs.due(now) {
            if let Some(job) = self.jobs.get_mut(id) {
                if job.killing == Killing::No {
                    job.time_out();
                }
                job.kill_further(now);
            }
            self.job_changed(id);
        }
    }

    /// Kills every process of every job and waits until the agent's own children are gone.
    pub(crate) fn kill_everything(&mut self) {
        for id in self.jobs.ids() {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            job.kill();
            job.wait_for_child();
        }
    }
}
