//! An event in one line: all logs of its name in a directory, usually one.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use asynclogger::{
    Dropped,
    read::{LogReport, Report},
};
use serde::{Serialize, Serializer};

use crate::{
    figures::{DroppedJson, LossJson, add_dropped},
    log_summary::{count_missing, time_json, times_of},
};

/// The keys are a promise to scripts.
#[derive(Default, Serialize)]
pub(crate) struct EventSummary {
    /// The full name of the event, from its files; `None` if the files have no name (files of the original,
    /// empty files).
    pub(crate) event: Option<String>,
    /// The last file of the log that was written to last.
    pub(crate) file: PathBuf,
    /// The name of that log: the name of its active file without `.log`.
    pub(crate) base: String,
    pub(crate) logs: u64,
    pub(crate) segments: u64,
    pub(crate) missing_segments: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) stored_bytes: u64,
    #[serde(serialize_with = "dropped_json")]
    pub(crate) dropped: Dropped,
    pub(crate) salvaged: u64,
    pub(crate) lost: LossJson,
    pub(crate) damage: u64,
    #[serde(serialize_with = "time_json")]
    pub(crate) first_time: Option<SystemTime>,
    #[serde(serialize_with = "time_json")]
    pub(crate) last_time: Option<SystemTime>,
    pub(crate) whole: bool,
}

fn dropped_json<S: Serializer>(dropped: &Dropped, to: S) -> Result<S::Ok, S::Error> {
    DroppedJson::from(*dropped).serialize(to)
}

/// Events in the order in which their first logs came.
#[derive(Default)]
pub(crate) struct Events {
    list: Vec<EventSummary>,
    /// The index of an event in the list, by its directory and its name.
    places: HashMap<(PathBuf, Vec<u8>), usize>,
}

impl Events {
    pub(crate) fn list(&self) -> &[EventSummary] {
        &self.list
    }

    pub(crate) fn add(&mut self, log: &LogReport) {
        // A damaged start has no name.
        let name =
            log.segments.iter().rev().map(|report| &report.name).find(|name| !name.is_empty());
        let last = log.segments.last();
        let fresh = self.list.len();
        let place = match (name, last) {
            (Some(name), Some(last)) => {
                let directory = last.path.parent().unwrap_or(Path::new("")).to_owned();
                *self.places.entry((directory, name.clone())).or_insert(fresh)
            }
            _ => fresh,
        };
        let mut summary = EventSummary::of_log(log);
        match self.list.get_mut(place) {
            Some(event) => {
                if summary.last_time >= event.last_time {
                    (event.file, event.base) = (summary.file.clone(), summary.base.clone());
                }
                event.add_event(&summary);
            }
            None => {
                summary.event = name.map(|name| String::from_utf8_lossy(name).into_owned());
                self.list.push(summary);
            }
        }
    }
}

impl EventSummary {
    /// Adds the figures of another summary, without its name and its file.
    pub(crate) fn add_event(&mut self, other: &EventSummary) {
        self.first_time = self.first_time.into_iter().chain(other.first_time).min();
        self.last_time = self.last_time.max(other.last_time);
        self.logs += other.logs;
        self.segments += other.segments;
        self.missing_segments += other.missing_segments;
        self.records += other.records;
        self.payload_bytes += other.payload_bytes;
        self.file_bytes += other.file_bytes;
        self.stored_bytes += other.stored_bytes;
        add_dropped(&mut self.dropped, other.dropped);
        self.salvaged += other.salvaged;
        self.lost.add(other.lost);
        self.damage += other.damage;
        self.whole &= other.whole;
    }

    fn of_log(log: &LogReport) -> EventSummary {
        let file = log.segments.last().map_or(PathBuf::new(), |report| report.path.clone());
        let (first_time, last_time) = times_of(log);
        EventSummary {
            event: None,
            base: base_of(&file),
            file,
            logs: 1,
            segments: log.segments.len() as u64,
            missing_segments: count_missing(log),
            records: log.records,
            payload_bytes: log.payload_bytes,
            file_bytes: log.file_bytes,
            stored_bytes: log.stored_bytes,
            dropped: log.dropped(),
            salvaged: log.salvaged(),
            lost: log.lost.into(),
            damage: log.segments.iter().map(Report::damage_count).sum(),
            first_time,
            last_time,
            whole: log.is_whole(),
        }
    }
}

fn base_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    name.strip_suffix(".log").unwrap_or(name).to_owned()
}
