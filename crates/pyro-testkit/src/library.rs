//! Guests through the Rust library, in a test's own process. It must not decide anything the library would.
//!
//! A guest dies with the thread that started it, so everything is done on the test's own thread.

use crate::Sandbox;
use crate::sandbox::search_path;
use pyro::Config;
use pyro::guest::Ending;
use pyro::guest::ExecStreams;
use pyro::identity::GuestId;
use pyro::image::ImageStore;
use pyro::limits::MemMib;
use pyro::machine::Machine;
use pyro::machine::Plan;
use pyro::machine::Size;
use pyro::machine::console_text;
use pyro::template::Template;
use pyro_proto::exec::ExecSpec;
use std::path::PathBuf;
use std::time::Duration;

/// Disk that a sandbox's templates may take, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 8 << 30;
/// How long a guest may take to come up: many may be starting at once.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// How long a command may take.
const COMMAND_MS: u64 = 300_000;

/// The library, using a sandbox's folders.
#[derive(Debug)]
pub struct Library {
    /// The sandbox's folders.
    pub config: Config,
    /// Its environments.
    pub store: ImageStore,
}

impl Library {
    /// The library for this sandbox.
    pub fn of(sandbox: &Sandbox) -> Self {
        let catalogue = sandbox.catalogue().map(ToOwned::to_owned);
        Self::at(sandbox.cache().to_owned(), sandbox.state(), catalogue)
    }

    /// The library with these folders, for a process that is killed and so cannot remove a sandbox of its own.
    pub fn at(cache_dir: PathBuf, state_dir: PathBuf, user_catalogue: Option<PathBuf>) -> Self {
        let config = Config {
            search_path: format!("{}:/usr/sbin:/sbin", search_path().to_string_lossy()),
            user_catalogue,
            template_bytes_max: TEMPLATE_BYTES_MAX,
            boot_deadline: BOOT_DEADLINE,
            ..Config::new(cache_dir, state_dir, "/nonexistent")
        };
        let store = ImageStore::new(config.image_config()).unwrap();
        Self { config, store }
    }

    /// What a guest of `environment` with `mem_mib` of memory is made from.
    pub async fn plan(&self, environment: &str, mem_mib: u64) -> Plan {
        let config = &self.config;
        let chosen = pyro::engine::choose(config.engine, &config.probe_cache(), &config.search_path).await;
        Plan {
            engine: chosen.unwrap().engine,
            installed: self.store.open(environment).unwrap(),
            size: Size { mem: MemMib::new(mem_mib).unwrap(), ..Size::default() },
            scratch: pyro::state::scratch_dir(config).unwrap(),
        }
    }

    /// A guest restored from its template, which is made first if need be.
    pub async fn guest(&self, environment: &str, mem_mib: u64) -> Machine {
        let plan = self.plan(environment, mem_mib).await;
        let template = Template::ensure(&self.config, &self.store, &plan).await.unwrap();
        self.restore(&template, &plan).await
    }

    /// One more guest of this template.
    pub async fn restore(&self, template: &Template, plan: &Plan) -> Machine {
        template.start(&self.config, plan, GuestId::random().unwrap()).await.unwrap()
    }
}

/// Runs everything on the calling thread.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Does all of this at once, on the calling thread; the results are in the same order.
pub async fn all<T: 'static>(works: impl IntoIterator<Item = impl Future<Output = T> + 'static>) -> Vec<T> {
    let tasks: Vec<_> = works.into_iter().map(tokio::task::spawn_local).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// What a shell script printed in a guest, without white space at its end; fails when the script does.
pub async fn sh(machine: &Machine, script: &str) -> String {
    let argv = ["/bin/sh", "-c", script];
    let spec = ExecSpec {
        argv: argv.iter().map(|word| (*word).into()).collect(),
        timeout_ms: Some(COMMAND_MS),
        ..ExecSpec::default()
    };
    let mut exec = machine.client.exec(spec, ExecStreams::default()).unwrap();
    let mut stdout = exec.stdout.take().unwrap();
    let mut bytes = Vec::new();
    while let Some(more) = stdout.read().await {
        bytes.extend(more);
    }
    let exit = exec.exited().await.unwrap_or_else(|error| {
        let console = console_text(machine.guest.as_ref());
        let (usage, log) = (machine.guest.usage(), machine.client.log());
        panic!("{error}; the engine: {usage:?}; the agent: {log:?}; the console: {console}")
    });
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    assert_eq!(exit.ending, Ending::Code(0), "{script} said: {text}");
    text
}
