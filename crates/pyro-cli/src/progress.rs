//! Shows the progress of a run, of an installation and of what takes long by its bytes: drawn on a terminal, plain lines or
//! nothing elsewhere. It must not write to standard output.

use crate::output;
use crate::settings;
use crate::terminal::Raw;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use pyro::image::Progress;
use pyro::run::Phase;
use pyro::run::RunObserver;
use pyro::workspace::Advance;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

/// How often a drawn bar's spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// What a run tells people.
pub(crate) struct Terminal {
    phases: bool,
    notices: bool,
    environment: Option<String>,
    /// What files on their way into the guest are called, if they are to be shown.
    transfers: Option<&'static str>,
    transfer: Option<Transfer>,
    raw: Option<Raw>,
    at_terminal: bool,
}

impl Terminal {
    /// For a run whose output is streamed: phases and notices as lines on standard error.
    pub(crate) fn for_run() -> Self {
        Self { phases: true, ..Self::silent() }
    }

    /// For a run that prints one JSON document: nothing but notices.
    pub(crate) fn silent() -> Self {
        Self {
            phases: false,
            notices: true,
            environment: None,
            transfers: None,
            transfer: None,
            raw: None,
            at_terminal: false,
        }
    }

    /// For a run that somebody sits at: the terminal is raw from when the command begins until this is dropped, and nothing
    /// is said in between.
    pub(crate) fn at_terminal() -> Self {
        Self { at_terminal: true, ..Self::silent() }
    }

    /// The environment named in the first phase's line.
    pub(crate) fn environment(mut self, name: &str) -> Self {
        self.environment = Some(name.to_owned());
        self
    }

    /// Shows how much of the files has gone into the guest, under this word.
    pub(crate) const fn transfers(mut self, what: &'static str) -> Self {
        self.transfers = Some(what);
        self
    }
}

impl RunObserver for Terminal {
    fn phase(&mut self, phase: &Phase) {
        if self.at_terminal && matches!(phase, Phase::Execute { .. }) {
            // The terminal is there, so it can be made raw; if not, keys come line by line.
            self.raw = Raw::enter().ok();
            self.notices = false;
        }
        if !self.phases {
            return;
        }
        let environment = self.environment.as_deref().unwrap_or_default();
        output::error_line(&match phase {
            Phase::Create => format!("[run] phase=create environment={environment}"),
            Phase::Template => format!("[run] phase=template environment={environment}"),
            Phase::Start { vm_id } => format!("[run] phase=start vm_id={vm_id}"),
            Phase::Execute { vm_id } => format!("[run] phase=execute vm_id={vm_id}"),
        });
    }

    fn notice(&mut self, text: &str) {
        // Lines are not written into a drawing.
        self.transfer = None;
        if self.notices {
            output::error_line(&format!("[pyro] {text}"));
        }
    }

    fn transferred(&mut self, bytes: u64) {
        if let Some(what) = self.transfers {
            self.transfer.get_or_insert_with(|| Transfer::new(what, false)).moved(bytes);
        }
    }

    fn pull_progress(&self) -> Arc<dyn Progress + Send + Sync> {
        let name = self.environment.clone().unwrap_or_default();
        pull(&name)
    }
}

/// Progress of the installation of `environment`, drawn or in lines.
pub(crate) fn pull(environment: &str) -> Arc<dyn Progress + Send + Sync> {
    if std::io::stderr().is_terminal() && !settings::plain_output() {
        Arc::new(Bar::new(environment))
    } else {
        Arc::new(Lines { environment: environment.to_owned() })
    }
}

/// The name of a phase as JSON has it.
fn phase_name(phase: pyro::image::Phase) -> String {
    serde_json::to_value(phase).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

struct Lines {
    environment: String,
}

impl Progress for Lines {
    fn phase(&self, phase: pyro::image::Phase) {
        output::error_line(&format!("[pull] phase={} environment={}", phase_name(phase), self.environment));
    }

    fn bytes(&self, _: u64, _: Option<u64>) {}
}

struct Bar {
    environment: String,
    bar: ProgressBar,
}

impl Bar {
    fn new(environment: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(TICK);
        Self { environment: environment.to_owned(), bar }
    }
}

impl Progress for Bar {
    fn phase(&self, phase: pyro::image::Phase) {
        self.bar.set_length(0);
        style(&self.bar, "{spinner} {msg} [{elapsed}]");
        self.bar.set_message(format!("{}: {}", self.environment, phase.title()));
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        let template = match total {
            Some(total) => {
                self.bar.set_length(total);
                "{spinner} {msg} {bar:24} {bytes}/{total_bytes} [{elapsed}]"
            }
            None => "{spinner} {msg} {bytes} [{elapsed}]",
        };
        style(&self.bar, template);
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How many bytes are done: drawn on a terminal, nothing elsewhere.
#[derive(Clone)]
pub(crate) struct Transfer {
    bar: Option<Arc<Drawn>>,
}

/// What is drawn until this is dropped.
struct Drawn(ProgressBar);

impl Transfer {
    /// Begins to show it, unless `quiet`.
    pub(crate) fn new(what: &'static str, quiet: bool) -> Self {
        let drawn = !quiet && std::io::stderr().is_terminal() && !settings::plain_output();
        let bar = drawn.then(|| {
            let bar = ProgressBar::new_spinner().with_message(what);
            style(&bar, "{spinner} {msg} {bytes} {bytes_per_sec} [{elapsed}]");
            bar.enable_steady_tick(TICK);
            Arc::new(Drawn(bar))
        });
        Self { bar }
    }

    /// For whoever says how much there is to do; it goes on being drawn for as long as either is there.
    pub(crate) fn advance(&self) -> Advance {
        let transfer = self.clone();
        Arc::new(move |done, total| {
            if let Some(total) = total {
                transfer.of(total);
            }
            transfer.moved(done);
        })
    }

    /// There is so much to do.
    fn of(&self, total: u64) {
        if let Some(Drawn(bar)) = self.bar.as_deref()
            && bar.length() != Some(total)
        {
            bar.set_length(total);
            style(bar, "{spinner} {msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} [{elapsed}]");
        }
    }

    /// So many bytes are done.
    pub(crate) fn moved(&self, bytes: u64) {
        if let Some(Drawn(bar)) = self.bar.as_deref() {
            bar.set_position(bytes);
        }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        // What took less than a turn of the spinner is seen once, too.
        self.0.disable_steady_tick();
        self.0.tick();
        self.0.finish_and_clear();
    }
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
