//! A latency histogram of fixed size. Knows nothing of clocks.

/// Buckets per power of two: a quantile is off by at most 1/64 of its value.
const PER_OCTAVE: usize = 64;
const OCTAVES: usize = 64;

/// Counts of durations in nanoseconds.
pub struct Histogram {
    buckets: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; PER_OCTAVE * OCTAVES].into(), total: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, nanoseconds: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(nanoseconds)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The lower bound of the bucket that holds the `share` (0 to 1) of all durations, in nanoseconds;
    /// 0 when nothing was counted.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.total as f64) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank {
                return lower_bound(index);
            }
        }
        0
    }
}

/// The first 64 buckets hold one value each; from there every power of two has 64 buckets.
fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < PER_OCTAVE as u64 {
        return nanoseconds as usize;
    }
    let exponent = nanoseconds.ilog2() as usize;
    let step = (nanoseconds >> (exponent - 6)) as usize & (PER_OCTAVE - 1);
    (exponent - 5) * PER_OCTAVE + step
}

fn lower_bound(index: usize) -> u64 {
    if index < PER_OCTAVE {
        return index as u64;
    }
    let exponent = index / PER_OCTAVE + 5;
    (1 << exponent) + ((index % PER_OCTAVE) as u64) * (1 << (exponent - 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_is_at_most_a_64th_below() {
        for value in [0, 1, 63, 64, 65, 127, 128, 1_000, 290_816, u64::from(u32::MAX), u64::MAX / 3, u64::MAX]
        {
            let bound = lower_bound(bucket(value));
            assert!(bound <= value && value - bound <= value / 64, "{value}: {bound}");
        }
    }

    #[test]
    fn quantiles_of_an_even_spread_are_where_they_should_be() {
        let mut histogram = Histogram::default();
        (0..10_000).for_each(|value| histogram.add(value));
        for (share, expected) in [(0.5, 5_000), (0.99, 9_900), (0.999, 9_990)] {
            let found = histogram.quantile(share);
            assert!(found <= expected && expected - found <= expected / 64, "{share}: {found}");
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
