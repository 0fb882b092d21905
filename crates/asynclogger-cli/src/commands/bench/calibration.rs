//! What the bench itself costs, so that it can be told apart from the logger.

use std::{hint, time::Instant};

use rustix::time::ClockId;

use super::{
    cpu_seconds,
    load::{Until, Worker, latencies, record},
    record::Record,
};

/// Odd, so that the median is one of them.
const ROUNDS: usize = 7;
const CALLS: u64 = 200_000;

/// Taken once, before the load, on one thread.
pub(super) struct Calibration {
    /// Nanoseconds of the clock alone, at the median: the part of every latency that is not the logger's.
    pub(super) empty_call: u64,
    /// CPU seconds of everything that a thread of the load does for one call except the call.
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

/// The loop of the load with a call that does nothing: the stamp, both clock reads, the histogram. Everything it
/// touches stays in the first cache, which it does not beside a logger; so this is rather too little than too much.
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
