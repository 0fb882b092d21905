//! Counters in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::fmt::Write;

use super::{
    ManagerStats, Stats,
    figures::{Family, Kind, Sample, Source, Times, families, families_of_manager, times},
};

impl Stats {
    /// The counters in the text format of Prometheus, for the answer to `GET /metrics`. (A
    /// [`Logger`](crate::Logger::render_prometheus) and a [`LoggerManager`](crate::LoggerManager::render_prometheus) also
    /// give health and times.)
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        render(&[Source {
            event: None,
            session: 0,
            stats: self.clone(),
            health: None,
            metrics: None,
        }])
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
        families_of_manager(self).iter().for_each(|family| Text(text).family(family));
    }
}

/// The figures of all sources: each family once.
pub(crate) fn render(sources: &[Source]) -> String {
    let mut text = String::new();
    families(sources).iter().for_each(|family| Text(&mut text).family(family));
    times(sources).iter().for_each(|times| Text(&mut text).times(times));
    text
}

/// Writes families of samples. Writing to a string does not fail.
struct Text<'a>(&'a mut String);

impl Text<'_> {
    fn family(&mut self, Family { name, kind, help, samples }: &Family<'_>) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, kind, help);
        for Sample { event, label, value } in samples {
            self.sample(name, *event, *label, *value);
        }
    }

    fn times(&mut self, Times { name, help, samples }: &Times<'_>) {
        if samples.is_empty() {
            return;
        }
        self.head(name, "histogram", help);
        let (bucket, count) = (format!("{name}_bucket"), format!("{name}_count"));
        for (event, times) in samples {
            let mut up_to = 0;
            for (bound, count) in times.buckets() {
                up_to += count;
                let bound = bound.map_or("+Inf".into(), |bound| bound.as_secs_f64().to_string());
                self.sample(&bucket, *event, Some(("le", &bound)), up_to);
            }
            let sum = times.sum().as_secs_f64();
            let _ = write!(self.0, "asynclogger_{name}_sum");
            self.labels(*event, None);
            let _ = writeln!(self.0, " {sum}");
            self.sample(&count, *event, None, up_to);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ =
            writeln!(self.0, "# HELP asynclogger_{name} {help}\n# TYPE asynclogger_{name} {kind}");
    }

    fn sample(&mut self, name: &str, event: Option<&str>, label: Option<(&str, &str)>, value: u64) {
        let _ = write!(self.0, "asynclogger_{name}");
        self.labels(event, label);
        let _ = writeln!(self.0, " {value}");
    }

    fn labels(&mut self, event: Option<&str>, label: Option<(&str, &str)>) {
        let event = event.map(|event| ("event", event));
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
