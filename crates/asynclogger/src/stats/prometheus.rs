//! Counters in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::fmt::Write;

use super::{FlushMetrics, Health, Histogram, ManagerStats, Stats};

/// The counters of one log, or the sums over the logs of a manager.
pub(crate) struct Source {
    /// The event, for a label.
    pub(crate) event: Option<String>,
    pub(crate) stats: Stats,
    pub(crate) health: Option<Health>,
    pub(crate) metrics: Option<FlushMetrics>,
}

impl Stats {
    /// The counters in the text format of Prometheus, for the answer to `GET /metrics`. (A
    /// [`Logger`](crate::Logger::render_prometheus) and a [`LoggerManager`](crate::LoggerManager::render_prometheus) also
    /// give health and times.)
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        render(&[Source { event: None, stats: self.clone(), health: None, metrics: None }])
    }
}

impl ManagerStats {
    /// The sums in the text format of Prometheus. [`LoggerManager::render_prometheus`](crate::LoggerManager::render_prometheus)
    /// gives the counters of each event.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        let mut text = self.total.render_prometheus();
        self.render_own(&mut text);
        text
    }

    /// The figures that no event has.
    pub(crate) fn render_own(&self, text: &mut String) {
        let mut families = Families(text);
        let unopened = "Records of events that could not be opened.";
        families.one("records_unopened_total", "counter", unopened, self.unopened);
        families.one("events_open", "gauge", "Events that are open.", self.events as u64);
        families.one(
            "files_open",
            "gauge",
            "Files of events that are open.",
            self.open_files as u64,
        );
    }
}

/// The figures of all sources: each family once, with one sample or more for each source.
pub(crate) fn render(sources: &[Source]) -> String {
    let mut text = String::new();
    let mut families = Families(&mut text);
    let mut counter = |name, help, of: fn(&Stats) -> u64| {
        families.of_all(name, "counter", help, sources, |source| Some(of(&source.stats)));
    };
    counter("records_accepted_total", "Records that were accepted.", |stats| stats.accepted);
    counter("records_written_total", "Records whose write the device has acknowledged.", |stats| {
        stats.written
    });
    counter("records_durable_total", "Records that survive a power cut.", |stats| stats.durable);
    counter("records_lost_total", "Accepted records that were given up.", |stats| stats.lost);
    counter("payload_bytes_total", "Bytes of the written records.", |stats| stats.payload_bytes);
    counter("written_bytes_total", "Bytes written to files.", |stats| stats.bytes_written);
    counter("blocks_written_total", "Blocks written.", |stats| stats.flushes);
    counter("buffer_swaps_total", "Buffers sealed.", |stats| stats.set_swaps);
    families.head("records_dropped_total", "counter", "Records that were refused, by reason.");
    for source in sources {
        let dropped = &source.stats.dropped;
        let by_reason = [
            ("full", dropped.full),
            ("busy", dropped.busy),
            ("too_large", dropped.too_large),
            ("empty", dropped.empty),
            ("closed", dropped.closed),
        ];
        for (reason, count) in by_reason {
            families.sample("records_dropped_total", source, Some(("reason", reason)), count);
        }
    }
    families.head(
        "errors_total",
        "counter",
        "Failed attempts to write, to sync or to open a file, by cause.",
    );
    for source in sources {
        let errors = &source.stats.errors;
        let by_cause = [
            ("space", errors.space),
            ("limit", errors.limit),
            ("device", errors.device),
            ("gone", errors.gone),
            ("invalid", errors.invalid),
            ("busy", errors.busy),
            ("other", errors.other),
        ];
        for (cause, count) in by_cause {
            families.sample("errors_total", source, Some(("cause", cause)), count);
        }
    }
    let panics = "Panics of the flusher that were caught.";
    families.of_all("panics_total", "counter", panics, sources, |source| {
        Some(source.stats.errors.panics)
    });
    let pending = "Accepted records that are not written yet.";
    families
        .of_all("records_pending", "gauge", pending, sources, |source| Some(source.stats.pending));
    let lag = "Accepted records that are not durable yet.";
    families.of_all("records_not_durable", "gauge", lag, sources, |source| {
        let Stats { accepted, durable, lost, .. } = source.stats;
        Some(accepted.saturating_sub(durable).saturating_sub(lost))
    });
    let health = "0 ok, 1 degraded, 2 failing, 3 hung, 4 forked child.";
    families.of_all("health", "gauge", health, sources, |source| {
        source.health.map(|health| health as u64)
    });
    let blocked = "Times that a caller needed a buffer and none was free.";
    families.of_all("blocked_swaps_total", "counter", blocked, sources, |source| {
        source.metrics.as_ref().map(|metrics| metrics.blocked_swaps)
    });
    let depth = "Sealed buffers that wait to be written.";
    families.of_all("flush_queue_depth", "gauge", depth, sources, |source| {
        source.metrics.as_ref().map(|metrics| metrics.flush_queue_depth as u64)
    });
    let flush = "From the moment that the flusher took a block until the block was safe.";
    families.times("flush_duration_seconds", flush, sources, |metrics| &metrics.flush_times);
    let write = "The device's part of a write.";
    families.times("write_duration_seconds", write, sources, |metrics| &metrics.write_times);
    text
}

/// Writes families of samples. Writing to a string does not fail.
struct Families<'a>(&'a mut String);

impl Families<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ =
            writeln!(self.0, "# HELP asynclogger_{name} {help}\n# TYPE asynclogger_{name} {kind}");
    }

    /// A family with one sample, without labels.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "asynclogger_{name} {value}");
    }

    /// A family with a sample for each source that has a value.
    fn of_all(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        sources: &[Source],
        value: impl Fn(&Source) -> Option<u64>,
    ) {
        if sources.iter().all(|source| value(source).is_none()) {
            return;
        }
        self.head(name, kind, help);
        for source in sources {
            if let Some(value) = value(source) {
                self.sample(name, source, None, value);
            }
        }
    }

    fn times(
        &mut self,
        name: &str,
        help: &str,
        sources: &[Source],
        of: impl Fn(&FlushMetrics) -> &Histogram,
    ) {
        if sources.iter().all(|source| source.metrics.is_none()) {
            return;
        }
        self.head(name, "histogram", help);
        let (bucket, count) = (format!("{name}_bucket"), format!("{name}_count"));
        for source in sources {
            let Some(times) = source.metrics.as_ref().map(&of) else { continue };
            let mut up_to = 0;
            for (bound, count) in times.buckets() {
                up_to += count;
                let bound = bound.map_or("+Inf".into(), |bound| bound.as_secs_f64().to_string());
                self.sample(&bucket, source, Some(("le", &bound)), up_to);
            }
            let sum = times.sum().as_secs_f64();
            let _ = write!(self.0, "asynclogger_{name}_sum");
            self.labels(source, None);
            let _ = writeln!(self.0, " {sum}");
            self.sample(&count, source, None, up_to);
        }
    }

    fn sample(&mut self, name: &str, source: &Source, label: Option<(&str, &str)>, value: u64) {
        let _ = write!(self.0, "asynclogger_{name}");
        self.labels(source, label);
        let _ = writeln!(self.0, " {value}");
    }

    fn labels(&mut self, source: &Source, label: Option<(&str, &str)>) {
        let event = source.event.as_deref().map(|event| ("event", event));
        let mut before = '{';
        for (name, value) in event.into_iter().chain(label) {
            let _ = write!(self.0, "{before}{name}=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    char => self.0.push(char),
                }
            }
            self.0.push('"');
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
    }
}
