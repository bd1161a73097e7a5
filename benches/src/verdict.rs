//! From rounds to a verdict: which rounds are clean, and what share of the ceiling they show.
//! Pure: knows neither servers nor clocks.

/// A ceiling above the best one seen by more than this was disturbed by other work.
const CEILING_SPREAD: f64 = 1.05;
/// If both ends are less busy than this, another process may have had the core.
const BUSY: f64 = 0.90;
/// No other process had it if neither end has waited for its core longer than this: then the load itself leaves
/// gaps, as large messages do.
const WAITED: f64 = 0.05;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// CPU nanoseconds of the server for each message.
    pub ns: f64,
    /// Elapsed nanoseconds for each message.
    pub wall: f64,
    /// The busier of the two ends: its share of the time on a core.
    pub busy: f64,
    /// The share of the time that the end which waited longer was kept off its core.
    pub waited: f64,
}

impl Figure {
    fn undisturbed(self) -> bool {
        self.busy >= BUSY || self.waited <= WAITED
    }
}

/// The ceiling and a server, measured one right after the other.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// The bare server.
    pub ceiling: Figure,
    /// The server under test.
    pub server: Figure,
}

/// What the clean rounds of a cell show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The median of the ceiling's cost, in nanoseconds.
    pub ceiling_ns: f64,
    /// The median of the server's cost, in nanoseconds.
    pub server_ns: f64,
    /// The median over the rounds of ceiling / server, in percent.
    pub median: f64,
    /// The best ceiling over the best server, in percent.
    pub best: f64,
}

/// The rounds that other work on the machine has not disturbed. A better ceiling that comes later
/// takes earlier rounds away again.
pub fn clean(rounds: &[Round]) -> Vec<Round> {
    let best = rounds.iter().map(|round| round.ceiling.ns).fold(f64::INFINITY, f64::min);
    rounds
        .iter()
        .filter(|round| round.ceiling.ns <= best * CEILING_SPREAD)
        .filter(|round| round.ceiling.undisturbed() && round.server.undisturbed())
        .copied()
        .collect()
}

/// The share that `rounds` show; `None` without any.
pub fn share(rounds: &[Round]) -> Option<Share> {
    let of = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let least = |figures: &[f64]| figures.iter().copied().fold(f64::INFINITY, f64::min);
    let (ceilings, servers) = (of(|round| round.ceiling.ns), of(|round| round.server.ns));
    Some(Share {
        ceiling_ns: median(ceilings.clone())?,
        server_ns: median(servers.clone())?,
        median: median(of(|round| round.ceiling.ns / round.server.ns))? * 100.0,
        best: least(&ceilings) / least(&servers) * 100.0,
    })
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get((figures.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ceiling: f64, server: f64) -> Round {
        let figure = |ns| Figure { ns, wall: ns, busy: 0.98, waited: 0.01 };
        Round { ceiling: figure(ceiling), server: figure(server) }
    }

    #[test]
    fn a_round_with_a_slow_ceiling_is_not_clean() {
        let rounds = [round(100.0, 125.0), round(104.9, 125.0), round(105.1, 125.0)];
        assert_eq!(clean(&rounds).len(), 2);
    }

    #[test]
    fn a_round_with_gaps_is_clean_if_no_process_was_kept_off_a_core() {
        let mut gaps = round(100.0, 125.0);
        gaps.server.busy = 0.5;
        assert_eq!(clean(&[gaps]).len(), 1);
        gaps.server.waited = 0.2;
        assert_eq!(clean(&[gaps]).len(), 0);
    }

    #[test]
    fn a_better_ceiling_takes_earlier_rounds_away() {
        assert_eq!(clean(&[round(100.0, 1.0), round(90.0, 1.0)]).len(), 1);
    }

    #[test]
    fn the_share_is_taken_within_each_round() {
        let rounds = [round(100.0, 200.0), round(102.0, 102.0), round(104.0, 130.0)];
        let share = share(&rounds).expect("three rounds");
        assert_eq!((share.ceiling_ns, share.server_ns), (102.0, 130.0));
        assert!((share.median - 80.0).abs() < 1e-9 && (share.best - 100.0 / 102.0 * 100.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_without_rounds() {
        assert_eq!(share(&[]), None);
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
    }
}
