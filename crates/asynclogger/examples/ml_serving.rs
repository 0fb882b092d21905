//! A process that serves a model, and logs three events, each to files of its own: the features of every
//! request, the prediction that was made from them, and what users did with some of them, later.
//!
//! ```sh
//! cargo run --release --example ml_serving -- target/demo/ml
//! ```
//!
//! Payloads are what protobuf would make of these messages:
//!
//! ```proto
//! message Features   { uint64 request = 1; repeated float values = 2; }
//! message Prediction { uint64 request = 1; string model = 2; float score = 3; }
//! message Feedback   { uint64 request = 1; bool clicked = 2; }
//! ```

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use asynclogger::{
    Boundary, Config, Error, EventLogger, LoggerManager, ManagerStats, Retention, Rotation,
    read::LogDir,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

const WORKERS: u64 = 4;
/// As many come from all users together.
const PER_SECOND: u32 = 100_000;
const FEATURES: usize = 64;
/// Of so many predictions one gets feedback.
const FEEDBACK_EVERY: u64 = 10;

#[allow(dead_code, reason = "the test of the example has a main of its own")]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let requests = |text: Option<std::ffi::OsString>| match text {
        None => Some(200_000),
        Some(text) => text.to_str()?.parse().ok(),
    };
    let (Some(directory), Some(requests)) = (args.next(), requests(args.next())) else {
        eprintln!("usage: ml_serving DIRECTORY [REQUESTS]");
        return ExitCode::from(2);
    };
    match run(Path::new(&directory), requests, &mut io::stdout()) {
        Ok(stats) if stats.total.dropped_logs == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(3)
        }
    }
}

/// Serves `requests`, and tells `out` what was logged and how it is read.
pub(crate) fn run(
    directory: &Path,
    requests: u64,
    out: &mut dyn Write,
) -> Result<ManagerStats, Error> {
    let manager = LoggerManager::in_dir(directory, config())?;
    serve(&manager, requests)?;

    // Of each event while it is open; of all together at any time.
    manager.flush()?;
    let mut text = String::new();
    for name in manager.list_event_loggers() {
        let stats = manager.event_stats(&name)?;
        text += &format!(
            "{name}: {} accepted, {} dropped, {} durable, {} bytes of payload\n",
            stats.accepted, stats.dropped_logs, stats.durable, stats.payload_bytes
        );
    }
    let (flushes, health) = (manager.aggregated_flush_metrics(), manager.health());
    let stats = manager.close()?;
    text += &format!(
        "all: {} accepted, {} dropped, {} durable, {} of events that could not be opened\n\
         {} blocks, {:.1?} each, the device's part {:.0} %; health: {health:?}\n",
        stats.total.accepted,
        stats.total.dropped_logs,
        stats.total.durable,
        stats.unopened,
        flushes.total_flushes,
        flushes.avg_flush_duration,
        flushes.write_percent,
    );
    text += &read_back(directory)?;
    let here = directory.display();
    text += &format!(
        "read them with\n  \
           asynclogger stat {here}\n  \
           asynclogger cat --event predictions --format json {here}\n  \
           asynclogger tail -f --event feedback {here}\n"
    );
    // Nobody may be listening.
    let _ = out.write_all(text.as_bytes());
    Ok(stats)
}

/// The settings hold for each event by itself; the memory, twice 32 MiB, is that of all together.
fn config() -> Config {
    Config::default()
        // No request waits for a log: what does not fit is dropped and counted (`Overflow::Drop`, the default).
        .buffer_size(32 << 20)
        // A new file at every full hour, and before one is too large to be shipped in one piece.
        .rotation(Rotation::new().max_size(16 << 20).every(Boundary::Hourly))
        // For a day, but no more than 10 GiB of each event. `on_archived` is the place to upload a file.
        .retention(Retention::new().max_age(DAY).max_total(10 << 30))
        .on_error(|error| eprintln!("{error:#}"))
}

fn serve(manager: &LoggerManager, requests: u64) -> Result<(), Error> {
    // An event that cannot be opened is noticed here, and not at the first request. Its name is looked up
    // once: a call by the handle costs what a plain logger's costs.
    let (features, predictions) = (manager.event("features")?, manager.event("predictions")?);
    let feedback = manager.event("feedback")?;
    let (shown, to_users) = channel();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || watch_users(&feedback, &to_users));
        for first in 0..WORKERS {
            let (features, predictions) = (features.clone(), predictions.clone());
            let mut worker =
                Worker { features, predictions, shown: shown.clone(), message: vec![] };
            scope.spawn(move || {
                for request in (first..requests).step_by(WORKERS as usize) {
                    wait_for(request, begun);
                    worker.serve(request);
                }
            });
        }
        drop(shown);
    });
    Ok(())
}

/// Requests come evenly, in small bunches.
fn wait_for(request: u64, begun: Instant) {
    const BUNCH: u64 = 1000;
    let due = Duration::from_secs(request / BUNCH * BUNCH) / PER_SECOND;
    if let Some(early) = due.checked_sub(begun.elapsed()) {
        thread::sleep(early);
    }
}

/// What a serving thread has.
struct Worker {
    features: EventLogger,
    predictions: EventLogger,
    shown: Sender<u64>,
    /// Payloads are made in it, so that logging allocates nothing.
    message: Vec<u8>,
}

impl Worker {
    fn serve(&mut self, request: u64) {
        let values = features_of(request);
        self.message.clear();
        write_number(1, request, &mut self.message);
        write_floats(2, &values, &mut self.message);
        self.features.log_bytes(&self.message);

        let score = model(&values);
        self.message.clear();
        write_number(1, request, &mut self.message);
        write_bytes(2, b"ranker-7", &mut self.message);
        write_float(3, score, &mut self.message);
        self.predictions.log_bytes(&self.message);

        if request.is_multiple_of(FEEDBACK_EVERY) {
            // Without users nobody asks for feedback.
            let _ = self.shown.send(request);
        }
    }
}

/// Comes from somewhere else, and on a thread of its own.
fn watch_users(feedback: &EventLogger, shown: &Receiver<u64>) {
    let mut message = Vec::new();
    for request in shown {
        message.clear();
        write_number(1, request, &mut message);
        write_number(2, u64::from(request.is_multiple_of(3 * FEEDBACK_EVERY)), &mut message);
        feedback.log_bytes(&message);
    }
}

fn features_of(request: u64) -> [f32; FEATURES] {
    std::array::from_fn(|at| ((request * 31 + at as u64) % 1000) as f32 / 1000.0)
}

fn model(values: &[f32; FEATURES]) -> f32 {
    let sum: f32 = values.iter().enumerate().map(|(at, value)| value * (at as f32).cos()).sum();
    1.0 / (1.0 + (-sum).exp())
}

/// What is in the files, by event, over all segments: nothing is there twice, and what is missing is told.
fn read_back(directory: &Path) -> Result<String, Error> {
    let mut lines = Vec::new();
    for log in LogDir::scan(directory)? {
        let report = log.verify()?;
        // The name of the event, which the name of its file need not be.
        let name = log.segments().last().map_or(&[][..], |segment| &segment.name);
        lines.push(format!(
            "{}: {} records in {} files, {}\n",
            String::from_utf8_lossy(name),
            report.records,
            report.segments.len(),
            if report.is_whole() { "whole" } else { "not whole" }
        ));
    }
    // Logs come in no order.
    lines.sort();
    Ok(lines.concat())
}

/// A field of an integer type or a bool.
fn write_number(field: u64, value: u64, to: &mut Vec<u8>) {
    write_varint(field << 3, to);
    write_varint(value, to);
}

/// A field of the type string or bytes.
fn write_bytes(field: u64, value: &[u8], to: &mut Vec<u8>) {
    write_varint(field << 3 | 2, to);
    write_varint(value.len() as u64, to);
    to.extend_from_slice(value);
}

/// A repeated field of floats, packed.
fn write_floats(field: u64, values: &[f32], to: &mut Vec<u8>) {
    write_varint(field << 3 | 2, to);
    write_varint(size_of_val(values) as u64, to);
    for value in values {
        to.extend_from_slice(&value.to_le_bytes());
    }
}

fn write_float(field: u64, value: f32, to: &mut Vec<u8>) {
    write_varint(field << 3 | 5, to);
    to.extend_from_slice(&value.to_le_bytes());
}

fn write_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
