//! What is measured.

mod burst;
mod idle;
mod paced;
mod saturate;

use std::{
    fs,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    args::{Plan, Trouble},
    latency::Latency,
    outcome::Outcome,
    subject::{Place, Subject},
    tally::{Offered, Tally},
    usage,
};

/// What one thread has to tell.
#[derive(Default)]
struct Told {
    offered: Offered,
    latency: Option<Latency>,
    /// Nanoseconds a call, of each burst that was timed as a whole.
    calls: Vec<f64>,
}

/// One measurement of one subject, from its opening to the count of what is in its file.
pub(crate) fn measure<S: Subject>(plan: &Plan) -> Outcome<Value> {
    if let (Trouble::Rotate, Some(reason)) = (plan.trouble, S::NO_ROTATION) {
        return Ok(json!({ "subject": S::NAME, "cannot": reason }));
    }
    fs::create_dir_all(&plan.directory)?;
    if fs::read_dir(&plan.directory)?.any(|entry| entry.is_ok_and(|entry| entry.path().is_file())) {
        return Err(format!("{}: not empty", plan.directory.display()).into());
    }
    let place =
        Place { directory: plan.directory.clone(), rotate: plan.trouble == Trouble::Rotate };
    let cpu = usage::cpu();
    let subject = S::open(&place)?;
    let mut fields = Map::new();
    let begun = Instant::now();
    let told = match plan.scenario.as_str() {
        "burst" => burst::run(&subject, plan),
        "saturate" => saturate::run(&subject, plan),
        "paced" => paced::run(&subject, plan)?,
        "idle" => idle::run(&subject, plan, &mut fields)?,
        other => return Err(format!("no such scenario: {other}").into()),
    };
    let logged = begun.elapsed();
    // An error of the end is a finding, not the end of the measurement: what is in the file is counted all the same.
    let refused = subject.end();
    let (length, taken) = usage::sync_all(&plan.directory)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (usage::cpu() - cpu).as_secs_f64();
    fields.insert("logging_seconds".into(), json!(logged.as_secs_f64()));
    fields.insert("seconds".into(), json!(seconds));
    fields.insert("cpu_seconds".into(), json!(cpu));
    fields.insert("peak_resident".into(), json!(usage::peak_resident()?));
    fields.insert("file_bytes".into(), json!(length));
    fields.insert("disk_bytes".into(), json!(taken));
    match refused {
        Ok(refused) => fields.insert("refused".into(), json!(refused)),
        Err(error) => fields.insert("end_error".into(), json!(error.to_string())),
    };
    let offered = tell(plan, told, &mut fields);
    if !S::FLOOR {
        count::<S>(plan, &offered, (seconds, cpu), &mut fields)?;
    }
    fields.insert("subject".into(), json!(S::NAME));
    Ok(Value::Object(fields))
}

/// What the threads have told, as one. Returns what each has offered.
fn tell(plan: &Plan, told: Vec<Told>, fields: &mut Map<String, Value>) -> Vec<Offered> {
    let mut latency: Option<Latency> = None;
    let mut calls = Vec::new();
    let mut offered = Vec::new();
    for told in told {
        match (&mut latency, told.latency) {
            (Some(all), Some(one)) => all.merge(&one),
            (all @ None, one) => *all = one,
            (Some(_), None) => {}
        }
        calls.extend(told.calls);
        offered.push(told.offered);
    }
    calls.sort_by(f64::total_cmp);
    if let Some(median) = calls.get(calls.len() / 2) {
        fields.insert("ns_a_call".into(), json!(median));
    }
    if let Some(latency) = latency {
        fields.insert("latency".into(), latency.to_json());
    }
    let sum = |records: fn(&Offered) -> u64| offered.iter().map(records).sum::<u64>();
    fields.insert("offered".into(), json!(sum(|offered| offered.records)));
    if plan.trouble.is_outage() {
        fields
            .insert("offered_after".into(), json!(sum(|offered| offered.records - offered.after)));
    }
    offered
}

/// Reads the files, and adds what is in them.
fn count<S: Subject>(
    plan: &Plan,
    offered: &[Offered],
    (seconds, cpu): (f64, f64),
    fields: &mut Map<String, Value>,
) -> Outcome<()> {
    let mut tally = Tally::new(plan.size, offered);
    S::read(&plan.directory, &mut |line| tally.line(line))?;
    let bytes = tally.found as f64 * plan.size as f64;
    fields.insert("found".into(), json!(tally.found));
    fields.insert("twice".into(), json!(tally.twice));
    fields.insert("alien".into(), json!(tally.alien));
    if plan.trouble.is_outage() {
        fields.insert("found_after".into(), json!(tally.found_after));
    }
    fields.insert("mb_per_s".into(), json!(bytes / seconds / 1e6));
    fields.insert("records_per_s".into(), json!(tally.found as f64 / seconds));
    fields.insert("cpu_s_per_gb".into(), json!(cpu / (bytes / 1e9).max(1e-9)));
    Ok(())
}

/// Runs `work` on as many threads as the plan has, which begin together.
fn on_threads(plan: &Plan, work: impl Fn(usize, &Barrier) -> Told + Sync) -> Vec<Told> {
    let start = Barrier::new(plan.threads);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let spawn = |thread| scope.spawn(move || work(thread, start));
        let threads: Vec<_> = (0..plan.threads).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that logs")).collect()
    })
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
