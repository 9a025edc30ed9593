//! `pyro bench`.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use crate::signals;
use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use pyro::Config;
use pyro::bench::BenchError;
use pyro::bench::Group;
use pyro::bench::Observer;
use pyro::bench::Options;
use pyro::bench::Report;
use pyro::bench::Row;

/// Measure what guests cost on this machine, beside what the engine alone costs.
///
/// Figures are medians (p50), ninth deciles (p90) and minima of what was measured here and now, each with the method behind
/// it. `x floor` divides a median by what the engine alone needs for the same, measured in turn with it. Everything that is
/// started is ended again, and nothing is kept. A full run takes some minutes under emulation.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Environment whose guests are measured; it must be installed.
    #[arg(default_value = "debian:12")]
    environment: String,

    /// How often each thing is done; warm commands four times as often, forks of each size once.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// Measure these alone, separated by commas: floor, boot, start, exec, snapshot, fork, idle.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Group>,

    /// Idle guests there are at once.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    idle_guests: u32,

    /// Fork into so many, separated by commas: 1, 10, 50.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,10,50", value_parser = forks)]
    forks: Vec<u32>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn forks(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "10" => Ok(10),
        "50" => Ok(50),
        _ => Err("there are 1, 10 and 50".to_owned()),
    }
}

impl Bench {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let config = settings::config(engine, exit::FAILED)?;
        let options = Options {
            environment: self.environment,
            runs: self.runs,
            only: self.only,
            forks: self.forks,
            idle_guests: self.idle_guests,
        };
        let report = measure(&config, &options)?;
        if self.json {
            output::json(&report);
        } else {
            print(&report);
        }
        Ok(exit::OK)
    }
}

/// Measures on this thread, which is the process's first and so outlives the guests. A signal drops the measurement, which
/// ends what it has started.
fn measure(config: &Config, options: &Options) -> Result<Report, Failure> {
    EventLoop::new().map_err(Failure::event_loop(exit::FAILED))?.block_on(async {
        let mut interrupts = signals::listen();
        let mut lines = Lines;
        let ended = tokio::select! {
            ended = pyro::bench::bench(config, options, &mut lines) => ended,
            Some(signal) = interrupts.recv() => return Err(interrupted(signal)),
        };
        ended.map_err(|error: BenchError| Failure::new(&error, exit::FAILED))
    })
}

fn interrupted(signal: i32) -> Failure {
    let message = format!("interrupted by signal {signal}");
    Failure::plain("interrupted", message, "nothing is left of what was measured", 128 + signal)
}

/// Progress, as lines on standard error.
struct Lines;

impl Observer for Lines {
    fn progress(&mut self, text: &str) {
        output::error_line(&format!("[bench] {text}"));
    }

    fn notice(&mut self, text: &str) {
        output::error_line(&format!("[bench] {text}"));
    }
}

fn print(report: &Report) {
    output::line(&heading(report));
    output::line(&table(&report.rows).to_string());
    output::line("");
    for row in &report.rows {
        output::line(&format!("{}: {}", row.name, row.method));
    }
}

fn heading(report: &Report) -> String {
    format!(
        "{} {}, {} MiB, vcpus {}, {:?} {:?}, first command '{}'; host: {} processors, load {:.2}\n",
        report.environment,
        report.environment_version,
        report.size.mem.get(),
        report.size.vcpus.get(),
        report.engine,
        report.acceleration,
        report.first_command,
        report.host.cpus,
        report.host.load_1_minute
    )
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["", "p50", "p90", "min", "unit", "n", "x floor"]);
    for row in rows {
        let summary = &row.summary;
        let ratio = row.floor_ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        table.add_row([
            row.name.to_owned(),
            figure(summary.p50),
            figure(summary.p90),
            figure(summary.min),
            row.unit.symbol().to_owned(),
            summary.n.to_string(),
            ratio,
        ]);
    }
    for index in [1, 2, 3, 5, 6] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Three digits or so: no more than a measurement is good for.
fn figure(value: f64) -> String {
    let digits = if value >= 100.0 { 0 } else { 2 };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro::bench::Summary;
    use pyro::bench::Unit;

    #[test]
    fn a_row_shows_its_figures_and_its_ratio() {
        let summary = Summary { n: 20, min: 61.0, p50: 90.5, p90: 140.2 };
        let row = Row {
            name: "start_hello",
            group: Group::Start,
            unit: Unit::Milliseconds,
            summary,
            floor: Some("floor_restore"),
            floor_ratio: Some(1.5),
            method: "as it is",
        };
        let text = table(&[row]).to_string();
        let line = text.lines().find(|line| line.contains("start_hello")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["start_hello", "90.50", "140", "61.00", "ms", "20", "1.50"]);
    }

    #[test]
    fn only_known_forks_are_taken() {
        assert_eq!(forks("10"), Ok(10));
        assert!(forks("11").is_err());
    }
}
