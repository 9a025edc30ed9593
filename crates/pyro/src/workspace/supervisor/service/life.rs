//! One service from its start to its end: a task that launches it, tries whether it is ready, watches it, ends it, and starts it
//! again. This file must not answer a client.
//!
//! ```text
//!   launched -- probe, for as long as it may take --> ready, ports published -- probed for health --> ended
//!      \-- ended, time up, port taken --> failed                                  failed: pause, launched again
//! ```

use super::Service;
use super::Supervisor;
use super::probe;
use crate::code;
use crate::code::chain;
use crate::guest::Exec;
use crate::guest::ExecStreams;
use crate::guest::GuestError;
use crate::guest::StreamReader;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::service::Backoff;
use crate::workspace::service::Change;
use crate::workspace::service::Exit;
use crate::workspace::service::RestartPolicy;
use crate::workspace::service::ServiceState;
use crate::workspace::service::stop_reason;
use crate::workspace::supervisor::InUse;
use crate::workspace::supervisor::redacted::RedactedReader;
use pyro_proto::ByteString;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use pyro_proto::message::SignalTarget;
use serde_json::Value;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a service without a probe must have run to count as ready, and any other to count as ready whatever its probe says:
/// what it looks for may be left from the time before.
const SETTLE: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(500)];

/// Time between TERM and KILL for one that failed, and for what one that ended by itself has left.
pub(super) const FAILED_GRACE: Duration = Duration::from_secs(10);

/// How long killing may take; a process may hang in the guest's kernel.
pub(super) const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// From one KILL to the next: a process that was just made may have missed the one before.
const KILL_EVERY: Duration = Duration::from_millis(100);

/// How long the last output of an ended service may be on its way.
pub(super) const PUMP_DEADLINE: Duration = Duration::from_secs(2);

const KILL: i32 = 9;

type Exits = Pin<Box<dyn Future<Output = Result<ExecExit, GuestError>> + Send>>;

/// How one run of a service came to its end.
#[derive(Clone, Debug, PartialEq)]
enum End {
    /// As it was asked to.
    Stopped { reason: &'static str, exit: Exit },
    /// It was never ready.
    NotReady { reason: &'static str, exit: Exit, error: Option<String> },
    /// By itself, after it had been ready for so long.
    Exited { exit: Exit, ready_for: Duration },
    /// With its guest.
    GuestLost { error: String },
}

/// What follows from that.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    Over(Change),
    Again { failed: Change, ready_for: Duration },
}

/// `was_ready`: in this run or an earlier one. What never worked is not tried again: whoever starts it is told.
fn next(end: End, policy: RestartPolicy, was_ready: bool) -> Next {
    let again = policy == RestartPolicy::OnFailure && was_ready;
    let over = |state, reason, exit, error| Next::Over(Change::Over { state, reason, exit, error });
    match end {
        End::Stopped { reason, exit } => over(ServiceState::Stopped, Some(reason), exit, None),
        End::GuestLost { error } => {
            let reason = Some(stop_reason::WORKSPACE_STOPPED);
            over(ServiceState::Stopped, reason, Exit::default(), Some(error))
        }
        End::NotReady { exit, error, .. } if again => {
            Next::Again { failed: Change::Failed { exit, error }, ready_for: Duration::ZERO }
        }
        End::NotReady { reason, exit, error } => over(ServiceState::Failed, Some(reason), exit, error),
        End::Exited { exit, ready_for } if again && exit.code != Some(0) => {
            Next::Again { failed: Change::Failed { exit, error: None }, ready_for }
        }
        End::Exited { exit, .. } => over(ServiceState::Exited, None, exit, None),
    }
}

/// Runs a service until it is over, or its workspace is paused; it goes on with `kept`, its process from before a pause, if there
/// is one. It counts as use of the workspace, as every command does.
pub(super) async fn live(
    supervisor: Arc<Supervisor>,
    service: Arc<Service>,
    in_use: InUse,
    mut kept: Option<Result<Exec, GuestError>>,
) {
    let mut backoff = Backoff::new();
    let over = loop {
        let end = match kept.take() {
            Some(Ok(exec)) => go_on(&supervisor, &service, exec).await,
            Some(Err(error)) => lost(&error),
            None => run(&supervisor, &service).await,
        };
        if matches!(end, End::GuestLost { .. }) && supervisor.is_suspending() {
            return service.part();
        }
        let was_ready = matches!(end, End::Exited { .. }) || service.record().restart_count > 0;
        let (failed, ready_for) = match next(end, service.spec.restart, was_ready) {
            Next::Over(over) => break over,
            Next::Again { failed, ready_for } => (failed, ready_for),
        };
        service.apply(failed);
        note(&supervisor, "service_restarting", service.record().service_name.to_string());
        tokio::select! {
            () = tokio::time::sleep(backoff.pause(ready_for)) => {}
            () = service.stop_asked() => {}
            () = supervisor.parted() => {}
        }
    };
    service.over(over);
    let record = service.record();
    let word = |value: Value| value.as_str().unwrap_or("-").to_owned();
    let (state, reason) = (word(json!(record.state)), word(json!(record.stop_reason)));
    note(&supervisor, "service_ended", format!("{} {state} {reason}", record.service_name));
    drop(in_use);
}

fn note(supervisor: &Supervisor, event: &str, detail: String) {
    event::note(&supervisor.config, supervisor.folder.id(), event, Some(detail));
}

/// One process of a service.
async fn run(supervisor: &Arc<Supervisor>, service: &Arc<Service>) -> End {
    let open = tokio::select! {
        biased;
        () = service.stop_asked() => return stopped(service, last_exit(service), false),
        () = supervisor.parted() => return lost(&GuestError::Closed),
        open = supervisor.gate.read() => open,
    };
    let secrets = match supervisor.secret_env(&service.spec.secret_env) {
        Ok(env) => supervisor.lend_secrets().await.map(|lent| (env, lent)),
        Err(error) => Err(error),
    };
    let (env, lent) = match secrets {
        Ok(secrets) => secrets,
        Err(error) => return without_secrets(&error),
    };
    let started = launch(supervisor, service, env.clone()).await;
    drop(open);
    let end = match started {
        Ok((exec, pid)) => {
            service.apply(Change::Launched { pid });
            note(supervisor, "service_started", service.record().service_name.to_string());
            follow(supervisor, service, &env, exec).await
        }
        Err(error) => refused(&error),
    };
    supervisor.return_secrets(lent).await;
    end
}

/// The process of one that ran when its workspace was paused, to its end.
async fn go_on(supervisor: &Arc<Supervisor>, service: &Arc<Service>, exec: Exec) -> End {
    // A probe goes without those that are not there any more.
    let env = supervisor.secret_env(&service.spec.secret_env).unwrap_or_default();
    let lent = supervisor.lend_secrets().await.ok();
    let end = follow(supervisor, service, &env, exec).await;
    if let Some(lent) = lent {
        supervisor.return_secrets(lent).await;
    }
    end
}

/// A process that runs, to its end.
async fn follow(
    supervisor: &Arc<Supervisor>,
    service: &Arc<Service>,
    secrets: &[(ByteString, ByteString)],
    mut exec: Exec,
) -> End {
    *service.process() = Some(exec.job());
    let pumps = [exec.stdout.take(), exec.stderr.take()].into_iter().enumerate();
    let pumps: Vec<_> =
        pumps.map(|(which, reader)| tokio::spawn(pump(reader, supervisor, service, which))).collect();
    let mut exits: Exits = Box::pin(exec.take_exit());
    let end = attend(supervisor, service, secrets, &exec, &mut exits).await;
    for mut pump in pumps {
        if tokio::time::timeout(PUMP_DEADLINE, &mut pump).await.is_err() {
            pump.abort();
        }
    }
    let unknown = match &end {
        End::GuestLost { .. } => true,
        End::Stopped { exit, .. } | End::NotReady { exit, .. } => exit.code.is_none(),
        End::Exited { .. } => false,
    };
    if unknown && supervisor.is_suspending() {
        // It was being ended, and that will be gone on with.
        return lost(&GuestError::Closed);
    }
    *service.process() = None;
    end
}

/// What the process before this one ended with.
fn last_exit(service: &Service) -> Exit {
    let record = service.record();
    Exit { code: record.exit_code, signal: record.signal, detached: record.detached_processes }
}

async fn launch(
    supervisor: &Supervisor,
    service: &Service,
    secrets: Vec<(ByteString, ByteString)>,
) -> Result<(Exec, u32), GuestError> {
    let mut spec = service.spec.exec();
    spec.env.extend(secrets);
    // This side decides when TERM was not enough.
    spec.kill_grace_ms = u64::try_from((super::GRACE_MAX + KILL_DEADLINE).as_millis()).ok();
    // What it started does not outlive it: the next one would find its port taken, and its files written to.
    spec.left_grace_ms = u64::try_from(FAILED_GRACE.as_millis()).ok();
    let streams = ExecStreams { stdin: false, stderr: true, pty: None };
    let mut exec = supervisor.client().exec(spec, streams)?;
    let pid = exec.started().await?;
    Ok((exec, pid))
}

/// Keeps an output.
fn pump(
    reader: Option<StreamReader>,
    supervisor: &Arc<Supervisor>,
    service: &Arc<Service>,
    which: usize,
) -> impl Future<Output = ()> + Send + use<> {
    let reader = reader.map(|reader| RedactedReader::new(reader, supervisor));
    let service = Arc::clone(service);
    async move {
        let Some(mut reader) = reader else { return };
        while let Some(bytes) = reader.read().await {
            service.logs[which].push(&bytes);
        }
    }
}

/// Sees a process that runs to its end.
async fn attend(
    supervisor: &Arc<Supervisor>,
    service: &Service,
    secrets: &[(ByteString, ByteString)],
    exec: &Exec,
    exits: &mut Exits,
) -> End {
    let spec = &service.spec;
    let failed = |reason, exit, error| End::NotReady { reason, exit, error };
    if service.record().state == ServiceState::Running {
        let (ports, error) = service.publish_again(supervisor);
        service.apply(Change::Resumed { ports, error });
        return watch(supervisor, service, secrets, exec, exits).await;
    }
    tokio::select! {
        biased;
        () = service.stop_asked() => return stop(service, exec, exits).await,
        ended = &mut *exits => return match ended {
            Ok(exit) => failed(stop_reason::EXITED_BEFORE_READY, known(&exit), None),
            Err(error) => lost(&error),
        },
        () = ready(supervisor, service, secrets) => {}
        () = supervisor.sleep_while_it_runs(spec.ready_timeout), if spec.probe.is_some() => {
            let (exit, _) = end(service, exec, exits).await;
            let error = format!("it was not ready after {} seconds", spec.ready_timeout.as_secs_f64());
            return failed(stop_reason::READINESS_TIMEOUT, exit, Some(error));
        }
    }
    let ports = match service.publish(supervisor) {
        Ok(ports) => ports,
        Err(error) => {
            let (exit, _) = end(service, exec, exits).await;
            return failed(stop_reason::PORT_FAILED, exit, Some(chain(&error)));
        }
    };
    service.apply(Change::Ready { ports, healthy: spec.health_interval.map(|_| true) });
    note(supervisor, "service_ready", service.record().service_name.to_string());
    watch(supervisor, service, secrets, exec, exits).await
}

/// Sees a process that is ready to its end.
async fn watch(
    supervisor: &Arc<Supervisor>,
    service: &Service,
    secrets: &[(ByteString, ByteString)],
    exec: &Exec,
    exits: &mut Exits,
) -> End {
    let ready_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = service.stop_asked() => return stop(service, exec, exits).await,
            ended = &mut *exits => return match ended {
                Ok(exit) => End::Exited { exit: known(&exit), ready_for: ready_at.elapsed() },
                Err(error) => lost(&error),
            },
            healthy = health(supervisor, service, secrets) => service.apply(Change::Health(healthy)),
        }
    }
}

/// Returns when the service is ready.
async fn ready(supervisor: &Supervisor, service: &Service, secrets: &[(ByteString, ByteString)]) {
    let spec = &service.spec;
    let settled = Instant::now() + SETTLE[usize::from(spec.probe.is_some())];
    if let Some(probe) = &spec.probe {
        while !probe::is_ready(&supervisor.client(), spec, secrets, probe).await {
            tokio::time::sleep(spec.ready_interval).await;
        }
    }
    tokio::time::sleep_until(settled).await;
}

/// Whether it is still ready, when it is time to look again; without a probe or an interval that never comes.
async fn health(supervisor: &Supervisor, service: &Service, secrets: &[(ByteString, ByteString)]) -> bool {
    let spec = &service.spec;
    match (&spec.probe, spec.health_interval) {
        (Some(probe), Some(interval)) => {
            tokio::time::sleep(interval).await;
            probe::is_ready(&supervisor.client(), spec, secrets, probe).await
        }
        _ => std::future::pending().await,
    }
}

async fn stop(service: &Service, exec: &Exec, exits: &mut Exits) -> End {
    let (exit, killed) = end(service, exec, exits).await;
    stopped(service, exit, killed)
}

fn stopped(service: &Service, exit: Exit, killed: bool) -> End {
    let with_workspace = service.stop.borrow().is_some_and(|stop| stop.with_workspace);
    let reason = match (with_workspace, killed) {
        (true, _) => stop_reason::WORKSPACE_STOPPED,
        (false, true) => stop_reason::SIGKILL,
        (false, false) => stop_reason::SIGTERM,
    };
    End::Stopped { reason, exit }
}

/// Ends a process with everything it started: TERM, and KILL once its time is over, which whoever stops it may shorten. How it
/// ended, and whether it had to be killed.
async fn end(service: &Service, exec: &Exec, exits: &mut Exits) -> (Exit, bool) {
    exec.end();
    let began = Instant::now();
    let mut stops = service.stop.subscribe();
    let exit_of =
        |ended: Result<ExecExit, GuestError>| ended.map_or_else(|_| Exit::default(), |exit| known(&exit));
    loop {
        let grace = stops.borrow_and_update().map_or(FAILED_GRACE, |stop| stop.grace);
        tokio::select! {
            biased;
            ended = &mut *exits => return (exit_of(ended), false),
            _ = stops.changed() => {}
            () = tokio::time::sleep_until(began + grace) => break,
        }
    }
    let deadline = Instant::now() + KILL_DEADLINE;
    while Instant::now() < deadline {
        exec.signal(KILL, SignalTarget::Tree);
        if let Ok(ended) = tokio::time::timeout(KILL_EVERY, &mut *exits).await {
            return (exit_of(ended), true);
        }
    }
    (Exit::default(), true)
}

fn known(exit: &ExecExit) -> Exit {
    let (code, signal) = match exit.ending {
        Ending::Code(code) => (code, None),
        Ending::Signal(signal) => (128 + signal, Some(signal)),
    };
    Exit { code: Some(code), signal, detached: exit.detached }
}

/// The guest could not start it.
fn refused(error: &GuestError) -> End {
    let code = match error.code() {
        code::COMMAND_NOT_FOUND => 127,
        code::COMMAND_NOT_EXECUTABLE => 126,
        _ if !matches!(error, GuestError::Refused(_)) => return lost(error),
        _ => 125,
    };
    let exit = Exit { code: Some(code), ..Exit::default() };
    End::NotReady { reason: stop_reason::EXITED_BEFORE_READY, exit, error: Some(chain(error)) }
}

fn without_secrets(error: &WorkspaceError) -> End {
    let exit = Exit { code: Some(125), ..Exit::default() };
    End::NotReady { reason: stop_reason::EXITED_BEFORE_READY, exit, error: Some(chain(error)) }
}

fn lost(error: &GuestError) -> End {
    End::GuestLost { error: format!("the guest ended: {}", chain(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: RestartPolicy = RestartPolicy::No;
    const ON_FAILURE: RestartPolicy = RestartPolicy::OnFailure;

    fn exit(code: i32) -> Exit {
        Exit { code: Some(code), ..Exit::default() }
    }

    fn state(next: &Next) -> Option<ServiceState> {
        match next {
            Next::Over(Change::Over { state, .. }) => Some(*state),
            _ => None,
        }
    }

    #[test]
    fn what_failed_is_started_again_if_it_ever_worked() {
        let exited = |code| End::Exited { exit: exit(code), ready_for: Duration::from_secs(3) };
        assert_eq!(state(&next(exited(0), ON_FAILURE, true)), Some(ServiceState::Exited));
        assert_eq!(state(&next(exited(1), NO, true)), Some(ServiceState::Exited));
        let again = next(exited(1), ON_FAILURE, true);
        let failed = Change::Failed { exit: exit(1), error: None };
        assert_eq!(again, Next::Again { failed, ready_for: Duration::from_secs(3) });

        let reason = stop_reason::EXITED_BEFORE_READY;
        let early = |code| End::NotReady { reason, exit: exit(code), error: None };
        for (policy, was_ready) in [(NO, false), (NO, true), (ON_FAILURE, false)] {
            let over = next(early(3), policy, was_ready);
            let expected = Change::Over {
                state: ServiceState::Failed,
                reason: Some(reason),
                exit: exit(3),
                error: None,
            };
            assert_eq!(over, Next::Over(expected));
        }
        // Even with 0: it was to stay.
        assert_eq!(state(&next(early(0), ON_FAILURE, true)), None);
    }

    #[test]
    fn what_was_stopped_or_lost_stays_so() {
        let stopped = End::Stopped { reason: stop_reason::SIGKILL, exit: exit(137) };
        assert_eq!(state(&next(stopped, ON_FAILURE, true)), Some(ServiceState::Stopped));
        let lost = lost(&GuestError::Closed);
        assert_eq!(state(&next(lost, ON_FAILURE, true)), Some(ServiceState::Stopped));
    }
}
