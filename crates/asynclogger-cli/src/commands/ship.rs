//! `asynclogger ship`: archived segments go to an object store.

use std::{
    io::{self, Write},
    sync::Mutex,
    thread,
};

use asynclogger_ship::{Error, ErrorKind, Event, Handle, Shipper, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    outcome::{Answer, Failure},
    output::say,
    units::{show_bytes, show_number_of},
    writing::ship_args::ShipArgs,
};

pub(crate) fn run(args: ShipArgs) -> Result<Answer, Failure> {
    let mut shipper = Shipper::to(&args.to)?
        .layout(args.layout.clone())
        .delete_after_verify(args.delete_after_verify)
        .finish(args.finish)
        .concurrency(args.concurrency)
        .part_bytes(args.part);
    if let Some(host) = &args.host {
        shipper = shipper.host(host);
    }
    if let Some(rate) = args.rate {
        shipper = shipper.rate(rate as u64);
    }
    if let Some(bytes) = args.keep_local {
        shipper = shipper.keep_local(bytes as u64, args.over_limit.into());
    }
    end_with_signals(shipper.handle())?;
    let bar = bar();
    let (line, sums) = (bar.clone(), Mutex::new(Sums::default()));
    let is_json = args.json;
    let shipper = shipper.on_event(move |event| match is_json {
        true => print_json(&as_json(event)),
        false => show(&line, &sums, event),
    });
    let ended = match args.watch {
        true => shipper.watch(&args.dir),
        false => shipper.run(&args.dir),
    };
    bar.finish_and_clear();
    let summary = ended?;
    if is_json {
        print_json(&sums_as_json(&summary));
    } else {
        say(show_summary(&summary));
    }
    Ok(Answer::fine_if(summary.left_alone == 0 && summary.lost == 0))
}

fn end_with_signals(handle: Handle) -> Result<(), Failure> {
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals = signals.map_err(|error| Failure::io("cannot catch signals", error))?;
    thread::spawn(move || signals.forever().for_each(|_| handle.stop()));
    Ok(())
}

/// Invisible if standard error is not a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

#[derive(Default)]
struct Sums {
    segments: u64,
    bytes: u64,
}

/// What people have to know gets a line of its own; the rest moves the line of progress.
fn show(bar: &ProgressBar, sums: &Mutex<Sums>, event: &Event) {
    let told = |text: String| bar.suspend(|| say(text));
    match event {
        Event::Shipped { bytes, .. } => {
            let Ok(mut sums) = sums.lock() else { return };
            sums.segments += 1;
            sums.bytes += bytes;
            let segments = show_number_of(sums.segments, "segment");
            bar.set_message(format!("{segments}, {} in the store", show_bytes(sums.bytes)));
        }
        Event::Gap { log, from_segment, to_segment, reason, .. } => {
            told(format!("log {log}: segments {from_segment} to {to_segment} are lost: {reason}"));
        }
        Event::LeftAlone { path, error, .. } => {
            told(format!("{}: left alone: {error}", path.display()));
        }
        Event::NotFinished { error, .. } => told(format!("not archived: {error}")),
        Event::Waiting { error, delay, .. } => {
            told(format!("{error}; the next attempt is in {:.1} s", delay.as_secs_f64()));
        }
        _ => {}
    }
}

fn as_json(event: &Event) -> Value {
    match event {
        Event::Shipped { path, key, bytes, records, was_there, .. } => json!({
            "event": "shipped", "path": path.to_string_lossy(), "key": key, "bytes": bytes,
            "records": records, "was_there": was_there,
        }),
        Event::Manifest { key, files, gaps, .. } => {
            json!({ "event": "manifest", "key": key, "files": files, "gaps": gaps })
        }
        Event::Gap { log, from_segment, to_segment, reason, .. } => json!({
            "event": "gap", "log": log, "from_segment": from_segment, "to_segment": to_segment,
            "reason": reason,
        }),
        Event::Deleted { path, .. } => {
            json!({ "event": "deleted", "path": path.to_string_lossy() })
        }
        Event::LeftAlone { path, error, .. } => json!({
            "event": "left_alone", "path": path.to_string_lossy(), "error": error.to_string(),
        }),
        Event::NotFinished { error, .. } => {
            json!({ "event": "not_finished", "error": error.to_string() })
        }
        Event::Waiting { error, delay, .. } => json!({
            "event": "waiting", "error": error.to_string(), "seconds": delay.as_secs_f64(),
        }),
        _ => Value::Null,
    }
}

fn sums_as_json(summary: &Summary) -> Value {
    json!({
        "event": "end", "shipped": summary.shipped, "bytes": summary.bytes,
        "were_there": summary.were_there, "manifests": summary.manifests,
        "deleted": summary.deleted, "lost": summary.lost, "left_alone": summary.left_alone,
    })
}

/// A reader that has gone ends no shipping.
fn print_json(value: &Value) {
    let _ = writeln!(io::stdout(), "{value}");
}

/// `3 segments shipped (1.2 MB), 1 was there, 3 deleted, 2 lost`
fn show_summary(summary: &Summary) -> String {
    let Summary { shipped, bytes, were_there, deleted, lost, left_alone, .. } = summary;
    let segments = show_number_of(*shipped, "segment");
    let mut text = format!("{segments} shipped ({})", show_bytes(*bytes));
    for (count, what) in [
        (were_there, "already in the store"),
        (deleted, "deleted here"),
        (lost, "lost before they were shipped"),
        (left_alone, "left alone"),
    ] {
        if *count > 0 {
            text.push_str(&format!(", {} {what}", show_number_of(*count, "segment")));
        }
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error.kind() {
            ErrorKind::Settings => Failure::Usage(error.to_string()),
            _ => Failure::Io(error.to_string()),
        }
    }
}
