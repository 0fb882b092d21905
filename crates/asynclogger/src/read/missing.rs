//! The sequences of blocks that were passed over and may still come.

/// The most ranges. Beyond this number the oldest range is forgotten; a block that comes late from it counts
/// as read, because no record may be delivered twice.
const MAX_RANGES: usize = 1024;

/// Ranges `[from, to)`, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing(Vec<(u64, u64)>);

impl Missing {
    /// Adds a range that lies behind all others.
    pub(super) fn insert(&mut self, from: u64, to: u64) {
        if self.0.len() >= MAX_RANGES {
            self.0.remove(0);
        }
        self.0.push((from, to));
    }

    /// Takes out one sequence; `false` if it was not in a range.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let found = self.0.iter().position(|(from, to)| (*from..*to).contains(&sequence));
        let Some(index) = found else { return false };
        let Some((from, to)) = self.0.get(index).copied() else { return false };
        let rest = [(from, sequence), (sequence + 1, to)].into_iter().filter(|(a, b)| a < b);
        self.0.splice(index..=index, rest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_missing_until_it_comes() {
        let mut missing = Missing::default();
        missing.insert(3, 6);
        missing.insert(9, 10);
        assert!(!missing.remove(2) && !missing.remove(6));
        assert!(missing.remove(4) && !missing.remove(4));
        assert_eq!(missing.0, [(3, 4), (5, 6), (9, 10)]);
        assert!(missing.remove(9) && missing.remove(3) && missing.remove(5));
        assert_eq!(missing.0, []);
    }

    #[test]
    fn the_oldest_range_is_forgotten() {
        let mut missing = Missing::default();
        (0..MAX_RANGES as u64 + 1).for_each(|n| missing.insert(2 * n, 2 * n + 1));
        assert!(!missing.remove(0));
        assert!(missing.remove(2));
    }
}
