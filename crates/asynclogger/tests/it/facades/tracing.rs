//! The facade `tracing`.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
};

use asynclogger::{Config, Destination, Logger, tracing::JsonLayer};
use serde_json::{Value, json};
use tracing::{Subscriber, info, info_span, subscriber::with_default, trace, warn};
use tracing_subscriber::{Registry, fmt::MakeWriter, layer::SubscriberExt};

use super::{logger, manager, records};
use crate::support::{allocations, child_role, directory, in_child, log_path};

/// Collects what is written, one entry for each call.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(line.to_vec()).expect("text");
        self.0.lock().expect("unpoisoned").push(text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

fn text<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(to: W) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(to);
    lines.without_time().with_ansi(false).finish()
}

fn json<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(to: W) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
    lines.with_writer(to).without_time().finish()
}

fn say_things() {
    info!("the first");
    let span = info_span!("request", id = 7, path = "/a b");
    let _in = span.enter();
    warn!(rows = 3, "of {}\nand more", "the request");
    trace!("the last");
}

/// Each event that `fmt` writes is one record, and the record is the line.
#[test]
fn lines_of_fmt_are_records() {
    let (directory, to_manager) = manager();
    let event = to_manager.event("lines").expect("opened");
    for is_json in [false, true] {
        let (_directory, logger) = logger();
        let lines = Lines::default();
        if is_json {
            with_default(json(lines.clone()), say_things);
            with_default(json(logger.clone()), say_things);
            with_default(json(event.clone()), say_things);
        } else {
            with_default(text(lines.clone()), say_things);
            with_default(text(logger.clone()), say_things);
        }
        logger.close().expect("closed");
        let lines = lines.0.lock().expect("unpoisoned").clone();
        let lines: Vec<&str> =
            lines.iter().map(|line| line.strip_suffix('\n').expect("a line")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(records(logger.path()), lines);
        if is_json {
            to_manager.close().expect("closed");
            assert_eq!(records(&directory.path().join("lines.log")), lines);
        }
    }
}

#[test]
fn a_line_of_fmt_allocates_no_more_than_fmt_does() {
    let count = || {
        // The first events of a thread get memory that is used again.
        say_things();
        let before = allocations();
        (0..100).for_each(|_| say_things());
        allocations() - before
    };
    let (_directory, logger) = logger();
    let of_fmt = with_default(text(io::sink), count);
    assert_eq!(with_default(text(logger.clone()), count), of_fmt);
    logger.close().expect("closed");
}

#[test]
fn a_layer_encodes_events_with_their_spans() {
    let (_directory, logger) = logger();
    let subscriber = Registry::default().with(JsonLayer::new(logger.clone()));
    with_default(subscriber, || {
        info!(target: "app", rows = 3_u64, below = -1, share = 0.5, is_new = true, name = "a \"b\"", "done");
        let outer = info_span!(target: "app", "outer", id = 7, late = tracing::field::Empty);
        let _outer = outer.enter();
        outer.record("late", "later");
        outer.record("id", 8);
        let inner = info_span!(target: "app", "inner", shown = ?Some("x"));
        let _inner = inner.enter();
        let error = io::Error::other("no room");
        warn!(target: "app", error = &error as &dyn std::error::Error, "in {}", "both");
    });
    logger.close().expect("closed");
    let found: Vec<Value> = records(logger.path())
        .iter()
        .map(|record| serde_json::from_str(record).expect("JSON"))
        .collect();
    let first = json!({
        "level": "INFO", "target": "app",
        "fields": {
            "message": "done", "rows": 3, "below": -1, "share": 0.5, "is_new": true, "name": "a \"b\"",
        },
    });
    let second = json!({
        "level": "WARN", "target": "app", "fields": {"message": "in both", "error": "no room"},
        "spans": [{"name": "outer", "id": 8, "late": "later"}, {"name": "inner", "shown": "Some(\"x\")"}],
    });
    assert_eq!(found, [first, second]);
}

#[test]
fn target_or_field_name_the_event() {
    let (directory, to_manager) = manager();
    let by_target = Destination::by_target(to_manager.clone(), |target| {
        target.split("::").next().unwrap_or(target)
    });
    let by_field = Destination::by_field(to_manager.clone(), "event", "rest");
    with_default(Registry::default().with(JsonLayer::new(by_target)), || {
        info!(target: "payments::db", "a");
    });
    with_default(Registry::default().with(JsonLayer::new(by_field)), || {
        info!(event = "audit", "b");
        info!("c");
    });
    to_manager.close().expect("closed");
    for (event, message) in [("payments", "a"), ("audit", "b"), ("rest", "c")] {
        let found = records(&directory.path().join(format!("{event}.log")));
        assert_eq!(found.len(), 1, "{event}");
        let value: Value = serde_json::from_str(&found[0]).expect("JSON");
        assert_eq!(value["fields"]["message"], message);
    }
}

/// A value may log while it is shown: in an event, in a new span, and when a span gets it later.
#[test]
fn a_value_that_logs_while_it_is_shown_is_a_record_of_its_own() {
    #[derive(Clone, Copy)]
    struct Logs;
    impl fmt::Debug for Logs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("inner");
            f.write_str("outer")
        }
    }
    // `tracing` itself keeps such events from a subscriber of a scope, but not from that of the whole program.
    let Some(path) = child_role() else {
        let directory = directory();
        let path = log_path(&directory);
        let test = "facades::tracing::a_value_that_logs_while_it_is_shown_is_a_record_of_its_own";
        in_child(test, path.to_str().expect("text"));
        let found: Vec<Value> = records(&path)
            .iter()
            .map(|record| serde_json::from_str(record).expect("JSON"))
            .collect();
        let messages: Vec<_> =
            found.iter().map(|value| value["fields"]["message"].as_str().expect("text")).collect();
        assert_eq!(messages, ["inner", "inner", "inner", "outer"]);
        assert_eq!(found[3]["fields"]["value"], "outer");
        let spans = json!([{"name": "span", "value": "outer", "later": "outer"}]);
        assert_eq!(found[3]["spans"], spans);
        return;
    };
    let logger = Logger::new(Config::new(path).num_shards(1)).expect("a logger");
    let level = tracing_subscriber::filter::LevelFilter::INFO;
    let _guard = asynclogger::tracing::init(logger.clone(), level).expect("installed");
    let span = info_span!("span", value = ?Logs, later = tracing::field::Empty);
    let _in = span.enter();
    span.record("later", tracing::field::debug(Logs));
    info!(value = ?Logs, "outer");
    logger.close().expect("closed");
}
