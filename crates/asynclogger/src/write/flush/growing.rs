//! Allocates the memory of a map that the opening has left, when a flusher has nothing else to do.

use std::{
    io,
    time::{Duration, Instant},
};

/// The time from a failed attempt to the next one.
const RETRY: Duration = Duration::from_secs(1);

/// What became of an attempt.
#[derive(Debug)]
pub(in crate::write) enum Grown {
    /// Nothing was to be done now.
    Nothing,
    /// There is more memory than before, and perhaps more to allocate.
    Some,
    /// All memory is there, after a lack that was reported.
    All,
    /// The first failed attempt in a row.
    Failed(io::Error),
}

/// The progress of the allocation.
#[derive(Debug, Default)]
pub(in crate::write) struct Growing {
    is_over: bool,
    is_reported: bool,
    next_try: Option<Instant>,
}

impl Growing {
    /// Lets `part` allocate the next part, if that is due. `part` returns whether there was one.
    pub(in crate::write) fn advance(
        &mut self,
        now: Instant,
        part: impl FnOnce() -> io::Result<bool>,
    ) -> Grown {
        if self.is_over || self.next_try.is_some_and(|next| now < next) {
            return Grown::Nothing;
        }
        let result = part();
        self.next_try = if result.is_err() { now.checked_add(RETRY) } else { None };
        match result {
            Ok(true) => Grown::Some,
            Ok(false) => {
                self.is_over = true;
                if self.is_reported { Grown::All } else { Grown::Nothing }
            }
            // One report of a lack, however many attempts fail.
            Err(_) if self.is_reported => Grown::Nothing,
            Err(error) => {
                self.is_reported = true;
                Grown::Failed(error)
            }
        }
    }

    /// When the next attempt is due, if one failed.
    pub(in crate::write) fn wake_at(&self) -> Option<Instant> {
        self.next_try
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_reported_once_and_ends_when_all_is_there() {
        let (mut growing, now) = (Growing::default(), Instant::now());
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(growing.advance(now, || Ok(true)), Grown::Some));
        assert_eq!(growing.wake_at(), None);
        assert!(matches!(growing.advance(now, full), Grown::Failed(_)));
        let next = growing.wake_at().expect("another attempt");
        assert!(next > now);
        assert!(matches!(growing.advance(now, || panic!("too early")), Grown::Nothing));
        assert!(matches!(growing.advance(next, full), Grown::Nothing));
        let next = growing.wake_at().expect("another attempt");
        assert!(matches!(growing.advance(next, || Ok(true)), Grown::Some));
        assert!(matches!(growing.advance(next, full), Grown::Nothing));
        let next = growing.wake_at().expect("another attempt");
        assert!(matches!(growing.advance(next, || Ok(false)), Grown::All));
        assert_eq!(growing.wake_at(), None);
        assert!(matches!(growing.advance(next, || panic!("it is over")), Grown::Nothing));
    }
}
