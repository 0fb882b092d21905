//! A burst that fits into every queue: what a call costs while nobody has to wait.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Told, nanoseconds, on_threads};
use crate::{args::Plan, latency::Latency, record::Records, subject::Subject, tally::Offered};

/// Between bursts: 8,000 records of 256 bytes are written in less by the slowest peer.
const PAUSE: Duration = Duration::from_millis(20);
/// Bursts before the measurement, in which memory is touched for the first time.
const WARM: u64 = 4;

/// Half of the bursts are timed as a whole, for the mean cost of a call; in the other half each call is timed, with two
/// readings of the clock, for the percentiles.
pub(super) fn run<S: Subject>(subject: &S, plan: &Plan) -> Vec<Told> {
    let records = (plan.records / plan.threads as u64).max(1);
    on_threads(plan, |thread, start| {
        let mut stamps = Records::new(thread, plan.size);
        let mut latency = Latency::new();
        let mut calls = Vec::new();
        for burst in 0..WARM + 2 * plan.bursts {
            sleep(PAUSE);
            start.wait();
            if burst < WARM || burst % 2 == 0 {
                let begun = Instant::now();
                for _ in 0..records {
                    subject.log(stamps.next());
                }
                if burst >= WARM {
                    calls.push(nanoseconds(begun.elapsed()) as f64 / records as f64);
                }
            } else {
                for _ in 0..records {
                    let record = stamps.next();
                    let begun = Instant::now();
                    subject.log(record);
                    latency.add(nanoseconds(begun.elapsed()));
                }
            }
        }
        let offered = Offered { records: stamps.made(), after: 0 };
        Told { offered, latency: Some(latency), calls }
    })
}
