//! Counters in the text format of Prometheus, as a reader of somebody else's understands them.

use std::collections::BTreeMap;

use asynclogger::{Config, Logger, LoggerManager};
use prometheus_parse::{Scrape, Value};

use crate::support::{directory, log_path};

/// The samples, by name and labels; histograms as their counts, up to each bound.
fn samples(text: &str) -> BTreeMap<(String, String), Value> {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.split_once(['{', ' ']).expect("a name");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|name| name.ends_with("_seconds")))
            .unwrap_or(name);
        let declared = format!("# TYPE {family} ");
        assert_eq!(text.matches(&declared).count(), 1, "{line}");
        assert_eq!(text.matches(&format!("# HELP {family} ")).count(), 1, "{line}");
    }
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("valid");
    let found: Vec<_> = scrape.samples.into_iter().collect();
    let lines = found.len();
    let key = |labels: &prometheus_parse::Labels| {
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort();
        labels.join(",")
    };
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|sample| ((sample.metric.clone(), key(&sample.labels)), sample.value))
        .collect();
    assert_eq!(found.len(), lines, "a sample comes twice");
    found
}

fn value(samples: &BTreeMap<(String, String), Value>, name: &str, labels: &str) -> f64 {
    let key = (format!("asynclogger_{name}"), labels.to_owned());
    match samples.get(&key) {
        Some(Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) => *value,
        other => panic!("{key:?}: {other:?} in {samples:#?}"),
    }
}

/// The counts up to each bound of a histogram.
fn counts(samples: &BTreeMap<(String, String), Value>, name: &str, labels: &str) -> Vec<f64> {
    let key = (format!("asynclogger_{name}"), labels.to_owned());
    match samples.get(&key) {
        Some(Value::Histogram(counts)) => counts.iter().map(|count| count.count).collect(),
        other => panic!("{key:?}: {other:?}"),
    }
}

#[test]
fn a_logger_tells_its_counters() {
    let directory = directory();
    let logger = Logger::new(Config::new(log_path(&directory))).expect("a logger");
    (0..100).for_each(|_| logger.log("a record"));
    logger.log("");
    logger.flush().expect("flushed");
    (0..5).for_each(|_| logger.log("a record"));
    let (stats, metrics) = (logger.stats(), logger.flush_metrics());
    let found = samples(&logger.render_prometheus());
    let value = |name, labels| value(&found, name, labels);
    assert_eq!(value("records_accepted_total", ""), 105.0);
    assert_eq!(value("records_durable_total", ""), 100.0);
    assert_eq!((value("records_pending", ""), value("records_not_durable", "")), (5.0, 5.0));
    assert_eq!(value("records_dropped_total", "reason=empty"), 1.0);
    assert_eq!(value("records_dropped_total", "reason=full"), 0.0);
    assert_eq!(value("errors_total", "cause=space"), 0.0);
    assert_eq!(value("payload_bytes_total", ""), 800.0);
    assert_eq!(value("written_bytes_total", ""), stats.bytes_written as f64);
    assert_eq!(value("health", ""), 0.0);
    for name in ["flush_duration_seconds", "write_duration_seconds"] {
        let counts = counts(&found, name, "");
        assert!(counts.is_sorted() && counts.len() == 21, "{counts:?}");
        assert_eq!(counts[20], stats.flushes as f64);
    }
    assert_eq!(metrics.flush_times.count(), stats.flushes);
    assert_eq!(metrics.flush_times.sum(), metrics.total_flush_duration);
    assert!(
        metrics.flush_times.quantile(1.0).is_none_or(|most| most >= metrics.max_flush_duration)
    );
    // The counters alone.
    let alone = samples(&logger.stats().render_prometheus());
    assert!(alone.iter().all(|(key, _)| found.contains_key(key)) && alone.len() + 9 == found.len());
}

#[test]
fn a_manager_tells_the_counters_of_each_event() {
    let directory = directory();
    let manager = LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
    let names = ["a", "with \"quotes\" and \\", "two\nlines"];
    for (count, name) in (1..).zip(names) {
        (0..count).for_each(|_| manager.log_with_event(name, "a record"));
    }
    manager.flush().expect("flushed");
    let text = manager.render_prometheus();
    let found = samples(&text);
    assert_eq!(value(&found, "events_open", ""), 3.0);
    assert_eq!(value(&found, "records_unopened_total", ""), 0.0);
    let of = |label: &str| value(&found, "records_durable_total", label);
    assert_eq!(of("event=a"), 1.0);
    // This reader leaves escapes as they are.
    assert_eq!(of(r#"event=with \"quotes\" and \\"#), 2.0);
    assert!(text.contains(r#"asynclogger_records_durable_total{event="two\nlines"} 3"#), "{text}");
    assert_eq!(counts(&found, "write_duration_seconds", "event=a").len(), 21);
    let sums = samples(&manager.stats().render_prometheus());
    assert_eq!(value(&sums, "records_durable_total", ""), 6.0);
    assert_eq!(value(&sums, "events_open", ""), 3.0);
}
