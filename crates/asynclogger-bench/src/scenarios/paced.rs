//! At a given rate. A call's time begins when the call was due, not when the thread got to it, so a call that waits
//! makes those late that were due meanwhile.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Told, nanoseconds, on_threads};
use crate::{
    args::Plan, latency::Latency, outcome::Outcome, record::Records, subject::Subject,
    tally::Offered, trouble,
};

pub(super) fn run<S: Subject>(subject: &S, plan: &Plan) -> Outcome<Vec<Told>> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let trouble = scope.spawn(|| {
            // Relaxed: a thread that sees it late counts a few records less.
            trouble::make(plan.trouble, &plan.directory, || over.store(true, Ordering::Relaxed))
        });
        let told = on_threads(plan, |thread, start| {
            start.wait();
            one(subject, plan, thread, &over)
        });
        trouble.join().expect("the thread that makes trouble")?;
        Ok(told)
    })
}

/// So long a logger is given to reach its pace: its memory and its file are new. No latency of that time counts.
const WARM: Duration = Duration::from_millis(300);

/// One thread; it spins until its next call is due.
fn one<S: Subject>(subject: &S, plan: &Plan, thread: usize, over: &AtomicBool) -> Told {
    let period = plan.threads as f64 / plan.rate;
    let calls = ((WARM + plan.time).as_secs_f64() / period) as u64;
    let warm = (WARM.as_secs_f64() / period) as u64;
    let mut stamps = Records::new(thread, plan.size);
    let mut latency = Latency::new();
    let mut after = None;
    let begun = Instant::now();
    // Threads take turns within a period.
    let shift = period * thread as f64 / plan.threads as f64;
    for call in 0..calls {
        let record = stamps.next();
        let due = begun + Duration::from_secs_f64(shift + call as f64 * period);
        while Instant::now() < due {
            spin_loop();
        }
        if after.is_none() && over.load(Ordering::Relaxed) {
            after = Some(call);
        }
        subject.log(record);
        if call >= warm {
            latency.add(nanoseconds(due.elapsed()));
        }
    }
    let offered = Offered { records: calls, after: after.unwrap_or(calls) };
    Told { offered, latency: Some(latency), calls: Vec::new() }
}
