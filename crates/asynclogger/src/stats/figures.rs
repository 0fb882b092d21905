//! The figures of logs, under the names that metric systems show.

use super::{FlushMetrics, Health, Histogram, ManagerStats, Stats};

/// The counters of one log, or the sums over the logs of a manager.
pub(crate) struct Source {
    /// The event, for a label.
    pub(crate) event: Option<String>,
    /// The session that these are the figures of; 0 if that is not known.
    /// The session that these are the figures of; 0 if that is not known.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for differences"))]
    pub(crate) session: u64,
    pub(crate) stats: Stats,
    pub(crate) health: Option<Health>,
    pub(crate) metrics: Option<FlushMetrics>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Never goes down.
    Counter,
    Gauge,
}

/// A figure, with a sample or more for each source that has it.
pub(crate) struct Family<'a> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) samples: Vec<Sample<'a>>,
}

pub(crate) struct Sample<'a> {
    pub(crate) event: Option<&'a str>,
    /// A reason or a cause, with the label's name.
    pub(crate) label: Option<(&'static str, &'static str)>,
    pub(crate) value: u64,
}

/// How long something took, for each source that knows.
pub(crate) struct Times<'a> {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) samples: Vec<(Option<&'a str>, &'a Histogram)>,
}

/// The figures of all sources; a figure that no source has is left out.
pub(crate) fn families(sources: &[Source]) -> Vec<Family<'_>> {
    let mut families = Families { sources, all: Vec::new() };
    let mut counter = |name, help, of: fn(&Stats) -> u64| {
        families.add(Kind::Counter, name, help, |source| Some(of(&source.stats)));
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
    let help = "Records that were refused, by reason.";
    families.add_by("reason", "records_dropped_total", help, |stats| {
        let dropped = &stats.dropped;
        vec![
            ("full", dropped.full),
            ("busy", dropped.busy),
            ("too_large", dropped.too_large),
            ("empty", dropped.empty),
            ("closed", dropped.closed),
        ]
    });
    let help = "Failed attempts to write, to sync or to open a file, by cause.";
    families.add_by("cause", "errors_total", help, |stats| {
        let errors = &stats.errors;
        vec![
            ("space", errors.space),
            ("limit", errors.limit),
            ("device", errors.device),
            ("gone", errors.gone),
            ("invalid", errors.invalid),
            ("busy", errors.busy),
            ("other", errors.other),
        ]
    });
    let help = "Panics of the flusher that were caught.";
    families.add(Kind::Counter, "panics_total", help, |it| Some(it.stats.errors.panics));
    let help = "Accepted records that are not written yet.";
    families.add(Kind::Gauge, "records_pending", help, |it| Some(it.stats.pending));
    let help = "Accepted records that are not durable yet.";
    families.add(Kind::Gauge, "records_not_durable", help, |source| {
        let Stats { accepted, durable, lost, .. } = source.stats;
        Some(accepted.saturating_sub(durable).saturating_sub(lost))
    });
    let help = "0 ok, 1 degraded, 2 failing, 3 hung, 4 forked child.";
    families.add(Kind::Gauge, "health", help, |it| it.health.map(|health| health as u64));
    let help = "Times that a caller needed a buffer and none was free.";
    families.add(Kind::Counter, "blocked_swaps_total", help, |it| {
        Some(it.metrics.as_ref()?.blocked_swaps)
    });
    let help = "Sealed buffers that wait to be written.";
    families.add(Kind::Gauge, "flush_queue_depth", help, |it| {
        Some(it.metrics.as_ref()?.flush_queue_depth as u64)
    });
    families.all
}

/// The figures of a manager that no event has.
pub(crate) fn families_of_manager(stats: &ManagerStats) -> [Family<'static>; 3] {
    let one = |kind, name, help, value| {
        let samples = vec![Sample { event: None, label: None, value }];
        Family { name, kind, help, samples }
    };
    let unopened = "Records of events that could not be opened.";
    [
        one(Kind::Counter, "records_unopened_total", unopened, stats.unopened),
        one(Kind::Gauge, "events_open", "Events that are open.", stats.events as u64),
        one(Kind::Gauge, "files_open", "Files of events that are open.", stats.open_files as u64),
    ]
}

/// The times of all sources.
pub(crate) fn times<'a>(sources: &'a [Source]) -> [Times<'a>; 2] {
    let of = |name, help, of: fn(&FlushMetrics) -> &Histogram| {
        let sample =
            |source: &'a Source| Some((source.event.as_deref(), of(source.metrics.as_ref()?)));
        Times { name, help, samples: sources.iter().filter_map(sample).collect() }
    };
    let flush = "From the moment that the flusher took a block until the block was safe.";
    let write = "The device's part of a write.";
    [
        of("flush_duration_seconds", flush, |metrics| &metrics.flush_times),
        of("write_duration_seconds", write, |metrics| &metrics.write_times),
    ]
}

struct Families<'a> {
    sources: &'a [Source],
    all: Vec<Family<'a>>,
}

impl<'a> Families<'a> {
    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Source) -> Option<u64>,
    ) {
        let sample = |source: &'a Source| {
            Some(Sample { event: source.event.as_deref(), label: None, value: value(source)? })
        };
        let samples: Vec<_> = self.sources.iter().filter_map(sample).collect();
        if !samples.is_empty() {
            self.all.push(Family { name, kind, help, samples });
        }
    }

    /// A counter with a sample for each value of a label.
    fn add_by(
        &mut self,
        label: &'static str,
        name: &'static str,
        help: &'static str,
        values: impl Fn(&Stats) -> Vec<(&'static str, u64)>,
    ) {
        let samples = self.sources.iter().flat_map(|source| {
            let event = source.event.as_deref();
            let sample = move |(of, value)| Sample { event, label: Some((label, of)), value };
            values(&source.stats).into_iter().map(sample)
        });
        let samples: Vec<_> = samples.collect();
        if !samples.is_empty() {
            self.all.push(Family { name, kind: Kind::Counter, help, samples });
        }
    }
}
