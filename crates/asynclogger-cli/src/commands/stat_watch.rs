//! `asynclogger stat --watch`: what comes into logs, by the heads of their new blocks.

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, Instant, SystemTime},
};

use asynclogger::read::{HeadKind, LogDir, ReadOptions};

use super::lookout::Lookout;
use crate::{
    args::InputArgs,
    outcome::{Answer, Failure},
    output::Output,
    sources::{Source, for_each_source},
    units::{show_bytes, show_count, show_number_of, show_time},
};

pub(super) fn run(input: &InputArgs, every: Duration) -> Result<Answer, Failure> {
    let mut lookout = Lookout::begin()?;
    let options = ReadOptions::new().follow(true);
    let mut logs = Vec::new();
    let told = for_each_source(input, options, |source| {
        logs.push(Watched::new(match source {
            Source::Log(log) => *log,
            Source::File(path) => options.open_log(path)?,
        }));
        Ok(Answer::Fine)
    })?;
    if logs.is_empty() {
        return Ok(told.answer);
    }
    let mut out = Output::open()?;
    let (mut before, mut at) = (None::<Sums>, Instant::now());
    loop {
        for log in &mut logs {
            if let Err(error) = log.look() {
                lookout.say_once(format!("{error:#}"));
            }
            log.log.unread().iter().for_each(|error| lookout.say_once(format!("{error:#}")));
        }
        let now = Instant::now();
        let sums = logs.iter().fold(Sums::default(), |sums, log| sums.and(&log.sums));
        let seconds = before.is_some().then(|| (now - at).as_secs_f64());
        let line = line(&sums, &before.unwrap_or(sums), seconds, logs.len());
        if out.is_terminal() {
            // Back to the beginning of the line, and nothing of the last one stays.
            write!(out, "\r\x1b[K{line}")?;
        } else {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        (before, at) = (Some(sums), now);
        if !lookout.goes_on(every, &out)? {
            break;
        }
    }
    if out.is_terminal() {
        writeln!(out)?;
        out.flush()?;
    }
    Ok(told.answer)
}

/// `2026-07-01T10:00:00Z  1 log  12,345 records  3.2 MB  dropped 0  1,200 records/s  0.3 MB/s  0 dropped/s`
fn line(sums: &Sums, before: &Sums, seconds: Option<f64>, logs: usize) -> String {
    let mut line = format!(
        "{}  {}  {}  {}  dropped {}",
        show_time(SystemTime::now(), 0),
        show_number_of(logs as u64, "log"),
        show_number_of(sums.records, "record"),
        show_bytes(sums.bytes),
        show_count(sums.dropped)
    );
    if let Some(seconds) = seconds {
        let a_second =
            |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds.max(1e-9);
        line += &format!(
            "  {} records/s  {:.1} MB/s  {} dropped/s",
            show_count(a_second(sums.records, before.records) as u64),
            a_second(sums.bytes, before.bytes) / 1e6,
            show_count(a_second(sums.dropped, before.dropped) as u64)
        );
    }
    line
}

#[derive(Clone, Copy, Default)]
struct Sums {
    records: u64,
    bytes: u64,
    dropped: u64,
}

impl Sums {
    fn and(self, other: &Sums) -> Sums {
        Sums {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
            dropped: self.dropped.saturating_add(other.dropped),
        }
    }
}

/// A log whose heads are read as they come.
struct Watched {
    log: LogDir,
    sums: Sums,
    /// The drops of each session: by the last block of each shard, and by the last note or end.
    sessions: HashMap<u64, (HashMap<u32, u64>, u64)>,
}

impl Watched {
    fn new(log: LogDir) -> Watched {
        Watched { log, sums: Sums::default(), sessions: HashMap::new() }
    }

    /// Reads the heads that are new.
    fn look(&mut self) -> Result<(), asynclogger::Error> {
        self.log.refresh()?;
        while let Some(head) = self.log.next_head()? {
            match head.kind {
                HeadKind::Block { shard, records, payload_bytes, dropped, .. } => {
                    self.sums.records = self.sums.records.saturating_add(records);
                    self.sums.bytes = self.sums.bytes.saturating_add(payload_bytes);
                    let (shards, _) = self.sessions.entry(head.session).or_default();
                    shards.insert(shard, dropped.total());
                }
                HeadKind::Totals { dropped, .. } => {
                    self.sessions.entry(head.session).or_default().1 = dropped.total();
                }
                _ => {}
            }
        }
        let of_session = |(shards, declared): &(HashMap<u32, u64>, u64)| {
            shards.values().fold(0, |sum: u64, n| sum.saturating_add(*n)).max(*declared)
        };
        self.sums.dropped = self.sessions.values().map(of_session).fold(0, u64::saturating_add);
        Ok(())
    }
}
