//! `asynclogger stat`: what is there?

use std::io::{self, Write};

use asynclogger::read::{Report, verify};
use serde::Serialize;

use crate::{
    args::StatArgs,
    outcome::{Answer, Failure},
    output::{Output, say},
    report::{FileJson, LogSummary, Totals},
    sources::{Source, for_each_source},
    units::{show_count, show_mb, show_time},
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
        write_files(&mut out, &reports, &totals)?;
        if !totals.logs.is_empty() {
            writeln!(out)?;
            write_logs(&mut out, &totals.logs)?;
        }
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

const HEADINGS: [&str; 11] = [
    "FILE", "SEGMENT", "SESSIONS", "RECORDS", "PAYLOAD", "OVERHEAD", "STORED", "DROPPED", "FIRST",
    "LAST", "ENDING",
];
/// Words are aligned left, numbers right.
const RIGHT: [bool; 11] = [false, true, true, true, true, true, true, true, false, false, false];

const LOG_HEADINGS: [&str; 8] =
    ["LOG", "SEGMENTS", "MISSING", "RECORDS", "PAYLOAD", "STORED", "FIRST", "LAST"];
const LOG_RIGHT: [bool; 8] = [false, true, true, true, true, true, false, false];

fn write_files(out: &mut impl Write, reports: &[Report], totals: &Totals) -> io::Result<()> {
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
            show_mb(totals.stored_bytes),
            show_count(totals.dropped.total()),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    write_table(out, &rows, RIGHT)
}

fn write_logs(out: &mut impl Write, logs: &[LogSummary]) -> io::Result<()> {
    let mut rows = vec![LOG_HEADINGS.map(String::from)];
    rows.extend(logs.iter().map(|log| {
        [
            log.file.clone(),
            show_count(log.segments),
            show_count(log.missing_segments),
            show_count(log.records),
            show_mb(log.payload_bytes),
            show_mb(log.stored_bytes),
            log.first_time.map_or("-".into(), |time| show_time(time, 3)),
            log.last_time.map_or("-".into(), |time| show_time(time, 3)),
        ]
    }));
    write_table(out, &rows, LOG_RIGHT)
}

fn write_table<const N: usize>(
    out: &mut impl Write,
    rows: &[[String; N]],
    is_right: [bool; N],
) -> io::Result<()> {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(is_right) {
            line += &if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(report: &Report) -> [String; 11] {
    let damaged = if report.is_whole() { "" } else { ", damaged" };
    [
        report.path.display().to_string(),
        report.segment.to_string(),
        report.sessions.len().to_string(),
        show_count(report.records),
        show_mb(report.payload_bytes),
        show_mb(report.overhead_bytes()),
        show_mb(report.stored_bytes),
        show_count(report.dropped().total()),
        report.first_time.map_or("-".into(), |time| show_time(time, 3)),
        report.last_time.map_or("-".into(), |time| show_time(time, 3)),
        format!("{}{damaged}", report.ending),
    ]
}
