//! What an event of `tracing` costs: `tracing_subscriber::fmt` to a sink, the same to a logger, and a log call with the
//! same bytes. In turn, many rounds; prints medians with least and most, and the ratio of issue and promise:
//! `fmt` to the logger / (`fmt` to the sink + the call).
//!
//! ```text
//! cargo bench -p asynclogger --features tracing --bench facades
//! ```

use std::{hint::black_box, io, time::Instant};

use asynclogger::{Config, Logger, tracing::JsonLayer};
use tracing::{Dispatch, dispatcher::with_default, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};

const EVENTS: u32 = 100_000;
const ROUNDS: usize = 31;

fn say() {
    for number in 0..EVENTS {
        info!(number, path = "/index.html", status = 200, "request");
    }
}

/// Nanoseconds for each event.
fn time(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_nanos() as f64 / f64::from(EVENTS)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |name: &str| {
        let config = Config::new(directory.path().join(name));
        Logger::new(config).expect("a logger")
    };
    let (fmt_log, call_log, json_log) = (open("fmt.log"), open("call.log"), open("json.log"));
    let fmt = || tracing_subscriber::fmt().without_time().with_ansi(false);
    let sink = Dispatch::new(fmt().with_writer(io::sink).finish());
    let logger = Dispatch::new(fmt().with_writer(fmt_log.clone()).finish());
    let json = Dispatch::new(Registry::default().with(JsonLayer::new(json_log.clone())));
    let line = b" INFO facades: request number=50000 path=\"/index.html\" status=200";
    let names = ["fmt to a sink", "fmt to a logger", "a log call", "JsonLayer to a logger"];
    let mut figures: [Vec<f64>; 4] = Default::default();
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let now = [
            time(|| with_default(&sink, say)),
            time(|| with_default(&logger, say)),
            time(|| (0..EVENTS).for_each(|_| call_log.log_bytes(black_box(line)))),
            time(|| with_default(&json, say)),
        ];
        for log in [&fmt_log, &call_log, &json_log] {
            log.flush().expect("flushed");
        }
        if round > 0 {
            // The first round has the first touch of all memory.
            ratios.push(now[1] / (now[0] + now[2]));
            figures.iter_mut().zip(now).for_each(|(figures, now)| figures.push(now));
        }
    }
    for (name, figures) in names.iter().zip(&mut figures) {
        let median = median(figures);
        let (least, most) = (figures[0], figures[figures.len() - 1]);
        println!("{name:22} {median:7.1} ns ({least:.1} to {most:.1})");
    }
    let ratio = median(&mut ratios);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    println!(
        "fmt to a logger / (fmt to a sink + a log call): {ratio:.3} ({least:.3} to {most:.3}; bound 1.1)"
    );
    for log in [fmt_log, call_log, json_log] {
        let stats = log.close().expect("closed");
        let of = log.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!(
            "{of}: accepted {}, dropped {}, lost {}",
            stats.accepted, stats.dropped_logs, stats.lost
        );
    }
}
