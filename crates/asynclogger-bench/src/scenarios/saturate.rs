//! As much as goes: threads that do nothing but log, until the time or the bytes are over.

use std::time::Instant;

use super::{Told, on_threads};
use crate::{args::Plan, record::Records, subject::Subject, tally::Offered};

/// Calls between two looks at the clock.
const CALLS: u64 = 64;

pub(super) fn run<S: Subject>(subject: &S, plan: &Plan) -> Vec<Told> {
    let most = plan.bytes / plan.size as u64 / plan.threads as u64;
    on_threads(plan, |thread, start| {
        let mut stamps = Records::new(thread, plan.size);
        start.wait();
        let begun = Instant::now();
        while stamps.made() < most && begun.elapsed() < plan.time {
            for _ in 0..CALLS.min(most - stamps.made()) {
                subject.log(stamps.next());
            }
        }
        Told { offered: Offered { records: stamps.made(), after: 0 }, ..Told::default() }
    })
}
