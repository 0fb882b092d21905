//! The thread of a flusher: rounds of work, sleep when there was nothing to do, and what is made of panics.

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

/// The pauses after a panic: the first one, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a round of a flusher's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) enum Round {
    /// Something was done; there may be more.
    Busy,
    /// Nothing was to be done.
    Idle,
    /// All is closed, and nobody needs the thread any more.
    Over,
}

/// What runs on the thread.
pub(in crate::write) trait Rounds {
    /// Before the first round.
    fn begin(&mut self) {}

    /// Does once what is to be done now. `stop`: whether the thread is to end when all is closed.
    fn round(&mut self, stop: &Stop) -> Round;

    /// There was nothing to do: sleeps until there is, or does what need not be done at once.
    fn idle(&mut self, stop: &Stop);

    /// A round panicked.
    fn panicked(&mut self, error: &Error);
}

/// Whether a flusher's thread is to end when all is closed.
#[derive(Clone, Default)]
pub(in crate::write) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// As if the last handle were gone, from the beginning on.
    #[cfg(test)]
    pub(super) fn asked() -> Stop {
        Stop(Arc::new(AtomicBool::new(true)))
    }

    /// Acquire pairs with the Release in [`FlusherThread::stop`].
    pub(in crate::write) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// There is no thread, and this is the work.
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
    /// If the system does not give us one; then the work is given back.
    pub(in crate::write) fn start<W: Rounds + Send + 'static>(
        bell: Arc<Bell>,
        work: W,
    ) -> Result<FlusherThread, NotStarted<W>> {
        let stop = Stop::default();
        let (stop_of_thread, bell_of_thread) = (stop.clone(), bell.clone());
        // Where the work is left if there is no thread to take it.
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

    /// Ends the thread once all is closed. `wait`: until it has ended; never on the thread itself.
    pub(crate) fn stop(&mut self, wait: bool) {
        // Release pairs with the Acquire in `Stop::is_asked`; the bell has the fence.
        self.stop.0.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
        self.thread.end(wait);
    }
}

/// Rounds until the last one.
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
            // A bug of ours. What it was about is still there, so the work goes on, with a pause: it may happen
            // again at once.
            Err(panic) => {
                work.panicked(&own_thread::panicked("the flusher", &*panic));
                let until = Instant::now().checked_add(pause);
                bell.sleep(Sleep::Timed, until, || false);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}
