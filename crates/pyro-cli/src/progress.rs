//! Shows the progress of a run and of an installation: drawn on a terminal, plain lines elsewhere. It must not write to
//! standard output.

use crate::output;
use crate::settings;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use pyro::image::Progress;
use pyro::run::Phase;
use pyro::run::RunObserver;
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
}

impl Terminal {
    /// For a run whose output is streamed: phases and notices as lines on standard error.
    pub(crate) const fn for_run() -> Self {
        Self { phases: true, notices: true, environment: None }
    }

    /// For a run that prints one JSON document: nothing but notices.
    pub(crate) const fn silent() -> Self {
        Self { phases: false, notices: true, environment: None }
    }

    /// The environment named in the first phase's line.
    pub(crate) fn environment(mut self, name: &str) -> Self {
        self.environment = Some(name.to_owned());
        self
    }
}

impl RunObserver for Terminal {
    fn phase(&mut self, phase: &Phase) {
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
        if self.notices {
            output::error_line(&format!("[pyro] {text}"));
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
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
            self.bar.set_style(style);
        }
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
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
