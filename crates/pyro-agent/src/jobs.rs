//! All jobs, and the host's names for them and their streams. This file must not run them.

use crate::job::Job;
use crate::job::Phase;
use crate::poll::JobId;
use crate::poll::Part;
use crate::refusal::refuse;
use pyro_proto::StreamId;
use pyro_proto::exec::Stdio;
use pyro_proto::limits::JOBS_MAX;
use pyro_proto::limits::STREAMS_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use std::collections::BTreeMap;
use std::time::Instant;

/// Every job the agent has not forgotten.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: BTreeMap<JobId, Job>,
    by_request: BTreeMap<RequestId, JobId>,
    by_stream: BTreeMap<StreamId, (JobId, Part)>,
    numbered: JobId,
}

impl Jobs {
    /// Whether one more may be started under these names.
    pub(crate) fn admit(&self, request: RequestId, stdio: &Stdio) -> Result<(), WireError> {
        if self.all.len() >= JOBS_MAX {
            return Err(refuse(ErrorCode::LimitReached, format!("{JOBS_MAX} jobs are alive already")));
        }
        self.admit_names(request, stdio)
    }

    /// Whether these names are free.
    pub(crate) fn admit_names(&self, request: RequestId, stdio: &Stdio) -> Result<(), WireError> {
        let streams = [Some(stdio.stream), stdio.stderr_stream];
        let in_use = |stream: &StreamId| self.by_stream.contains_key(stream);
        if self.by_request.contains_key(&request) || streams.iter().flatten().any(in_use) {
            return Err(refuse(
                ErrorCode::BadRequest,
                format!("request {request} or one of its streams is in use"),
            ));
        }
        if self.by_stream.len() + 2 > STREAMS_MAX {
            return Err(refuse(ErrorCode::LimitReached, format!("{STREAMS_MAX} streams are open already")));
        }
        Ok(())
    }

    /// Adds a job under the host's names for it.
    pub(crate) fn insert(&mut self, request: RequestId, job: Job) -> JobId {
        self.numbered += 1;
        let id = self.numbered;
        self.all.insert(id, job);
        self.name(request, id);
        id
    }

    /// Notes the host's names for a job and its streams.
    pub(crate) fn name(&mut self, request: RequestId, id: JobId) {
        let Some(job) = self.all.get(&id) else { return };
        self.by_request.insert(request, id);
        self.by_stream.insert(job.output.stream(), (id, Part::Output));
        if let Some(error) = &job.error {
            self.by_stream.insert(error.stream(), (id, Part::Error));
        }
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&Job> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.all.get_mut(&id)
    }

    /// The job the host means.
    pub(crate) fn named(&self, request: RequestId) -> Result<&Job, WireError> {
        let job = self.id_of(request).ok().and_then(|id| self.all.get(&id));
        job.ok_or_else(|| no_such_job(request))
    }

    /// Our number for the job the host means.
    pub(crate) fn id_of(&self, request: RequestId) -> Result<JobId, WireError> {
        self.by_request.get(&request).copied().ok_or_else(|| no_such_job(request))
    }

    /// The job and the part a stream belongs to.
    pub(crate) fn of_stream(&mut self, stream: StreamId) -> Option<(JobId, Part, &mut Job)> {
        let (id, part) = *self.by_stream.get(&stream)?;
        self.all.get_mut(&id).map(|job| (id, part, job))
    }

    /// The host was told the end of a job: its names are free again.
    pub(crate) fn release(&mut self, id: JobId) {
        let Some(job) = self.all.get_mut(&id) else { return };
        if let Some(request) = job.request.take() {
            self.by_request.remove(&request);
            self.by_stream.remove(&job.output.stream());
            if let Some(error) = &job.error {
                self.by_stream.remove(&error.stream());
            }
        }
    }

    /// The host is gone: every name is free again, and every job of its waits for whoever asks for it.
    pub(crate) fn park_all(&mut self) {
        self.by_request.clear();
        self.by_stream.clear();
        self.all.values_mut().for_each(Job::park);
    }

    /// Nobody asks for the jobs that wait any more: they run on.
    pub(crate) fn orphan_parked(&mut self) {
        self.all.values_mut().filter(|job| job.parked.is_some()).for_each(Job::orphan);
    }

    /// The job that waits under the name which the host before had for it, if it has these streams.
    pub(crate) fn waiting(&self, name: RequestId, stdio: &Stdio) -> Result<JobId, WireError> {
        let found = self.all.iter().find(|(_, job)| job.parked == Some(name) && job.phase != Phase::Over);
        let (id, job) = found.ok_or_else(|| no_such_job(name))?;
        if !job.has_streams(stdio) {
            return Err(refuse(ErrorCode::BadRequest, format!("job {name} has other streams")));
        }
        Ok(*id)
    }

    pub(crate) fn remove(&mut self, id: JobId) -> Option<Job> {
        self.all.remove(&id)
    }

    pub(crate) fn ids(&self) -> Vec<JobId> {
        self.all.keys().copied().collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn all_dead(&self) -> bool {
        self.all.values().all(Job::is_dead)
    }

    /// Whether what jobs have written is on its way to the host, as far as it takes that.
    pub(crate) fn all_said(&self) -> bool {
        self.all.values().all(Job::is_said)
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.all.values().filter_map(|job| job.deadline).min()
    }

    /// Jobs whose deadline has come.
    pub(crate) fn due(&self, now: Instant) -> Vec<JobId> {
        let due = |job: &Job| job.deadline.is_some_and(|deadline| deadline <= now);
        self.all.iter().filter(|(_, job)| due(job)).map(|(id, _)| *id).collect()
    }
}

fn no_such_job(request: RequestId) -> WireError {
    refuse(ErrorCode::NoSuchJob, format!("there is no job {request}"))
}
