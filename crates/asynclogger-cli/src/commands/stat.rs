//! `asynclogger stat`: what does a file, a log or a directory contain?

use std::io::{self, Write};

use asynclogger::read::{ReadOptions, Report, verify};
use serde::Serialize;

use super::stat_watch;
use crate::{
    args::StatArgs,
    event_summary::EventSummary,
    log_summary::LogSummary,
    outcome::{Answer, Failure},
    output::{Output, say},
    report::{FileJson, Totals, say_died, say_unread, show_writer},
    sources::{Problem, Source, for_each_source},
    table::write_table,
    units::{show_bytes, show_count, show_number_of, show_time},
};

pub(crate) fn run(args: StatArgs) -> Result<Answer, Failure> {
    if let Some(every) = args.watch {
        return stat_watch::run(&args.input, every);
    }
    let mut out = Output::open()?;
    let mut totals = Totals::default();
    // Files that were named by themselves, and files of a log.
    let (mut files, mut of_logs) = (Vec::new(), Vec::new());
    let told = for_each_source(&args.input, ReadOptions::new(), |source| {
        let mut answer = Answer::Fine;
        match source {
            Source::File(path) => {
                let report = verify(&path)?;
                totals.add(&report);
                say_died(&report);
                if args.json {
                    write_json(&mut out, &report)?;
                } else {
                    files.push(report);
                }
            }
            Source::Log(log) => {
                let whole = log.verify()?;
                totals.add_log(&whole);
                answer = say_unread(&whole);
                whole.segments.iter().for_each(say_died);
                if args.json {
                    whole.segments.iter().try_for_each(|report| write_json(&mut out, report))?;
                } else {
                    of_logs.extend(whole.segments);
                }
            }
        }
        Ok(answer)
    })?;
    totals.unread += told.unread;
    if args.json {
        totals.write_json(&mut out)?;
        out.write_all(b"\n")?;
    } else {
        write_tables(&mut out, files, of_logs, &totals)?;
    }
    out.flush()?;
    if !totals.is_whole() {
        say(format_args!("{} (verify says where)", totals.verdict()));
    }
    Ok(told.answer.and(Answer::fine_if(totals.is_whole())))
}

/// Prints the files of a single log and its totals; of several logs only the totals, because their files
/// would hide these.
fn write_tables(
    out: &mut impl Write,
    mut files: Vec<Report>,
    of_logs: Vec<Report>,
    totals: &Totals,
) -> io::Result<()> {
    let events = totals.events.list();
    let has_many = events.len() > 1;
    if !has_many {
        files.extend(of_logs);
    }
    if !files.is_empty() {
        write_files(out, &files)?;
        if !events.is_empty() {
            writeln!(out)?;
        }
    }
    if has_many { write_events(out, events) } else { write_logs(out, &totals.logs) }
}

/// The keys of `verify`, and some more that describe the file.
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

fn write_json(out: &mut impl Write, report: &Report) -> Result<(), Problem> {
    serde_json::to_writer(&mut *out, &StatJson::from(report))?;
    Ok(out.write_all(b"\n")?)
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

const HEADINGS: [&str; 12] = [
    "FILE", "SEGMENT", "SESSIONS", "RECORDS", "PAYLOAD", "OVERHEAD", "STORED", "DROPPED",
    "SALVAGED", "FIRST", "LAST", "ENDING",
];
/// Which columns are aligned right: words are aligned left, numbers right.
const RIGHT: [bool; 12] =
    [false, true, true, true, true, true, true, true, true, false, false, false];

const LOG_HEADINGS: [&str; 8] =
    ["LOG", "SEGMENTS", "MISSING", "RECORDS", "PAYLOAD", "STORED", "FIRST", "LAST"];
const LOG_RIGHT: [bool; 8] = [false, true, true, true, true, true, false, false];

fn write_files(out: &mut impl Write, reports: &[Report]) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(String::from)];
    rows.extend(reports.iter().map(row));
    if reports.len() > 1 {
        let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
        rows.push([
            "total".into(),
            String::new(),
            String::new(),
            show_count(sum(|report| report.records)),
            show_bytes(sum(|report| report.payload_bytes)),
            show_bytes(sum(Report::overhead_bytes)),
            show_bytes(sum(|report| report.stored_bytes)),
            show_count(sum(|report| report.dropped().total())),
            show_count(sum(Report::salvaged)),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    write_table(out, &rows, RIGHT)
}

const EVENT_HEADINGS: [&str; 12] = [
    "EVENT", "FILE", "SEGMENTS", "MISSING", "RECORDS", "DROPPED", "LOST", "DAMAGED", "STORED",
    "FIRST", "LAST", "WHOLE",
];
const EVENT_RIGHT: [bool; 12] =
    [false, false, true, true, true, true, true, true, true, false, false, false];

fn write_events(out: &mut impl Write, events: &[EventSummary]) -> io::Result<()> {
    let mut rows = vec![EVENT_HEADINGS.map(String::from)];
    let mut total = EventSummary { whole: true, ..EventSummary::default() };
    for event in events {
        total.add_event(event);
        let name = match &event.event {
            Some(name) => name.escape_debug().to_string(),
            None => "-".into(),
        };
        let file = event.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        rows.push(event_row(name, file, event));
    }
    rows.push(event_row("total".into(), show_number_of(events.len() as u64, "event"), &total));
    write_table(out, &rows, EVENT_RIGHT)
}

fn event_row(name: String, file: String, event: &EventSummary) -> [String; 12] {
    [
        name,
        file,
        show_count(event.segments),
        show_count(event.missing_segments),
        show_count(event.records),
        show_count(event.dropped.total()),
        event.lost.to_string(),
        show_count(event.damage),
        show_bytes(event.stored_bytes),
        event.first_time.map_or("-".into(), |time| show_time(time, 3)),
        event.last_time.map_or("-".into(), |time| show_time(time, 3)),
        if event.whole { "yes".into() } else { "no".into() },
    ]
}

fn write_logs(out: &mut impl Write, logs: &[LogSummary]) -> io::Result<()> {
    if logs.is_empty() {
        return Ok(());
    }
    let mut rows = vec![LOG_HEADINGS.map(String::from)];
    rows.extend(logs.iter().map(|log| {
        [
            log.file.clone(),
            show_count(log.segments),
            show_count(log.missing_segments),
            show_count(log.records),
            show_bytes(log.payload_bytes),
            show_bytes(log.stored_bytes),
            log.first_time.map_or("-".into(), |time| show_time(time, 3)),
            log.last_time.map_or("-".into(), |time| show_time(time, 3)),
        ]
    }));
    write_table(out, &rows, LOG_RIGHT)
}

fn row(report: &Report) -> [String; 12] {
    let damaged = if report.is_whole() { "" } else { ", damaged" };
    [
        report.path.display().to_string(),
        report.segment.to_string(),
        report.sessions.len().to_string(),
        show_count(report.records),
        show_bytes(report.payload_bytes),
        show_bytes(report.overhead_bytes()),
        show_bytes(report.stored_bytes),
        show_count(report.dropped().total()),
        show_count(report.salvaged()),
        report.first_time.map_or("-".into(), |time| show_time(time, 3)),
        report.last_time.map_or("-".into(), |time| show_time(time, 3)),
        format!("{}{}{damaged}", report.ending, show_writer(report)),
    ]
}
