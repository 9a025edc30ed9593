//! Carries a run out. The only file that moves a run from one phase to the next.

use super::RunError;
use super::RunIo;
use super::RunReport;
use super::RunSpec;
use super::report::Phase;
use super::report::RunObserver;
use super::report::StartedBy;
use super::report::Timings;
use super::report::milliseconds;
use crate::code::chain;
use crate::config::Config;
use crate::guest::Exec;
use crate::guest::ExecStreams;
use crate::guest::GuestClient;
use crate::guest::GuestError;
use crate::guest::GuestStatus;
use crate::guest::StreamReader;
use crate::guest::StreamWriter;
use crate::host_compat;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::Plan;
use crate::machine::console_text;
use crate::machine::keep_going;
use crate::state;
use crate::state::Scratch;
use crate::template::Template;
use crate::terminal;
use crate::terminal::TerminalSize;
use crate::work::Work;
use pyro_engine::Acceleration;
use pyro_engine::EngineKind;
use pyro_engine::Memory;
use pyro_engine::Stall;
use pyro_image::Cancel;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use pyro_image::Installed;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::limits::KILL_GRACE_MS;
use pyro_proto::message::SignalTarget;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// How long a command that was passed a signal has before its guest is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// How much longer than the guest the host waits for a time-out, beyond the guest's own grace. A guest that is emulated
/// and shares its processors is slow, and only the host's patience with it ends here.
const HANG_GRACE: Duration = Duration::from_secs(15);
/// How long a guest may take to say how it is doing.
const STATUS_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of standard input read at once.
const STDIN_BYTES: usize = 64 * 1024;
/// What is said of a guest that begins to stand still, and of one that goes on.
pub(crate) const fn told_of_room(blocked: bool) -> &'static str {
    if blocked {
        "the host's disk is full: the guest waits until there is room for what it writes"
    } else {
        "there is room again, and the guest goes on"
    }
}

/// Runs one command in a guest of its own.
///
/// Must be called on a thread that outlives the run: the engine dies with the thread that started it.
///
/// # Errors
/// [`RunError`], with nothing left running and nothing left on disk.
pub fn run<'a>(
    config: &'a Config,
    spec: RunSpec,
    mut io: RunIo,
    observer: &'a mut dyn RunObserver,
) -> Work<'a, Result<RunReport, RunError>> {
    Box::pin(async move {
        let began = Instant::now();
        if spec.network {
            return Err(RunError::NetworkUnavailable);
        }
        observer.phase(&Phase::Create);
        let mut started = start(config, &spec, &mut io, observer).await?;
        let prepare =
            began.elapsed().saturating_sub(started.machine.times.boot + started.machine.times.attach);
        observer.phase(&Phase::Execute { vm_id: started.machine.id.clone() });
        let exec_began = Instant::now();
        let outcome = execute(&mut started.machine, &spec, &mut io, config, observer).await;
        let exec = exec_began.elapsed();
        let asked = spec.guest_status || outcome.as_ref().is_ok_and(|exit| exit.ending != Ending::Code(0));
        let guest = if asked && outcome.is_ok() { status(&started.machine.client).await } else { None };
        let (id, times) = (started.machine.id.clone(), started.machine.times);
        started.machine.end().await;
        let exit = outcome?;
        Ok(RunReport {
            vm_id: id,
            environment_version: started.environment_version,
            ending: exit.ending,
            timed_out: exit.timed_out,
            started_by: started.started_by,
            guest,
            engine: started.engine,
            acceleration: started.acceleration,
            timings: Timings {
                prepare_ms: milliseconds(prepare),
                boot_ms: milliseconds(times.boot),
                agent_ready_ms: milliseconds(times.attach),
                exec_ms: milliseconds(exec),
                total_ms: milliseconds(began.elapsed()),
            },
        })
    })
}

/// How the guest is doing. One that no longer answers is about to be ended anyway.
async fn status(client: &GuestClient) -> Option<GuestStatus> {
    tokio::time::timeout(STATUS_DEADLINE, client.status()).await.ok()?.ok()
}

struct Started {
    machine: Machine,
    environment_version: String,
    started_by: StartedBy,
    engine: EngineKind,
    acceleration: Acceleration,
    /// The host-compat mode's scratch folder, removed when the run is over.
    _folder: Option<Scratch>,
}

async fn start(
    config: &Config,
    spec: &RunSpec,
    io: &mut RunIo,
    observer: &mut dyn RunObserver,
) -> Result<Started, RunError> {
    let store = ImageStore::new(config.image_config())?;
    let version = store.inspect(&spec.environment)?.version;
    let chosen = match choose_engine(config).await {
        Ok(chosen) => chosen,
        Err(reason) if spec.allow_host_compat => {
            observer.notice(&format!("{reason}: running on the host, without any isolation"));
            return start_on_host(config, version, observer).await;
        }
        Err(reason) => return Err(reason.into()),
    };
    if let Some(notice) = &chosen.notice {
        observer.notice(notice);
    }
    let installed = environment(&store, spec, io, observer).await?;
    let id = GuestId::random().map_err(MachineError::Random)?;
    let (engine, acceleration) = (chosen.engine.kind(), chosen.engine.acceleration());
    let scratch = state::scratch_dir(config)?;
    let plan = Plan { engine: chosen.engine, installed, size: spec.size, scratch };
    let up = bring_up(config, &store, &plan, id, spec.template, observer);
    let (machine, started_by) = unless_interrupted(&mut io.interrupts, up).await??;
    Ok(Started { machine, environment_version: version, started_by, engine, acceleration, _folder: None })
}

/// Restores a guest from its template, or boots one where that cannot be done: a template never makes a start fail.
async fn bring_up(
    config: &Config,
    store: &ImageStore,
    plan: &Plan,
    id: GuestId,
    use_template: bool,
    observer: &mut dyn RunObserver,
) -> Result<(Machine, StartedBy), MachineError> {
    if use_template && Template::open(config, plan).is_none() {
        observer.phase(&Phase::Template);
    }
    observer.phase(&Phase::Start { vm_id: id.clone() });
    if use_template {
        match Template::ensure(config, store, plan).await {
            Err(error) => observer.notice(&format!("starting without a template: {}", chain(&error))),
            Ok(template) => match template.start(config, plan, id.clone()).await {
                Ok(machine) => return Ok((machine, StartedBy::Restore)),
                Err(error) => {
                    observer.notice(&format!(
                        "the template did not work and is made again next time: {}",
                        chain(&error)
                    ));
                    template.discard();
                }
            },
        }
    }
    let machine = Machine::boot(config, store, plan, id, Memory::Anonymous).await?;
    Ok((machine, StartedBy::Boot))
}

async fn start_on_host(
    config: &Config,
    version: String,
    observer: &mut dyn RunObserver,
) -> Result<Started, RunError> {
    let id = GuestId::random().map_err(MachineError::Random)?;
    observer.phase(&Phase::Start { vm_id: id.clone() });
    let folder = host_compat::folder(config)?;
    let agent = host_compat::agent_file().map_err(RunError::HostCompat)?;
    let engine = pyro_engine::HostEngine;
    let machine = Machine::host_compat(config, &engine, agent, folder.path(), id).await?;
    Ok(Started {
        machine,
        environment_version: version,
        started_by: StartedBy::Spawn,
        engine: EngineKind::Host,
        acceleration: Acceleration::None,
        _folder: Some(folder),
    })
}

/// The probe may have to run a guest, so it is kept off the thread that serves the caller.
async fn choose_engine(config: &Config) -> Result<pyro_engine::Chosen, pyro_engine::ChooseError> {
    pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path).await
}

/// The environment, installed first if it is not yet.
async fn environment(
    store: &ImageStore,
    spec: &RunSpec,
    io: &mut RunIo,
    observer: &mut dyn RunObserver,
) -> Result<Installed, RunError> {
    match store.open(&spec.environment) {
        Err(ImageError::NotInstalled { .. }) => {}
        opened => return Ok(opened?),
    }
    let (cancel, progress) = (Cancel::new().map_err(RunError::Pull)?, observer.pull_progress());
    let _asked = cancel.on_drop();
    let (store, name, token) = (store.clone(), spec.environment.clone(), cancel.clone());
    let pull = tokio::task::spawn_blocking(move || store.ensure(&name, progress.as_ref(), &token));
    tokio::pin!(pull);
    let installed = tokio::select! {
        done = &mut pull => done,
        Some(signal) = io.interrupts.recv() => {
            cancel.cancel();
            // It puts away what it has begun before it comes back.
            let _ = pull.await;
            return Err(RunError::Interrupted { signal });
        }
    };
    Ok(installed.map_err(|error| RunError::Pull(io::Error::other(error)))??)
}

async fn unless_interrupted<T>(
    interrupts: &mut mpsc::Receiver<i32>,
    work: impl Future<Output = T>,
) -> Result<T, RunError> {
    tokio::select! {
        done = work => Ok(done),
        Some(signal) = interrupts.recv() => Err(RunError::Interrupted { signal }),
    }
}

/// Runs the command to its end, moving its bytes, and tells a lost guest from a hung one.
async fn execute(
    machine: &mut Machine,
    spec: &RunSpec,
    io: &mut RunIo,
    config: &Config,
    observer: &mut dyn RunObserver,
) -> Result<ExecExit, RunError> {
    let command = |source| RunError::Command { command: spec.command.display(), source };
    let streams = ExecStreams {
        stdin: spec.stdin,
        stderr: spec.terminal.is_none(),
        pty: spec.terminal.map(TerminalSize::pty),
    };
    let mut exec = machine.client.exec(exec_spec(spec), streams).map_err(command)?;
    let stall = machine.guest.stall();
    let room = keep_going(&stall, &config.state_dir, |blocked| {
        observer.notice(told_of_room(blocked));
    });
    let served = tokio::select! {
        served = serve(&mut exec, spec, io, &stall) => served,
        () = room => Err(Served::Run(RunError::GuestHung)),
    };
    match served {
        Err(Served::Guest(GuestError::Closed | GuestError::Channel(_))) => {
            machine.guest.kill();
            let exit = machine.guest.wait().await;
            let console = console_text(machine.guest.as_ref());
            Err(RunError::GuestLost { exit: exit.to_string(), console })
        }
        Err(Served::Guest(error)) => Err(command(error)),
        Err(Served::Run(error)) => Err(error),
        Ok(exit) => Ok(exit),
    }
}

fn exec_spec(spec: &RunSpec) -> ExecSpec {
    let own = spec.env.iter().map(|(k, v)| (k.clone().into_vec().into(), v.clone().into_vec().into()));
    ExecSpec {
        argv: spec.command.argv().into_iter().map(Into::into).collect(),
        cwd: spec.cwd.clone().map(|cwd| cwd.into_vec().into()),
        env: spec.terminal.map(|_| terminal::environment()).into_iter().flatten().chain(own).collect(),
        user: spec.user.clone(),
        timeout_ms: Some(u64::try_from(command_time(spec).as_millis()).unwrap_or(u64::MAX)),
        ..ExecSpec::default()
    }
}

/// A command may take its time-out, and no longer than its guest may live.
fn command_time(spec: &RunSpec) -> Duration {
    spec.ttl.duration().map_or(spec.timeout.duration(), |ttl| ttl.min(spec.timeout.duration()))
}

enum Served {
    Guest(GuestError),
    Run(RunError),
}

impl From<GuestError> for Served {
    fn from(error: GuestError) -> Self {
        Self::Guest(error)
    }
}

async fn serve(exec: &mut Exec, spec: &RunSpec, io: &mut RunIo, stall: &Stall) -> Result<ExecExit, Served> {
    let (stdin, stdout, stderr) = (exec.stdin.take(), exec.stdout.take(), exec.stderr.take());
    let Some(stdout) = stdout else { return Err(GuestError::Closed.into()) };
    let output = async {
        tokio::try_join!(copy_out(Some(stdout), io.stdout.as_mut()), copy_out(stderr, io.stderr.as_mut()))
            .map(drop)
    };
    let input = copy_in(io.stdin.as_mut(), stdin);
    tokio::pin!(output, input);
    let (mut exit, mut output_done, mut input_done) = (None, false, false);
    let mut deadline =
        tokio::time::Instant::now() + command_time(spec) + Duration::from_millis(KILL_GRACE_MS) + HANG_GRACE;
    let mut interrupted = None;
    loop {
        if let (Some(exit), true) = (&exit, output_done) {
            return interrupted.map_or(Ok(ExecExit::clone(exit)), |signal| {
                Err(Served::Run(RunError::Interrupted { signal }))
            });
        }
        tokio::select! {
            ended = exec.exited(), if exit.is_none() => exit = Some(ended?),
            copied = &mut output, if !output_done => {
                copied.map_err(|error| Served::Run(RunError::Output(error)))?;
                output_done = true;
            }
            () = &mut input, if !input_done => input_done = true,
            Some(size) = io.sizes.recv() => exec.resize_soon(size.pty()),
            Some(signal) = io.interrupts.recv() => {
                // A guest that stands still hears of no signal.
                if interrupted.replace(signal).is_some() || stall.is_now() {
                    return Err(Served::Run(RunError::Interrupted { signal }));
                }
                exec.signal(signal, SignalTarget::Foreground);
                deadline = tokio::time::Instant::now() + INTERRUPT_GRACE;
            }
            // Once the command has ended only a slow reader can hold things up, and it may take its time.
            () = tokio::time::sleep_until(deadline), if exit.is_none() || interrupted.is_some() => {
                return Err(Served::Run(interrupted.map_or_else(|| not_ended(stall), |signal| RunError::Interrupted { signal })));
            }
        }
    }
}

/// Why a command did not end in its time.
fn not_ended(stall: &Stall) -> RunError {
    if stall.is_now() { RunError::NoRoom } else { RunError::GuestHung }
}

/// Copies a stream of the guest to the caller, as it comes.
async fn copy_out(from: Option<StreamReader>, to: &mut (dyn AsyncWrite + Send + Unpin)) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    while let Some(bytes) = from.read().await {
        to.write_all(&bytes).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Copies the caller's input to the guest. A command that stops reading, or input that cannot be read, is no failure of the
/// run: the command's own ending says what it made of it.
async fn copy_in(from: &mut (dyn AsyncRead + Send + Unpin), to: Option<StreamWriter>) {
    let Some(mut to) = to else { return };
    let mut bytes = vec![0; STDIN_BYTES];
    loop {
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => {
                let _ = to.finish().await;
                return;
            }
            Ok(size) => {
                if to.write_all(&bytes[..size]).await.is_err() {
                    return;
                }
            }
        }
    }
}
