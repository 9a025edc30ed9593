//! What the host asks, one method for each. This file must not follow what it starts.

use crate::agent::Agent;
use crate::child::Work;
use crate::command::Command;
use crate::command::check_streams;
use crate::identity;
use crate::job::Job;
use crate::job::Killing;
use crate::job::Limits;
use crate::names::Names;
use crate::place::Kind;
use crate::poll::Part;
use crate::poll::Token;
use crate::refusal::refuse;
use crate::refusal::refuse_errno;
use crate::refusal::refuse_error;
use crate::secrets;
use crate::session::ENTROPY_BYTES_MAX;
use crate::spawn;
use crate::status;
use crate::stdio::window;
use crate::sys::signal;
use pyro_proto::Frame;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::PtySize;
use pyro_proto::exec::Stdio;
use pyro_proto::frame;
use pyro_proto::hello::Attach;
use pyro_proto::message;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::Incoming;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::Request;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::SignalTarget;
use pyro_proto::message::WireError;
use pyro_proto::tool::ToolSpec;
use rustix::process::Signal;
use std::time::Instant;

impl Agent {
    /// Takes one frame from the host.
    pub(crate) fn frame(&mut self, frame: &Frame) {
        if let Some(connection) = self.connections.of_stream(frame.stream) {
            return self.connection_frame(connection, frame);
        }
        match frame.kind {
            frame::Kind::Control => self.control(&frame.payload),
            frame::Kind::Data => self.data(frame),
            frame::Kind::Eof => self.end_of_input(frame),
            frame::Kind::Credit => self.credit(frame),
            frame::Kind::Reset => self.reset(frame),
        }
    }

    fn control(&mut self, payload: &[u8]) {
        match message::request_from_payload(payload) {
            Ok(Incoming::Request(request)) => self.request(request),
            Ok(Incoming::Unknown(request)) => {
                self.answer(
                    request,
                    Err(refuse(ErrorCode::Unsupported, "the agent does not know this message")),
                );
            }
            Err(error) => self.answer(0, Err(refuse_error(ErrorCode::BadRequest, &error))),
        }
    }

    fn request(&mut self, request: Request) {
        let id = request.request;
        if let Err(error) = self.session.admit(&request.body) {
            return self.answer(id, Err(error));
        }
        match request.body {
            RequestBody::Attach(attach) => match self.attach(attach) {
                Ok(attached) => self.say(id, ReplyBody::Attached(attached)),
                Err(error) => self.answer(id, Err(error)),
            },
            RequestBody::Exec(spec) => {
                if let Err(error) = self.exec(id, &spec) {
                    self.answer(id, Err(error));
                }
            }
            RequestBody::Connect(spec) => {
                if let Err(error) = self.connect(id, &spec) {
                    self.answer(id, Err(error));
                }
            }
            RequestBody::TakeOver { job, stdio } => {
                if let Err(error) = self.take_over(id, job, &stdio) {
                    self.answer(id, Err(error));
                }
            }
            RequestBody::LetGo => {
                self.let_go_of_jobs();
                self.answer(id, Ok(()));
            }
            RequestBody::Quiesce => self.quiesce(id),
            RequestBody::Shutdown => self.shut_down(id),
            RequestBody::Thaw => {
                let outcome = self.thaw();
                self.answer(id, outcome);
            }
            RequestBody::Signal { job, signal, target } => {
                let outcome = self.signal(job, signal, target);
                self.answer(id, outcome);
            }
            RequestBody::End { job } => {
                let outcome = self.end_job(job);
                self.answer(id, outcome);
            }
            RequestBody::Resize { job, cols, rows } => {
                let outcome = self.resize(job, PtySize { cols, rows });
                self.answer(id, outcome);
            }
            RequestBody::Clock { realtime_ns } => {
                let outcome = self.change_guest(|| identity::set_clock(realtime_ns));
                self.answer(id, outcome);
            }
            RequestBody::Entropy { bytes } => {
                let outcome = self.add_entropy(&bytes.0);
                self.answer(id, outcome);
            }
            RequestBody::PutSecret { name, value } => {
                let outcome = secrets::put(&self.place.secrets, &name, &value.0);
                self.answer(id, outcome.map_err(|error| refuse_error(ErrorCode::System, &error)));
            }
            RequestBody::DropSecrets => {
                let outcome = secrets::drop_all(&self.place.secrets);
                self.answer(id, outcome.map_err(|error| refuse_error(ErrorCode::System, &error)));
            }
            RequestBody::Tool(spec) => {
                if let Err(error) = self.tool(id, &spec) {
                    self.answer(id, Err(error));
                }
            }
            RequestBody::HoldDisk { ms_max } => {
                let outcome = self.hold_disk(ms_max);
                self.answer(id, outcome);
            }
            RequestBody::ReleaseDisk => {
                let outcome = self.release_disk();
                self.answer(id, outcome);
            }
            RequestBody::Ping => self.answer(id, Ok(())),
            RequestBody::Status => {
                self.say(id, ReplyBody::Status(status::now(self.jobs.count())));
            }
        }
    }

    fn attach(&mut self, attach: Attach) -> Result<pyro_proto::hello::Attached, WireError> {
        let protocol = self.session.check(&attach)?;
        let began = Instant::now();
        if let Some(identity) = &attach.identity {
            self.open_disk(attach.open_disk.as_deref())?;
            // What an identity changes are files on that disk too.
            self.let_go_of_disk();
            self.change_guest(|| identity::apply(identity))?;
            self.unfreeze()?;
        }
        let keep_jobs = attach.keep_jobs;
        let mut attached = self.session.accept(attach, protocol);
        if let Err(error) = self.keep_session() {
            self.session.detach();
            return Err(error);
        }
        if !keep_jobs {
            self.let_go_of_jobs();
        }
        self.look_at_all_jobs();
        attached.setup_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(attached)
    }

    fn open_disk(&self, device: Option<&str>) -> Result<(), WireError> {
        let Some(device) = device.filter(|_| self.place.kind == Kind::Guest) else { return Ok(()) };
        if self.jobs.count() > 0 || !is_disk(device) {
            return Err(refuse(ErrorCode::BadRequest, format!("{device} cannot be opened now")));
        }
        crate::init::open_disk(device).map_err(|error| refuse_error(ErrorCode::System, &error))
    }

    fn add_entropy(&self, bytes: &[u8]) -> Result<(), WireError> {
        if bytes.is_empty() || bytes.len() > ENTROPY_BYTES_MAX {
            let text = format!("entropy comes in 1 to {ENTROPY_BYTES_MAX} bytes");
            return Err(refuse(ErrorCode::BadRequest, text));
        }
        self.change_guest(|| identity::add_entropy(bytes))
    }

    /// Changes the system where it is the guest's own; on a host, does nothing and says it is done.
    fn change_guest(
        &self,
        change: impl FnOnce() -> Result<(), identity::IdentityError>,
    ) -> Result<(), WireError> {
        match self.place.kind {
            Kind::Guest => change().map_err(|error| refuse_error(ErrorCode::System, &error)),
            Kind::Host => Ok(()),
        }
    }

    fn exec(&mut self, request: RequestId, spec: &ExecSpec) -> Result<(), WireError> {
        if self.stillness.is_shutting_down() {
            return Err(refuse(ErrorCode::Quiesced, "the guest is shutting down"));
        }
        self.jobs.admit(request, &spec.stdio)?;
        let command = Command::new(spec, &self.place.defaults)?;
        let limits = Limits {
            timeout_ms: spec.timeout_ms,
            kill_grace_ms: spec.kill_grace_ms,
            left_grace_ms: spec.left_grace_ms,
        };
        self.start_job(request, Names::of(spec), Work::Program(&command), &spec.stdio, limits)
    }

    fn tool(&mut self, request: RequestId, spec: &ToolSpec) -> Result<(), WireError> {
        if self.stillness.is_shutting_down() {
            return Err(refuse(ErrorCode::Quiesced, "the guest is shutting down"));
        }
        if self.hold.is_held() && spec.tool.writes() {
            // It would hang in the kernel, where nothing can end it.
            return Err(refuse(ErrorCode::Busy, "writes to the guest's disk are held"));
        }
        if spec.stdio.pty.is_some() || spec.stdio.stderr_stream.is_some() {
            return Err(refuse(ErrorCode::BadRequest, "a tool has no terminal and no standard error"));
        }
        check_streams(&spec.stdio)?;
        self.jobs.admit(request, &spec.stdio)?;
        let limits = Limits { timeout_ms: spec.timeout_ms, ..Limits::default() };
        self.start_job(
            request,
            Names::of_tool(&spec.tool),
            Work::Tool(&spec.tool, self.place.kind),
            &spec.stdio,
            limits,
        )
    }

    fn start_job(
        &mut self,
        request: RequestId,
        names: Names,
        work: Work<'_>,
        stdio: &Stdio,
        limits: Limits,
    ) -> Result<(), WireError> {
        let name = names.program.clone();
        let spawned = spawn::spawn(&name, work, stdio, &self.place.inheritance, self.place.groups.as_mut())?;
        let id = self.jobs.insert(request, Job::new(request, names, stdio, limits, spawned));
        let Some(job) = self.jobs.get(id) else { return Ok(()) };
        let mut parts = job.descriptors();
        let watched = parts.try_for_each(|(fd, part)| self.poller.add(fd, Token::Job(id, part)));
        drop(parts);
        let Err(errno) = watched else { return Ok(()) };
        job.kill();
        self.jobs.release(id);
        Err(refuse_errno(ErrorCode::LimitReached, &format!("watching {name}"), errno))
    }

    fn take_over(&mut self, request: RequestId, job: RequestId, stdio: &Stdio) -> Result<(), WireError> {
        check_streams(stdio)?;
        self.jobs.admit_names(request, stdio)?;
        let id = self.jobs.waiting(job, stdio)?;
        let Some(job) = self.jobs.get_mut(id) else { return Ok(()) };
        let credit = job.go_on(request, stdio, &mut self.channel);
        // One that is only beginning is told of when it has begun.
        let pid = job.main();
        self.jobs.name(request, id);
        if let Some(pid) = pid {
            self.say(request, ReplyBody::Started { pid: pid.as_raw_nonzero().get().unsigned_abs() });
        }
        if let Some(credit) = credit {
            self.channel.send_credit(stdio.stream, credit);
        }
        self.feed(id);
        self.job_changed(id);
        Ok(())
    }

    fn let_go_of_jobs(&mut self) {
        self.jobs.orphan_parked();
        self.see_to_all_jobs();
    }

    fn signal(&self, request: RequestId, number: i32, target: SignalTarget) -> Result<(), WireError> {
        let Some(signal) = signal::from_number(number) else {
            return Err(refuse(ErrorCode::BadRequest, format!("{number} is not a signal")));
        };
        let job = self.jobs.named(request)?;
        if target == SignalTarget::Tree && signal == Signal::KILL && job.tree.is_some() {
            // Those being born are reached too, and the one that has not begun yet.
            job.kill();
            return Ok(());
        }
        let Some(main) = job.living_main() else {
            return Err(refuse(ErrorCode::NoSuchJob, format!("job {request} is not running")));
        };
        if target == SignalTarget::Tree {
            job.signal_tree(signal);
            return Ok(());
        }
        let foreground = job.terminal.as_ref().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
        rustix::process::kill_process_group(foreground.unwrap_or(main), signal).map_err(|errno| {
            refuse_errno(ErrorCode::System, &format!("sending signal {number} to job {request}"), errno)
        })
    }

    fn end_job(&mut self, request: RequestId) -> Result<(), WireError> {
        let id = self.jobs.id_of(request)?;
        if let Some(job) = self.jobs.get_mut(id)
            && job.killing == Killing::No
        {
            job.kill_further(Instant::now());
        }
        self.job_changed(id);
        Ok(())
    }

    fn resize(&self, request: RequestId, size: PtySize) -> Result<(), WireError> {
        let Some(terminal) = &self.jobs.named(request)?.terminal else {
            return Err(refuse(ErrorCode::BadRequest, format!("job {request} has no terminal")));
        };
        rustix::termios::tcsetwinsize(terminal, window(size)).map_err(|errno| {
            refuse_errno(ErrorCode::System, &format!("resizing the terminal of job {request}"), errno)
        })
    }

    fn data(&mut self, frame: &Frame) {
        // Frames of streams that have ended meanwhile are still under way when they end.
        let Some((id, Part::Output, job)) = self.jobs.of_stream(frame.stream) else { return };
        let Some(input) = &mut job.input else { return };
        match input.receive(&frame.payload) {
            Ok(()) => self.feed(id),
            Err(error) => {
                input.close();
                job.output.abandon();
                self.channel.send_reset(frame.stream, &error.to_string());
                self.job_changed(id);
            }
        }
    }

    fn end_of_input(&mut self, frame: &Frame) {
        if let Some((id, Part::Output, job)) = self.jobs.of_stream(frame.stream) {
            if let Some(input) = &mut job.input {
                input.end();
            }
            self.feed(id);
        }
    }

    fn credit(&mut self, frame: &Frame) {
        let Some((id, part, job)) = self.jobs.of_stream(frame.stream) else { return };
        let Some(output) = job.lane(part) else { return };
        let granted = frame.credit_bytes().map(|bytes| output.grant(bytes));
        match granted {
            Some(Ok(())) => self.want_turn(id, part),
            Some(Err(error)) => {
                output.abandon();
                self.channel.send_reset(frame.stream, &error.to_string());
                self.job_changed(id);
            }
            None => {}
        }
    }

    fn reset(&mut self, frame: &Frame) {
        let Some((id, part, job)) = self.jobs.of_stream(frame.stream) else { return };
        if let Some(output) = job.lane(part) {
            output.abandon();
        }
        if part == Part::Output
            && let Some(input) = &mut job.input
        {
            input.close();
        }
        self.job_changed(id);
    }
}

/// A block device of the kind guests have.
fn is_disk(device: &str) -> bool {
    device
        .strip_prefix("/dev/vd")
        .is_some_and(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
}
