//! `asynclogger stat`: what is there?

use std::io::{self, Write};

use asynclogger::read::{Report, verify};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    args::StatArgs,
    outcome::{Answer, Failure},
    output::{Output, say},
    report::{FileJson, Totals},
    sources::{Source, for_each_source},
    units::{show_count, show_mb},
};

pub(crate) fn run(args: StatArgs) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    let mut totals = Totals::new();
    let mut reports = Vec::new();
    let told = for_each_source(&args.input, |source| {
        match source {
            Source::File(path) => {
                let report = verify(&path)?;
                totals.add(&report);
                reports.push(report);
            }
            Source::Log(log) => {
                let whole = log.verify()?;
                totals.add_log(&whole);
                reports.extend(whole.segments);
            }
        }
        Ok(Answer::Fine)
    })?;
    totals.unread = told.unread;
    if args.json {
        for report in &reports {
            serde_json::to_writer(&mut out, &StatJson::from(report))?;
            out.write_all(b"\n")?;
        }
        totals.write_json(&mut out)?;
        out.write_all(b"\n")?;
    } else if !reports.is_empty() {
        write_table(&mut out, &reports, &totals)?;
    }
    out.flush()?;
    if !totals.is_whole() {
        say(format_args!("{} (verify says where)", totals.verdict()));
    }
    Ok(told.answer.and(Answer::fine_if(totals.is_whole())))
}

/// The keys of `verify`, and some that describe more than they judge.
#[derive(Serialize)]
struct StatJson {
    #[serde(flatten)]
    file: FileJson,
    name: String,
    sessions: usize,
    overhead_bytes: u64,
    first_time: Option<String>,
    last_time: Option<String>,
}

impl From<&Report> for StatJson {
    fn from(report: &Report) -> StatJson {
        StatJson {
            file: report.into(),
            name: String::from_utf8_lossy(&report.name).into_owned(),
            sessions: report.sessions.len(),
            overhead_bytes: report.overhead_bytes(),
            first_time: report.first_time.map(|time| show_time(time, 9)),
            last_time: report.last_time.map(|time| show_time(time, 9)),
        }
    }
}

const HEADINGS: [&str; 10] = [
    "FILE", "SEGMENT", "SESSIONS", "RECORDS", "PAYLOAD", "OVERHEAD", "DROPPED", "FIRST", "LAST",
    "ENDING",
];
/// Words are aligned left, numbers right.
const RIGHT: [bool; 10] = [false, true, true, true, true, true, true, false, false, false];

fn write_table(out: &mut impl Write, reports: &[Report], totals: &Totals) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(String::from)];
    rows.extend(reports.iter().map(row));
    if reports.len() > 1 {
        rows.push([
            "total".into(),
            String::new(),
            String::new(),
            show_count(totals.records),
            show_mb(totals.payload_bytes),
            show_mb(totals.file_bytes.saturating_sub(totals.payload_bytes)),
            show_count(totals.dropped.total()),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    let widths: [usize; 10] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(RIGHT) {
            line += &if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(report: &Report) -> [String; 10] {
    let damaged = if report.is_whole() { "" } else { ", damaged" };
    [
        report.path.display().to_string(),
        report.segment.to_string(),
        report.sessions.len().to_string(),
        show_count(report.records),
        show_mb(report.payload_bytes),
        show_mb(report.overhead_bytes()),
        show_count(report.dropped().total()),
        report.first_time.map_or("-".into(), |time| show_time(time, 3)),
        report.last_time.map_or("-".into(), |time| show_time(time, 3)),
        format!("{}{damaged}", report.ending),
    ]
}

/// RFC 3339, UTC. A damaged file can hold any number, but jiff holds every `i64` of nanoseconds.
fn show_time(nanoseconds: i64, decimals: usize) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.decimals$}"),
        Err(_) => nanoseconds.to_string(),
    }
}
