//! The figures as they come in, by what they are of, in the order in which each kind first came.

use super::metric::Metric;
use std::time::Duration;

/// The figures so far.
#[derive(Debug, Default)]
pub(super) struct Samples {
    all: Vec<(Metric, Vec<f64>)>,
}

impl Samples {
    pub(super) fn push(&mut self, metric: Metric, figure: f64) {
        match self.all.iter_mut().find(|(known, _)| *known == metric) {
            Some((_, figures)) => figures.push(figure),
            None => self.all.push((metric, vec![figure])),
        }
    }

    pub(super) fn push_time(&mut self, metric: Metric, time: Duration) {
        self.push(metric, time.as_secs_f64() * 1000.0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Metric, &[f64])> {
        self.all.iter().map(|(metric, figures)| (metric, figures.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::EXEC_WARM_TRUE;
    use super::super::metric::FLOOR_RESTORE;
    use super::*;

    #[test]
    fn figures_of_one_kind_come_together() {
        let mut samples = Samples::default();
        samples.push_time(FLOOR_RESTORE, Duration::from_millis(60));
        samples.push(EXEC_WARM_TRUE, 3.0);
        samples.push(FLOOR_RESTORE, 61.0);
        let all: Vec<_> = samples.iter().map(|(metric, figures)| (metric.name, figures.to_vec())).collect();
        assert_eq!(all, [("floor_restore", vec![60.0, 61.0]), ("exec_warm_true", vec![3.0])]);
    }
}
