//! What is said of a set of figures. Percentiles are figures that were measured, by the nearest rank: nothing is interpolated.

use serde::Serialize;

/// A set of figures, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many there are.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// Half of them are no larger.
    pub p50: f64,
    /// Nine tenths of them are no larger.
    pub p90: f64,
}

impl Summary {
    /// Sums up; nothing when there are none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let min = *sorted.first()?;
        Some(Self { n: sorted.len(), min, p50: percentile(&sorted, 50)?, p90: percentile(&sorted, 90)? })
    }
}

/// The smallest of the sorted figures that `percent` of them do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// To a thousandth: more digits than that are noise.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_figures() {
        let figures: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(Summary::of(&figures), Some(Summary { n: 10, min: 1.0, p50: 5.0, p90: 9.0 }));
        assert_eq!(Summary::of(&[2.0, 1.0, 9.0]), Some(Summary { n: 3, min: 1.0, p50: 2.0, p90: 9.0 }));
    }

    #[test]
    fn one_figure_is_all_of_them_and_none_is_nothing() {
        assert_eq!(Summary::of(&[7.5]), Some(Summary { n: 1, min: 7.5, p50: 7.5, p90: 7.5 }));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn digits_beyond_a_thousandth_are_dropped() {
        assert_eq!(rounded(1.234_56), 1.235);
    }
}
