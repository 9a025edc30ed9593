//! Passes on what the library tells while it works, on whatever thread, to whoever waits for the operation. What comes too
//! quickly is left out, and what it works on never waits. This file must not know what is done.

use super::progress::Progress;
use super::progress::Step;
use pyro::image;
use pyro::run::Phase;
use pyro::run::RunObserver;
use pyro::workspace::Advance;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::mpsc;

/// Messages that may wait.
const QUEUED: usize = 256;

/// Waiting messages above which counts are left out: there will be newer ones.
const COUNTS_QUEUED: usize = 16;

#[derive(Debug)]
enum Told {
    Step(Step),
    Notice(String),
}

/// The library's side; clones tell the same operation.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    sender: mpsc::Sender<Told>,
}

/// Does some work of the library's, and passes on what it tells.
pub(super) async fn relay<F: Future>(progress: &dyn Progress, work: impl FnOnce(Teller) -> F) -> F::Output {
    let (sender, mut receiver) = mpsc::channel(QUEUED);
    let work = work(Teller { sender });
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(told) = receiver.recv() => pass_on(progress, told),
            done = &mut work => {
                while let Ok(told) = receiver.try_recv() {
                    pass_on(progress, told);
                }
                return done;
            }
        }
    }
}

fn pass_on(progress: &dyn Progress, told: Told) {
    match told {
        Told::Step(step) => progress.step(&step),
        Told::Notice(text) => progress.notice(&text),
    }
}

impl Teller {
    /// A step begins.
    pub(super) fn step(&self, name: &str) {
        let _ = self.sender.try_send(Told::Step(Step { name: name.to_owned(), done: 0, total: None }));
    }

    /// A line.
    pub(super) fn notice(&self, text: &str) {
        let _ = self.sender.try_send(Told::Notice(text.to_owned()));
    }

    /// So much is done of a step.
    pub(super) fn counted(&self, name: &str, done: u64, total: Option<u64>) {
        if self.sender.capacity() > QUEUED - COUNTS_QUEUED {
            let _ = self.sender.try_send(Told::Step(Step { name: name.to_owned(), done, total }));
        }
    }

    /// For work whose size is known.
    pub(super) fn advance(&self, name: &'static str) -> Advance {
        let teller = self.clone();
        Arc::new(move |done, total| teller.counted(name, done, total))
    }
}

impl RunObserver for Teller {
    fn phase(&mut self, phase: &Phase) {
        self.step(match phase {
            Phase::Create => "preparing",
            Phase::Template => "making a template, so that later starts are quick",
            Phase::Start { .. } => "starting the guest",
            Phase::Execute { .. } => "running the command",
        });
    }

    fn notice(&mut self, text: &str) {
        Self::notice(self, text);
    }

    fn transferred(&mut self, bytes: u64) {
        self.counted("copying files into the guest", bytes, None);
    }

    fn pull_progress(&self) -> Arc<dyn image::Progress + Send + Sync> {
        Arc::new(Pull { teller: self.clone(), phase: Mutex::new("installing the environment") })
    }
}

/// Of an environment that is being installed.
struct Pull {
    teller: Teller,
    phase: Mutex<&'static str>,
}

impl image::Progress for Pull {
    fn phase(&self, phase: image::Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase.title();
        self.teller.step(phase.title());
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.teller.counted(phase, done, total);
    }
}
