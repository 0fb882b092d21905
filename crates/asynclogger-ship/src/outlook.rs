//! How a shipper is, and who is told what it does.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{Error, ErrorKind, Event, Health, control::Backoff};

/// The longest time between two attempts.
const MOST_DELAY: Duration = Duration::from_secs(60);
/// Refused credentials seldom become good by themselves: attempts are that much rarer then.
const DENIED_FACTOR: u32 = 5;

/// A function that is told of each event.
pub(crate) type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Health, as others see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthCell(Arc<Mutex<Health>>);

impl HealthCell {
    pub(crate) fn get(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, health: Health) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    fn since(&self) -> SystemTime {
        match self.get() {
            Health::Good => SystemTime::now(),
            Health::Degraded { since, .. } | Health::Failing { since, .. } => since,
        }
    }

    pub(crate) fn failing(&self, error: Error) {
        self.set(Health::Failing { since: self.since(), error });
    }
}

/// What a run shows of itself.
pub(crate) struct Outlook {
    health: HealthCell,
    listener: Option<Listener>,
    backoff: Backoff,
}

impl Outlook {
    pub(crate) fn new(health: HealthCell, listener: Option<Listener>) -> Outlook {
        Outlook { health, listener, backoff: Backoff::up_to(MOST_DELAY) }
    }

    pub(crate) fn tell(&self, event: &Event) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    /// A round ended; `all` says whether no segment was left alone.
    pub(crate) fn good(&mut self, all: bool) {
        self.progress();
        if all {
            self.health.set(Health::Good);
        }
    }

    /// The store took something.
    pub(crate) fn progress(&mut self) {
        self.backoff.reset();
    }

    pub(crate) fn left_alone(&self, error: &Error) {
        self.health.failing(error.clone());
    }

    /// The store failed; how long to wait.
    pub(crate) fn trouble(&mut self, error: Error) -> Duration {
        let delay = match error.kind() {
            ErrorKind::Denied => {
                self.health.failing(error.clone());
                self.backoff.next_delay() * DENIED_FACTOR
            }
            _ => {
                let since = self.health.since();
                self.health.set(Health::Degraded { since, error: error.clone() });
                self.backoff.next_delay()
            }
        };
        self.tell(&Event::Waiting { error, delay });
        delay
    }

    /// So many bytes wait, where `limit` may.
    pub(crate) fn room(&self, waiting: u64, limit: u64) {
        if waiting > limit {
            let text =
                format!("{waiting} bytes wait to be shipped, more than the limit of {limit}");
            self.health.failing(Error::new(ErrorKind::Other, text));
        }
    }
}

impl fmt::Debug for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlook").field("health", &self.health).finish_non_exhaustive()
    }
}
