//! The result, as data for programs. Field names are never renamed; `schema` is raised when a meaning changes.

use super::lab::Lab;
use super::metric::Metric;
use super::metric::Unit;
use super::options::Group;
use super::samples::Samples;
use super::statistics::Summary;
use super::statistics::rounded;
use crate::machine::Size;
use pyro_engine::Acceleration;
use pyro_engine::EngineKind;
use serde::Serialize;

const SCHEMA: u32 = 1;

/// What was measured, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The shape of this document.
    pub schema: u32,
    /// The environment whose guests were measured.
    pub environment: String,
    /// Its version.
    pub environment_version: String,
    /// The engine that ran them.
    pub engine: EngineKind,
    /// What executed them.
    pub acceleration: Acceleration,
    /// What each had.
    pub size: Size,
    /// The first command of a guest, wherever a figure has one in it.
    pub first_command: String,
    /// The machine.
    pub host: Host,
    /// The figures.
    pub rows: Vec<Row>,
}

/// The machine, as far as it explains the figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Host {
    /// Processors this process may use.
    pub cpus: usize,
    /// The load average of the last minute, before anything was measured: figures of a busy machine are no promise.
    pub load_1_minute: f64,
}

impl Host {
    pub(super) fn now() -> Self {
        const SCALE: f64 = 65536.0;
        let load = rustix::system::sysinfo().loads[0] as f64 / SCALE;
        Self { cpus: cpus(), load_1_minute: (load * 100.0).round() / 100.0 }
    }
}

/// Processors this process may use.
pub(super) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its stable name.
    pub name: &'static str,
    /// What it was measured with.
    pub group: Group,
    /// What it is measured in.
    pub unit: Unit,
    /// The figures.
    #[serde(flatten)]
    pub summary: Summary,
    /// The name of what the engine alone needs for the same.
    pub floor: Option<&'static str>,
    /// Its median divided by that one's, when both were measured.
    pub floor_ratio: Option<f64>,
    /// How it is measured.
    pub method: &'static str,
}

impl Report {
    pub(super) fn new(lab: &Lab, host: Host, samples: &Samples) -> Self {
        let engine = &lab.plan.engine;
        Self {
            schema: SCHEMA,
            environment: lab.plan.installed.name.clone(),
            environment_version: lab.plan.installed.version.clone(),
            engine: engine.kind(),
            acceleration: engine.acceleration(),
            size: lab.plan.size,
            first_command: lab.question.join(" "),
            host,
            rows: rows(samples),
        }
    }
}

fn rows(samples: &Samples) -> Vec<Row> {
    let median = |name: &str| {
        let (_, figures) = samples.iter().find(|(metric, _)| metric.name == name)?;
        Summary::of(figures).map(|summary| summary.p50)
    };
    let row = |(metric, figures): (&Metric, &[f64])| {
        let summary = Summary::of(figures)?;
        let floor = metric.floor.and_then(median).filter(|floor| *floor > 0.0);
        let Summary { n, min, p50, p90 } = summary;
        Some(Row {
            name: metric.name,
            group: metric.group,
            unit: metric.unit,
            summary: Summary { n, min: rounded(min), p50: rounded(p50), p90: rounded(p90) },
            floor: metric.floor,
            floor_ratio: floor.map(|floor| rounded(p50 / floor)),
            method: metric.method,
        })
    };
    samples.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::metric::FLOOR_RESTORE;
    use super::super::metric::START_HELLO;
    use super::*;

    #[test]
    fn a_row_is_divided_by_its_floor_when_that_was_measured() {
        let mut samples = Samples::default();
        samples.push(START_HELLO, 90.0);
        assert_eq!(rows(&samples)[0].floor_ratio, None);
        samples.push(FLOOR_RESTORE, 60.0);
        let rows = rows(&samples);
        assert_eq!((rows[0].name, rows[0].floor_ratio), ("start_hello", Some(1.5)));
        assert_eq!(rows[1].floor_ratio, None);
    }

    #[test]
    fn a_row_is_flat_in_json() {
        let mut samples = Samples::default();
        samples.push(FLOOR_RESTORE, 60.000_04);
        let row = serde_json::to_value(&rows(&samples)[0]).unwrap();
        assert_eq!((&row["n"], &row["p50"], &row["unit"]), (&1.into(), &60.0.into(), &"ms".into()));
        assert_eq!(row["group"], "floor");
    }
}
