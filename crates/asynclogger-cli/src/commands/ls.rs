//! `asynclogger ls`: which files of logs are there, and what do they hold?

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use asynclogger::read::{HeadKind, LogDir, Reader, Segment};
use serde::Serialize;

use crate::{
    args::LsArgs,
    outcome::{Answer, Failure},
    output::{Output, say},
    remote,
    sources::{Problem, there_is_none},
    table::write_table,
    units::{show_bytes, show_count, show_time},
};

/// A file of a log. What is not known is `None`: an object that was not shipped by `ship` says nothing of its content.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Listed {
    pub(crate) file: String,
    pub(crate) event: Option<String>,
    pub(crate) log: Option<String>,
    pub(crate) segment: Option<u64>,
    pub(crate) records: Option<u64>,
    pub(crate) dropped: Option<u64>,
    #[serde(serialize_with = "as_time")]
    pub(crate) first_time: Option<SystemTime>,
    #[serde(serialize_with = "as_time")]
    pub(crate) last_time: Option<SystemTime>,
    pub(crate) bytes: u64,
}

fn as_time<S: serde::Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| show_time(time, 9)).serialize(to)
}

pub(crate) fn run(args: LsArgs) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    let (mut answer, mut listed) = (Answer::Fine, Vec::new());
    for path in &args.paths {
        let found = match remote::url_of(path) {
            Some(url) => remote::list(url),
            None => list(path),
        };
        match found {
            Ok(found) if found.is_empty() => {
                say(there_is_none(path, None));
                answer = answer.and(Answer::No);
            }
            Ok(found) => listed.extend(found),
            Err(problem) => answer = answer.and(problem.say()?),
        }
    }
    listed.retain(|file| args.is_wanted(file));
    if args.json {
        for file in &listed {
            serde_json::to_writer(&mut out, file)?;
            out.write_all(b"\n")?;
        }
    } else if !listed.is_empty() {
        write_text(&mut out, &listed)?;
    }
    out.flush()?;
    Ok(answer)
}

impl LsArgs {
    /// Files of which the times are not known are shown: records of the asked time may be in them.
    fn is_wanted(&self, file: &Listed) -> bool {
        let is_event = self.event.is_none() || self.event == file.event;
        let begins_too_late =
            file.first_time.zip(self.until).is_some_and(|(first, end)| first >= end);
        let ends_too_early =
            file.last_time.zip(self.since).is_some_and(|(last, begin)| last < begin);
        is_event && !begins_too_late && !ends_too_early
    }
}

/// The files of the logs in a directory, or one file.
fn list(path: &Path) -> Result<Vec<Listed>, Problem> {
    let mut listed = Vec::new();
    if !path.is_dir() {
        listed.push(look_at(path)?);
        return Ok(listed);
    }
    let scan = LogDir::scan(path)?;
    for error in scan.unreadable {
        Problem::from(error).say()?;
    }
    for segment in scan.logs.iter().flat_map(LogDir::segments) {
        match look_at(&segment.path) {
            Ok(found) => listed.push(found.named(segment)),
            Err(problem) => {
                problem.say()?;
            }
        }
    }
    Ok(listed)
}

/// What the heads of a file's blocks say.
fn look_at(path: &Path) -> Result<Listed, Problem> {
    let mut reader = Reader::open(path)?;
    let (mut records, mut dropped) = (0, 0);
    let (mut first_time, mut last_time) = (None, None);
    while let Some(head) = reader.next_head()? {
        match head.kind {
            HeadKind::Block { records: more, begin, .. } => {
                records += more;
                first_time = earlier(first_time, begin.or(head.time));
                last_time = last_time.max(head.time);
            }
            HeadKind::Totals { dropped: sum, .. } => dropped = sum.total(),
            _ => {}
        }
    }
    let report = reader.report();
    Ok(Listed {
        file: path.display().to_string(),
        event: name_of(&report.name),
        log: report.log_id.map(|log| log.to_string()),
        segment: (report.segment > 0).then_some(report.segment),
        records: Some(records),
        dropped: Some(dropped),
        first_time,
        last_time,
        bytes: fs::metadata(path).map_or(report.stored_bytes, |metadata| metadata.len()),
    })
}

impl Listed {
    /// The start of the file may be damaged, and the log still known.
    fn named(mut self, segment: &Segment) -> Listed {
        self.event = self.event.or_else(|| name_of(&segment.name));
        self
    }
}

fn name_of(name: &[u8]) -> Option<String> {
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    [one, other].into_iter().flatten().min()
}

const HEADINGS: [&str; 8] =
    ["EVENT", "SEGMENT", "RECORDS", "DROPPED", "BYTES", "FIRST", "LAST", "FILE"];
const RIGHT: [bool; 8] = [false, true, true, true, true, false, false, false];

fn write_text(out: &mut impl Write, files: &[Listed]) -> io::Result<()> {
    let unknown = || "-".to_owned();
    let time = |time: Option<SystemTime>| time.map_or_else(unknown, |time| show_time(time, 0));
    let count = |count: Option<u64>| count.map_or_else(unknown, show_count);
    let mut rows = vec![HEADINGS.map(String::from)];
    rows.extend(files.iter().map(|file| {
        [
            file.event.as_ref().map_or_else(unknown, |event| event.escape_debug().to_string()),
            count(file.segment),
            count(file.records),
            count(file.dropped),
            show_bytes(file.bytes),
            time(file.first_time),
            time(file.last_time),
            file.file.clone(),
        ]
    }));
    if files.len() > 1 {
        let sum = |of: fn(&Listed) -> Option<u64>| show_count(files.iter().filter_map(of).sum());
        let mut row = [const { String::new() }; 8];
        row[0] = "total".into();
        row[2] = sum(|file| file.records);
        row[3] = sum(|file| file.dropped);
        row[4] = show_bytes(files.iter().map(|file| file.bytes).sum());
        rows.push(row);
    }
    write_table(out, &rows, RIGHT)
}
