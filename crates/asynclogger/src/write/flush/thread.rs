//! The thread of a flusher: rounds of work, sleep without work, and the handling of panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    Error,
    sync::{Arc, AtomicBool, Mutex, Ordering, lock},
    write::{
        common::{Local, OwnThread, own_thread},
        swap::{Bell, Sleep},
    },
};

/// The pause after the first panic. Each pause is twice the last one.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The result of a round of a flusher's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) enum Round {
    /// The round did something, and more work can be left.
    Busy,
    /// The round had nothing to do.
    Idle,
    /// All logs are closed, and no handle needs the thread any more.
    Over,
}

/// The work that runs on the thread.
pub(in crate::write) trait Rounds {
    /// Called before the first round.
    fn begin(&mut self) {}

    /// Does one round of the work that is due now. `stop` says whether the thread has to end when all logs are closed.
    fn round(&mut self, stop: &Stop) -> Round;

    /// Called after a round without work: sleeps until work comes, or does work that is not urgent.
    fn idle(&mut self, stop: &Stop);

    /// Called after a round that panicked.
    fn panicked(&mut self, error: &Error);
}

/// Whether a flusher's thread has to end when all logs are closed.
#[derive(Clone, Default)]
pub(in crate::write) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A stop that is requested from the beginning on, as if the last handle were gone.
    #[cfg(test)]
    pub(in crate::write) fn asked() -> Stop {
        Stop(Arc::new(AtomicBool::new(true)))
    }

    /// Acquire pairs with the Release in [`FlusherThread::stop`].
    pub(in crate::write) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The system has given no thread; this has the work.
pub(in crate::write) struct NotStarted<W> {
    pub(in crate::write) error: Error,
    pub(in crate::write) work: Option<W>,
}

/// A handle to a flusher's thread.
pub(crate) struct FlusherThread {
    stop: Stop,
    bell: Arc<Bell>,
    thread: OwnThread,
}

impl FlusherThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread; then the work is given back.
    pub(in crate::write) fn start<W: Rounds + Send + 'static>(
        bell: Arc<Bell>,
        work: W,
    ) -> Result<FlusherThread, NotStarted<W>> {
        let stop = Stop::default();
        let (stop_of_thread, bell_of_thread) = (stop.clone(), bell.clone());
        // The work stays here if the system gives no thread to take it.
        let place = Arc::new(Mutex::new(Some(work)));
        let place_of_thread = place.clone();
        let started = OwnThread::flusher(move || {
            // All of the thread is "inside": a signal handler or callback that logs here neither waits for
            // this thread nor locks what it holds.
            Local::with(|local| {
                local.become_flusher();
                let _inside = local.enter();
                let work = lock(&place_of_thread).take();
                if let Some(work) = work {
                    run(work, &stop_of_thread, &bell_of_thread);
                }
            });
        });
        match started {
            Ok(thread) => Ok(FlusherThread { stop, bell, thread }),
            Err(error) => Err(NotStarted { error, work: lock(&place).take() }),
        }
    }

    /// Ends the thread once all logs are closed. `wait` says whether to wait for its end, which the thread itself must
    /// not do.
    pub(crate) fn stop(&mut self, wait: bool) {
        // Release pairs with the Acquire in `Stop::is_asked`; the bell has the fence.
        self.stop.0.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
        self.thread.end(wait);
    }
}

/// Runs rounds until the work is over.
pub(super) fn run(mut work: impl Rounds, stop: &Stop, bell: &Bell) {
    work.begin();
    let mut pause = PAUSE_MIN;
    loop {
        let turn = || {
            let round = work.round(stop);
            if round == Round::Idle {
                work.idle(stop);
            }
            round
        };
        match catch_unwind(AssertUnwindSafe(turn)) {
            Ok(Round::Over) => return,
            Ok(Round::Busy | Round::Idle) => pause = PAUSE_MIN,
            // A bug of this library. Its cause is still there, so the work continues after a pause: the panic could
            // happen again at once.
            Err(panic) => {
                work.panicked(&own_thread::panicked("the flusher", &*panic));
                let until = Instant::now().checked_add(pause);
                bell.sleep(Sleep::Timed, until, || false);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}
