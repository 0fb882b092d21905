//! What a logger does while nobody logs.

use std::{thread::sleep, time::Duration};

use serde_json::{Map, Value, json};

use super::Told;
use crate::{
    args::Plan, outcome::Outcome, record::Records, subject::Subject, tally::Offered, usage,
};

/// Until the first records have been dealt with.
const SETTLE: Duration = Duration::from_millis(1500);

/// A hundred records, then nothing: how often threads of the logger are woken.
pub(super) fn run<S: Subject>(
    subject: &S,
    plan: &Plan,
    fields: &mut Map<String, Value>,
) -> Outcome<Vec<Told>> {
    let mut stamps = Records::new(0, plan.size);
    for _ in 0..100 {
        subject.log(stamps.next());
    }
    sleep(SETTLE);
    let (before, threads) = usage::wakes_of_others()?;
    let cpu = usage::cpu();
    sleep(plan.time);
    let (after, _) = usage::wakes_of_others()?;
    let cpu = (usage::cpu() - cpu).as_secs_f64();
    fields.insert("wakes_per_s".into(), json!((after - before) as f64 / plan.time.as_secs_f64()));
    fields.insert("idle_cpu_us_per_s".into(), json!(cpu * 1e6 / plan.time.as_secs_f64()));
    fields.insert("threads_of_logger".into(), json!(threads));
    let offered = Offered { records: stamps.made(), after: 0 };
    Ok(vec![Told { offered, ..Told::default() }])
}
