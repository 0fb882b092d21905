//! What tells a shipper to stop or to look again, how it waits, and how fast it sends.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::Error;

/// Shared by a shipper and those who command it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    notified: bool,
    /// When the next byte may go out.
    free_at: Option<Instant>,
}

impl Control {
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.0.changed.notify_all();
    }

    /// Ends a wait for new segments. Blocks for no longer than a thread takes to set a flag.
    pub(crate) fn notify(&self) {
        self.state().notified = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// An error once the shipper was told to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_stopped() { Err(Error::stopped()) } else { Ok(()) }
    }

    /// Waits for new segments, at most so long.
    pub(crate) fn wait_for_news(&self, limit: Duration) {
        self.wait(limit, |state| state.stopped || state.notified);
        self.state().notified = false;
    }

    /// Waits that long, unless the shipper is told to stop.
    pub(crate) fn pause(&self, duration: Duration) {
        self.wait(duration, |state| state.stopped);
    }

    /// Waits until `bytes` may go out at `rate` bytes a second.
    pub(crate) fn take_turn(&self, bytes: u64, rate: Option<u64>) {
        let Some(rate) = rate else { return };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let now = Instant::now();
        let from = {
            let mut state = self.state();
            let from = state.free_at.map_or(now, |free_at| free_at.max(now));
            state.free_at = Some(from + takes);
            from
        };
        self.pause(from.saturating_duration_since(now));
    }

    fn wait(&self, limit: Duration, is_over: impl Fn(&State) -> bool) {
        let waited =
            self.0.changed.wait_timeout_while(self.state(), limit, |state| !is_over(state));
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delays between attempts: twice as long each time, up to a limit, and each anywhere between a half and the whole of
/// that, so that shippers that failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    const LEAST: Duration = Duration::from_millis(500);

    pub(crate) fn up_to(most: Duration) -> Backoff {
        Backoff { next: Backoff::LEAST, most }
    }

    pub(crate) fn next_delay(&mut self) -> Duration {
        let whole = self.next.min(self.most);
        self.next = whole.saturating_mul(2);
        let random = RandomState::new().build_hasher().finish();
        whole / 2 + whole.mul_f64((random >> 11) as f64 / (1_u64 << 54) as f64)
    }

    pub(crate) fn reset(&mut self) {
        self.next = Backoff::LEAST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit_and_begin_anew() {
        let most = Duration::from_secs(10);
        let mut backoff = Backoff::up_to(most);
        for expected in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let expected = Duration::from_millis(expected);
            let delay = backoff.next_delay();
            assert!(delay >= expected / 2 && delay <= expected, "{delay:?} of {expected:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Backoff::LEAST);
    }

    #[test]
    fn a_stop_ends_every_wait() {
        let control = Control::default();
        control.stop();
        control.pause(Duration::from_secs(1000));
        control.wait_for_news(Duration::from_secs(1000));
        control.take_turn(1000, Some(1));
        control.take_turn(1000, Some(1));
        assert!(control.check().is_err());
    }
}
