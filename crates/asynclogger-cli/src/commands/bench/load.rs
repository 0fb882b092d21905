//! The timed part: threads that only log and measure each call.

use std::{
    sync::{Arc, Barrier},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use asynclogger::Logger;
use hdrhistogram::Histogram;

use super::record::Record;
use crate::{outcome::Failure, writing::args::BenchArgs};

const DEFAULT_SECONDS: Duration = Duration::from_secs(5);

/// If the due time is closer than this, a thread waits without sleeping, because waking up takes about as
/// long.
const AWAKE: Duration = Duration::from_micros(80);

/// A histogram of the durations of calls, in nanoseconds. Two digits are exact below 256 ns, where the
/// differences are small, and within 1 % above. The histogram is small enough that recording one call does
/// not push the data of the next one out of the cache.
pub(super) type Latencies = Histogram<u64>;

pub(super) fn latencies() -> Latencies {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 2).expect("constant bounds")
}

#[inline]
pub(super) fn record(latencies: &mut Latencies, time: Duration) {
    latencies.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// The condition for the end of a thread's work.
#[derive(Clone, Copy)]
pub(super) enum Until {
    Count(u64),
    Time(Duration),
}

/// The work of one thread.
pub(super) struct ThreadLoad {
    /// The number of accepted records; they have the numbers `0..accepted`.
    pub(super) accepted: u64,
    pub(super) calls: u64,
    /// The session in the positions of the records.
    pub(super) session: Option<u64>,
    latencies: Latencies,
}

/// The work of all threads.
pub(super) struct Load {
    pub(super) threads: Vec<ThreadLoad>,
    pub(super) latencies: Latencies,
}

impl Load {
    /// Starts the threads; they wait for [`Ready::run`].
    pub(super) fn prepare(
        args: &BenchArgs,
        logger: &Logger,
        form: &Record,
    ) -> Result<Ready, Failure> {
        let start = Arc::new(Barrier::new(args.threads as usize + 1));
        let mut threads = Vec::new();
        for thread in 0..args.threads {
            let until = match args.count {
                Some(total) => {
                    let share = total / u64::from(args.threads);
                    let rest = total % u64::from(args.threads);
                    Until::Count(share + u64::from(u64::from(thread) < rest))
                }
                None => Until::Time(args.seconds.unwrap_or(DEFAULT_SECONDS)),
            };
            let gap = args.rate.map(|rate| 1e9 / rate as f64);
            let worker = Worker { buffer: form.buffer(), thread, until, gap };
            let logger = logger.clone();
            let waiting = Arc::clone(&start);
            let spawned = thread::Builder::new().name(format!("bench-{thread}")).spawn(move || {
                waiting.wait();
                worker.run(|record| logger.try_log_bytes(record).ok().map(|at| at.session()))
            });
            // The started threads wait for ever; the process ends with this error.
            threads.push(spawned.map_err(|error| Failure::io("cannot start a thread", error))?);
        }
        Ok(Ready { start, threads })
    }

    pub(super) fn accepted(&self) -> u64 {
        self.threads.iter().map(|thread| thread.accepted).sum()
    }

    pub(super) fn calls(&self) -> u64 {
        self.threads.iter().map(|thread| thread.calls).sum()
    }

    pub(super) fn session(&self) -> Option<u64> {
        self.threads.iter().find_map(|thread| thread.session)
    }
}

/// Threads at the start line.
pub(super) struct Ready {
    start: Arc<Barrier>,
    threads: Vec<JoinHandle<ThreadLoad>>,
}

impl Ready {
    /// Lets all threads go at once, and waits for the last.
    pub(super) fn run(self) -> Load {
        self.start.wait();
        let threads: Vec<ThreadLoad> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        let mut all = latencies();
        for thread in &threads {
            all.add(&thread.latencies).expect("the same bounds");
        }
        Load { threads, latencies: all }
    }
}

/// One thread of the load.
pub(super) struct Worker {
    pub(super) buffer: Vec<u8>,
    pub(super) thread: u32,
    pub(super) until: Until,
    /// Nanoseconds from one call to the next.
    pub(super) gap: Option<f64>,
}

impl Worker {
    /// Runs the loop. `call` gets one record after the other and returns the session that accepted it. `call`
    /// is a parameter so that the calibration can run this very loop.
    ///
    /// The next record gets a new number only if the record before was accepted. So one count, without gaps,
    /// shows which records have to be in the file afterwards.
    pub(super) fn run(mut self, mut call: impl FnMut(&[u8]) -> Option<u64>) -> ThreadLoad {
        let mut done = ThreadLoad { accepted: 0, calls: 0, session: None, latencies: latencies() };
        let started = Instant::now();
        let mut now = started;
        loop {
            let enough = match self.until {
                Until::Count(count) => done.calls >= count,
                Until::Time(time) => now - started >= time,
            };
            if enough {
                return done;
            }
            if let Some(gap) = self.gap {
                wait_until(started + Duration::from_nanos((gap * done.calls as f64) as u64));
            }
            Record::stamp(&mut self.buffer, self.thread, done.accepted);
            let before = Instant::now();
            let session = call(&self.buffer);
            now = Instant::now();
            record(&mut done.latencies, now - before);
            done.calls += 1;
            if session.is_some() {
                done.accepted += 1;
                done.session = session;
            }
        }
    }
}

/// Waits until the due time. Yields to other threads meanwhile, because the flusher may need this core.
fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if left > AWAKE { thread::sleep(left - AWAKE) } else { thread::yield_now() }
    }
}
