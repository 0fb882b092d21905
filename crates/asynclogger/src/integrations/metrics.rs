//! The facade [`metrics`](https://docs.rs/metrics): the figures of a logger or a manager go to the recorder that the
//! program has installed.
//!
//! ```no_run
//! # use asynclogger::{Config, Error, Logger, metrics::Publisher};
//! # fn main() -> Result<(), Error> {
//! let logger = Logger::new(Config::new("logs/app.log"))?;
//! let mut publisher = Publisher::new();
//! loop {
//!     publisher.publish(&logger);
//!     std::thread::sleep(std::time::Duration::from_secs(10));
//! }
//! # }
//! ```
//!
//! A log counts for itself, so a call of it costs nothing more. Names and meanings are those of
//! [`Logger::render_prometheus`](crate::Logger::render_prometheus).

use std::collections::{HashMap, HashSet};

use ::metrics::{Label, counter, gauge, histogram};

use crate::{
    Logger, LoggerManager,
    stats::{Family, Histogram, Kind, Sample, Source, families, families_of_manager, times},
};

/// Gives the figures of logs to the recorder of the facade, whenever [`publish`](Publisher::publish) is called: every
/// ten seconds, for instance. Install the recorder before the first call: what is given without a recorder is gone.
///
/// A call that is left out loses nothing; but what an event counts between a call and the event's end is not seen. The
/// histograms `asynclogger_flush_duration_seconds` and `asynclogger_write_duration_seconds` get the durations since the last call of this publisher, each as the upper
/// bound of its bucket ([`Histogram`]), which is at most twice the duration; beyond 8.4 s it is 16.8 s.
#[derive(Debug, Default)]
pub struct Publisher {
    labels: Vec<Label>,
    /// What was given of each event, or of the only log.
    given: HashMap<Option<String>, Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// The session that the figures are of. An event that is opened again counts from 0.
    session: u64,
    /// The counters of the session, by name and by the value of their label.
    counters: HashMap<(&'static str, &'static str), u64>,
    histograms: HashMap<&'static str, Histogram>,
}

impl Publisher {
    /// A publisher for the only log of a program, or the only manager.
    #[must_use]
    pub fn new() -> Publisher {
        Publisher::default()
    }

    /// A publisher whose figures have this label, too: several logs of one program need one each.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Publisher {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }

    /// Gives the figures of a logger to the recorder. A publisher serves one log or manager: the histograms are the
    /// differences to its last call.
    pub fn publish(&mut self, logger: &Logger) {
        self.give(&[logger.figures()], &[]);
    }

    /// Gives the figures of a manager's open events, with the label `event`, and those of the manager itself.
    pub fn publish_manager(&mut self, manager: &LoggerManager) {
        self.give(&manager.figures(), &families_of_manager(&manager.stats()));
    }

    fn give(&mut self, sources: &[Source], own: &[Family<'_>]) {
        let open: HashSet<_> = sources.iter().map(|source| &source.event).collect();
        self.given.retain(|event, _| event.is_none() || open.contains(event));
        for Source { event, session, .. } in sources {
            let given = self.given.entry(event.clone()).or_default();
            if given.session != *session {
                *given = Given { session: *session, ..Given::default() };
            }
        }
        for family in families(sources).iter().chain(own) {
            let name = format!("asynclogger_{}", family.name);
            for Sample { event, label, value } in &family.samples {
                let labels = self.labels(*event, *label);
                match family.kind {
                    Kind::Counter => {
                        let given = self.given.entry(event.map(str::to_owned)).or_default();
                        let of = (family.name, label.map_or("", |(_, value)| value));
                        let before = given.counters.insert(of, *value).unwrap_or(0);
                        counter!(name.clone(), labels).increment(value.saturating_sub(before));
                    }
                    Kind::Gauge => gauge!(name.clone(), labels).set(*value as f64),
                }
            }
        }
        for times in times(sources) {
            let name = format!("asynclogger_{}", times.name);
            for (event, now) in times.samples {
                let labels = self.labels(event, None);
                let given = self.given.entry(event.map(str::to_owned)).or_default();
                let given = given.histograms.entry(times.name).or_default();
                let histogram = histogram!(name.clone(), labels);
                for ((bound, count), (_, before)) in now.buckets().zip(given.buckets()) {
                    let fresh = count.saturating_sub(before);
                    let bound = bound.unwrap_or(2 * Histogram::LAST).as_secs_f64();
                    if fresh > 0 {
                        histogram.record_many(bound, fresh as usize);
                    }
                }
                *given = *now;
            }
        }
    }

    fn labels(
        &self,
        event: Option<&str>,
        label: Option<(&'static str, &'static str)>,
    ) -> Vec<Label> {
        let event = event.map(|event| Label::new("event", event.to_owned()));
        let label = label.map(|(name, value)| Label::from_static_parts(name, value));
        self.labels.iter().cloned().chain(event).chain(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

    use super::*;
    use crate::Config;

    type Labels = Vec<(String, String)>;

    /// What the recorder has got since the last call: name, labels, value.
    fn taken(snapshotter: &Snapshotter) -> Vec<(String, Labels, DebugValue)> {
        let label = |label: &Label| (label.key().to_owned(), label.value().to_owned());
        let all = snapshotter.snapshot().into_vec().into_iter();
        all.map(|(key, _, _, value)| {
            let key = key.key();
            (key.name().to_owned(), key.labels().map(label).collect(), value)
        })
        .collect()
    }

    /// The figures with this name.
    fn of<'a>(
        taken: &'a [(String, Labels, DebugValue)],
        name: &str,
    ) -> Vec<(&'a Labels, &'a DebugValue)> {
        let named = taken.iter().filter(|(of, ..)| of == name);
        named.map(|(_, labels, value)| (labels, value)).collect()
    }

    fn labelled(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_figures_of_a_logger_reach_the_recorder_each_time_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let logger = Logger::new(Config::new(directory.path().join("app.log"))).expect("a logger");
        let (recorder, mut publisher) = (DebuggingRecorder::new(), Publisher::new());
        let snapshotter = recorder.snapshotter();
        let mut publish = || {
            ::metrics::with_local_recorder(&recorder, || publisher.publish(&logger));
        };
        logger.log("one");
        logger.log("two");
        logger.log("");
        logger.flush().expect("flush");
        publish();
        publish();
        let taken = taken(&snapshotter);
        let accepted = of(&taken, "asynclogger_records_accepted_total");
        assert_eq!(accepted, [(&vec![], &DebugValue::Counter(2))]);
        let dropped = of(&taken, "asynclogger_records_dropped_total");
        let empty = labelled(&[("reason", "empty")]);
        assert!(dropped.contains(&(&empty, &DebugValue::Counter(1))), "{dropped:?}");
        let durable = of(&taken, "asynclogger_records_not_durable");
        assert_eq!(durable, [(&vec![], &DebugValue::Gauge(0.0.into()))]);
    }

    #[test]
    fn a_duration_is_given_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let logger = Logger::new(Config::new(directory.path().join("app.log"))).expect("a logger");
        let (recorder, mut publisher) = (DebuggingRecorder::new(), Publisher::new());
        let snapshotter = recorder.snapshotter();
        let mut flushes = || {
            logger.log("one");
            logger.flush().expect("flush");
            ::metrics::with_local_recorder(&recorder, || publisher.publish(&logger));
            taken(&snapshotter)
        };
        for _ in 0..3 {
            let taken = flushes();
            let found = of(&taken, "asynclogger_flush_duration_seconds");
            assert!(
                matches!(&*found, [(_, DebugValue::Histogram(durations))] if durations.len() == 1),
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_event_that_is_opened_again_goes_on_counting() {
        let directory = tempfile::tempdir().expect("a directory");
        let manager =
            LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let mut publisher = Publisher::new();
        let mut sum = 0;
        for count in [3, 2, 4] {
            (0..count).for_each(|_| manager.log_with_event("login", "one"));
            manager.flush().expect("flush");
            ::metrics::with_local_recorder(&recorder, || publisher.publish_manager(&manager));
            let taken = taken(&snapshotter);
            let [(_, DebugValue::Counter(fresh))] =
                of(&taken, "asynclogger_records_written_total")[..]
            else {
                panic!("one event: {taken:?}");
            };
            sum += fresh;
            manager.close_event_logger("login").expect("closed");
        }
        assert_eq!(sum, 9);
    }

    #[test]
    fn the_figures_of_a_manager_have_their_event_and_the_label_of_the_publisher() {
        let directory = tempfile::tempdir().expect("a directory");
        let manager =
            LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
        for event in ["login", "payment"] {
            manager.log_with_event(event, "one");
        }
        manager.flush().expect("flush");
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let mut publisher = Publisher::new().with_label("log", "events");
        ::metrics::with_local_recorder(&recorder, || publisher.publish_manager(&manager));
        let taken = taken(&snapshotter);
        let mut written = of(&taken, "asynclogger_records_written_total");
        written.sort_by_key(|(labels, _)| *labels);
        let labels = |event| labelled(&[("log", "events"), ("event", event)]);
        let one = &DebugValue::Counter(1);
        assert_eq!(written, [(&labels("login"), one), (&labels("payment"), one)]);
        let open = of(&taken, "asynclogger_events_open");
        assert_eq!(open, [(&labelled(&[("log", "events")]), &DebugValue::Gauge(2.0.into()))]);
    }
}
