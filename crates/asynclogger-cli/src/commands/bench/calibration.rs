//! The cost of the bench itself, so that it can be subtracted from that of the logger.

use std::{hint, time::Instant};

use rustix::time::ClockId;

use super::{
    cpu_seconds,
    load::{Until, Worker, latencies, record},
    record::Record,
};

/// The number of rounds; odd, so that the median is one of them.
const ROUNDS: usize = 7;
const CALLS: u64 = 200_000;

/// The calibration: measured once, before the load, on one thread.
pub(super) struct Calibration {
    /// The median time of the clock alone, in nanoseconds: this part of every latency is not the logger's.
    pub(super) empty_call: u64,
    /// CPU time of everything that a thread of the load does for one call, without the call, in seconds.
    pub(super) harness_call: f64,
}

impl Calibration {
    pub(super) fn measure(form: &Record) -> Calibration {
        Calibration { empty_call: empty_call(), harness_call: harness_call(form) }
    }
}

fn empty_call() -> u64 {
    let mut empty = latencies();
    for _ in 0..200_000 {
        let before = Instant::now();
        hint::black_box(());
        let after = Instant::now();
        record(&mut empty, after - before);
    }
    empty.value_at_quantile(0.5)
}

/// Runs the loop of the load with a call that does nothing: the stamp, both clock reads, the histogram. All
/// data of this loop stay in the first-level cache, unlike beside a logger, so the calibration is too low
/// rather than too high.
fn harness_call(form: &Record) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let until = Until::Count(CALLS);
            let worker = Worker { buffer: form.buffer(), thread: 0, until, gap: None };
            let before = cpu_seconds(ClockId::ThreadCPUTime);
            hint::black_box(worker.run(|record| Some(hint::black_box(record).len() as u64)));
            (cpu_seconds(ClockId::ThreadCPUTime) - before) / CALLS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
