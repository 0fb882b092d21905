//! The report on what was read, as a dictionary.

use asynclogger::{
    Dropped, Error,
    read::{Damage, LogReport, Loss},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use crate::sources::is_no_log;

/// The report on what a reader has read so far.
#[derive(Debug)]
pub(crate) struct Report {
    /// Each log with its name.
    pub(crate) logs: Vec<(String, LogReport)>,
    pub(crate) unreadable: Vec<Error>,
}

impl Report {
    /// What is missing, in a sentence; `None` if nothing is.
    pub(crate) fn fault(&self) -> Option<String> {
        let missed = self.unreadable.iter().find(|error| !is_no_log(error));
        if self.logs.iter().all(|(_, log)| log.is_whole()) && missed.is_none() {
            return None;
        }
        let reports = || self.logs.iter().flat_map(|(_, log)| &log.segments);
        let parts: u64 = reports().map(|segment| segment.damage_count()).sum();
        let missing = self.logs.iter().map(|(_, log)| log.missing.len()).sum::<usize>();
        let unread = self.logs.iter().flat_map(|(_, log)| &log.unread).chain(missed);
        let mut text = format!(
            "{} records are lost, {parts} parts are damaged, {missing} runs of segments are missing, {} files are unread",
            self.lost(),
            unread.clone().count(),
        );
        let first = reports().find_map(|segment| Some((segment, segment.damage.first()?)));
        if let Some((segment, Damage { offset, kind, .. })) = first {
            let path = segment.path.display();
            text.push_str(&format!("; the first damage is in {path} at offset {offset}: {kind}"));
        }
        if let Some(error) = unread.into_iter().next() {
            text.push_str(&format!("; {error:#}"));
        }
        Some(text)
    }

    fn lost(&self) -> Loss {
        let mut sum = Loss::default();
        for (_, log) in &self.logs {
            sum.at_least = sum.at_least.saturating_add(log.lost.at_least);
            let both = sum.at_most.zip(log.lost.at_most);
            sum.at_most = both.map(|(sum, more)| sum.saturating_add(more));
        }
        sum
    }

    fn sum(&self, of: fn(&LogReport) -> u64) -> u64 {
        self.logs.iter().map(|(_, log)| of(log)).fold(0, u64::saturating_add)
    }

    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("records", self.sum(|log| log.records))?;
        dict.set_item("payload_bytes", self.sum(|log| log.payload_bytes))?;
        dict.set_item("blocks", self.sum(|log| log.blocks))?;
        dict.set_item("skipped_records", self.sum(|log| log.skipped_records))?;
        dict.set_item("salvaged", self.sum(LogReport::salvaged))?;
        dict.set_item("lost", loss(py, self.lost())?)?;
        let drops = self.logs.iter().map(|(_, log)| log.dropped());
        dict.set_item("dropped", dropped(py, drops.fold(Dropped::default(), add))?)?;
        let (damage, segments, logs) = (PyList::empty(py), PyList::empty(py), PyList::empty(py));
        for (event, log) in &self.logs {
            logs.append(log_dict(py, event, log)?)?;
            for report in &log.segments {
                segments.append(segment_dict(py, event, report)?)?;
                for found in &report.damage {
                    damage.append(damage_dict(py, &report.path, found)?)?;
                }
            }
        }
        dict.set_item("damage", damage)?;
        dict.set_item("segments", segments)?;
        dict.set_item("logs", logs)?;
        dict.set_item("unreadable", texts(&self.unreadable))?;
        dict.set_item("whole", self.fault().is_none())?;
        Ok(dict)
    }
}

fn add(mut sum: Dropped, more: Dropped) -> Dropped {
    sum.full = sum.full.saturating_add(more.full);
    sum.busy = sum.busy.saturating_add(more.busy);
    sum.too_large = sum.too_large.saturating_add(more.too_large);
    sum.empty = sum.empty.saturating_add(more.empty);
    sum.closed = sum.closed.saturating_add(more.closed);
    sum
}

fn texts(errors: &[Error]) -> Vec<String> {
    errors.iter().map(|error| format!("{error:#}")).collect()
}

fn loss<'py>(py: Python<'py>, loss: Loss) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("at_least", loss.at_least)?;
    dict.set_item("at_most", loss.at_most)?;
    Ok(dict)
}

fn dropped<'py>(py: Python<'py>, dropped: Dropped) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("total", dropped.total())?;
    dict.set_item("full", dropped.full)?;
    dict.set_item("busy", dropped.busy)?;
    dict.set_item("too_large", dropped.too_large)?;
    dict.set_item("empty", dropped.empty)?;
    dict.set_item("closed", dropped.closed)?;
    Ok(dict)
}

fn log_dict<'py>(py: Python<'py>, event: &str, log: &LogReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("event", event)?;
    dict.set_item("log_id", log.log_id.map(|id| id.to_string()))?;
    dict.set_item("records", log.records)?;
    dict.set_item("lost", loss(py, log.lost)?)?;
    dict.set_item("dropped", dropped(py, log.dropped())?)?;
    let missing: Vec<(u64, u64)> = log.missing.iter().map(|it| (*it.start(), *it.end())).collect();
    dict.set_item("missing_segments", missing)?;
    dict.set_item("unread", texts(&log.unread))?;
    Ok(dict)
}

fn segment_dict<'py>(
    py: Python<'py>,
    event: &str,
    report: &asynclogger::read::Report,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("event", event)?;
    dict.set_item("path", &report.path)?;
    dict.set_item("segment", report.segment)?;
    dict.set_item("records", report.records)?;
    dict.set_item("lost", loss(py, report.lost)?)?;
    dict.set_item("file_bytes", report.file_bytes)?;
    dict.set_item("stored_bytes", report.stored_bytes)?;
    dict.set_item("ending", report.ending.to_string())?;
    dict.set_item("state", report.sessions.last().map(|session| session.state.to_string()))?;
    Ok(dict)
}

fn damage_dict<'py>(
    py: Python<'py>,
    path: &std::path::Path,
    damage: &Damage,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", path)?;
    dict.set_item("offset", damage.offset)?;
    dict.set_item("len", damage.len)?;
    dict.set_item("kind", damage.kind.to_string())?;
    dict.set_item("lost", loss(py, damage.lost)?)?;
    Ok(dict)
}
