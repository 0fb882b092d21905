//! The report on one file, and the totals over many, for people and for programs.

use std::{
    io::{self, Write},
    ops::RangeInclusive,
};

use asynclogger::{
    Dropped, LogId,
    read::{Damage, DamageKind, Ending, Format, LogReport, Report, SessionReport, SessionState},
};
use serde::Serialize;

use crate::{
    event_summary::{EventSummary, Events},
    figures::{DroppedJson, LossJson, add_dropped},
    log_summary::{LogSummary, count_missing},
    outcome::Answer,
    output::say,
    paint::Paint,
    show::plain,
    units::{show_bytes, show_count, show_number_of},
};

/// The keys are a promise to scripts.
#[derive(Serialize)]
pub(crate) struct FileJson {
    file: String,
    format: &'static str,
    version: Option<u32>,
    layout: Option<String>,
    log_id: Option<String>,
    segment: u64,
    ending: String,
    blocks: u64,
    records: u64,
    payload_bytes: u64,
    file_bytes: u64,
    stored_bytes: u64,
    dropped: DroppedJson,
    salvaged: u64,
    /// Whether the file was made by a repair, and the records, at least, that had been lost before.
    repaired: bool,
    given_up: u64,
    /// The sessions without an end, here or in the next segment.
    unended: Vec<UnendedJson>,
    lost: LossJson,
    damage: Vec<DamageJson>,
    damage_left_out: u64,
}

#[derive(Serialize)]
struct UnendedJson {
    session: String,
    /// `live`, `died`, or `open`: nothing shows whether its writer lives.
    state: String,
}

impl From<&SessionReport> for UnendedJson {
    fn from(session: &SessionReport) -> UnendedJson {
        UnendedJson { session: show_session(session), state: session.state.to_string() }
    }
}

fn show_session(session: &SessionReport) -> String {
    format!("{:016x}", session.session)
}

/// The sessions without an end that are worth a word. A session before another one in its file has no end only if that
/// end is damaged, which is told as damage.
fn unended(report: &Report) -> impl Iterator<Item = &SessionReport> {
    let is_told = |session: &&SessionReport| match session.state {
        SessionState::Live | SessionState::Died => true,
        SessionState::Open => report.ending == Ending::Open,
        _ => false,
    };
    let is_ours = matches!(report.format, Format::Native { .. });
    report.sessions.iter().rev().take(usize::from(is_ours)).filter(is_told)
}

/// `session 00ab has no end: its writer died; records of the last interval may be missing`
fn show_unended(session: &SessionReport) -> String {
    let id = show_session(session);
    match session.state {
        SessionState::Live => format!("session {id} is being written"),
        SessionState::Died => format!(
            "session {id} has no end: its writer died; records of the last interval may be missing"
        ),
        _ => format!("session {id} has no end: it is being written, or its writer died"),
    }
}

/// Reports on standard error the sessions that died.
pub(crate) fn say_died(report: &Report) {
    let path = report.path.display();
    for session in unended(report).filter(|session| session.state == SessionState::Died) {
        say(format_args!("{path}: {}", show_unended(session)));
    }
}

/// What is known of a session without an end at the end of the file, for a table; empty if there is none.
pub(crate) fn show_writer(report: &Report) -> &'static str {
    match unended(report).map(|session| session.state).next() {
        Some(SessionState::Live) => ", being written",
        Some(SessionState::Died) => ", its writer died",
        _ => "",
    }
}

#[derive(Serialize)]
struct DamageJson {
    offset: u64,
    len: u64,
    kind: String,
    lost_min: u64,
    lost_max: Option<u64>,
}

impl From<&Damage> for DamageJson {
    fn from(damage: &Damage) -> DamageJson {
        DamageJson {
            offset: damage.offset,
            len: damage.len,
            kind: damage.kind.to_string(),
            lost_min: damage.lost.at_least,
            lost_max: damage.lost.at_most,
        }
    }
}

impl From<&Report> for FileJson {
    fn from(report: &Report) -> FileJson {
        let (format, version, layout) = match report.format {
            Format::Native { version, .. } => ("native", Some(version), None),
            Format::Original { layout, .. } => ("original", None, Some(layout.to_string())),
            _ => ("unknown", None, None),
        };
        FileJson {
            file: report.path.display().to_string(),
            format,
            version,
            layout,
            log_id: report.log_id.map(|id| id.to_string()),
            segment: report.segment,
            ending: report.ending.to_string(),
            blocks: report.blocks,
            records: report.records,
            payload_bytes: report.payload_bytes,
            file_bytes: report.file_bytes,
            stored_bytes: report.stored_bytes,
            dropped: report.dropped().into(),
            salvaged: report.salvaged(),
            repaired: is_repaired(report),
            given_up: given_up(report),
            unended: unended(report).map(UnendedJson::from).collect(),
            lost: report.lost.into(),
            damage: report.damage.iter().map(DamageJson::from).collect(),
            damage_left_out: report.damage_left_out,
        }
    }
}

/// The report on one file, for people.
pub(crate) fn write_text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let paint = Paint::stdout();
    writeln!(out, "{}", plain(&report.path.display().to_string()))?;
    writeln!(out, "  format    {}", show_format(report))?;
    writeln!(
        out,
        "  contents  {}, {} of payload, in {} and {}; file {}{}",
        show_number_of(report.records, "record"),
        show_bytes(report.payload_bytes),
        show_number_of(report.blocks, "block"),
        show_number_of(report.sessions.len() as u64, "session"),
        show_bytes(report.file_bytes),
        match report.stored_bytes {
            stored if stored == report.file_bytes => String::new(),
            stored => format!(", compressed to {}", show_bytes(stored)),
        }
    )?;
    writeln!(out, "  dropped   {}", show_dropped(&report.dropped()))?;
    if report.salvaged() > 0 {
        let salvaged = show_number_of(report.salvaged(), "record");
        writeln!(out, "  salvaged  {salvaged}, written after the death of their process")?;
    }
    if is_repaired(report) {
        let lost = match given_up(report) {
            0 => String::new(),
            lost => format!(", in which {} or more had been lost", show_number_of(lost, "record")),
        };
        writeln!(out, "  repaired  from a damaged file{lost}")?;
    }
    writeln!(out, "  ending    {}", report.ending)?;
    for session in unended(report) {
        writeln!(out, "  unended   {}", show_unended(session))?;
    }
    for damage in &report.damage {
        let Damage { offset, len, kind, .. } = damage;
        match kind {
            DamageKind::Repeated => writeln!(
                out,
                "  repeated  {len} bytes at offset {offset}: they stand in the next segment again"
            )?,
            _ => writeln!(out, "  {}    {}", paint.bad("damage"), show_damage(damage))?,
        }
    }
    if report.damage_left_out > 0 {
        let more = show_number_of(report.damage_left_out, "place");
        writeln!(out, "  {}    {more} more", paint.bad("damage"))?;
    }
    writeln!(out, "  lost      {}", report.lost)
}

fn is_repaired(report: &Report) -> bool {
    report.sessions.iter().any(|session| session.repaired)
}

fn given_up(report: &Report) -> u64 {
    report.sessions.iter().fold(0, |sum, session| sum.saturating_add(session.given_up))
}

fn show_format(report: &Report) -> String {
    let mut text = match report.format {
        Format::Native { version, .. } => format!("asynclogger, version {version}"),
        Format::Original { layout, .. } => format!("the original's, by the {layout} layout"),
        _ => "unknown".into(),
    };
    if let Some(id) = report.log_id {
        text += &format!(", log {id}, segment {}", report.segment);
    }
    if !report.name.is_empty() {
        text += &format!(", name {}", String::from_utf8_lossy(&report.name).escape_debug());
    }
    text
}

/// `12 (full 10, too large 2)`
pub(crate) fn show_dropped(dropped: &Dropped) -> String {
    let by_reason = [
        ("full", dropped.full),
        ("busy", dropped.busy),
        ("too large", dropped.too_large),
        ("empty", dropped.empty),
        ("closed", dropped.closed),
    ];
    let reasons: Vec<String> = by_reason
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{reason} {}", show_count(*count)))
        .collect();
    match reasons.is_empty() {
        true => "0".into(),
        false => format!("{} ({})", show_count(dropped.total()), reasons.join(", ")),
    }
}

/// Reports the damage on standard error.
pub(crate) fn say_damage(report: &Report) {
    let path = report.path.display();
    let is_told = |damage: &&Damage| damage.kind != DamageKind::Repeated;
    for damage in report.damage.iter().filter(is_told) {
        say(format_args!("{path}: {}", show_damage(damage)));
    }
    if report.damage_left_out > 0 {
        say(format_args!(
            "{path}: damage in {} more",
            show_number_of(report.damage_left_out, "place")
        ));
    }
}

/// Reports on standard error the segments of a log that could not be read.
pub(crate) fn say_unread(log: &LogReport) -> Answer {
    log.unread.iter().for_each(|error| say(format_args!("{error:#}")));
    if log.unread.is_empty() { Answer::Fine } else { Answer::Unread }
}

/// Reports the missing segments on standard error.
pub(crate) fn say_missing(log: &LogReport) {
    show_missing(log.log_id, &log.missing).for_each(say);
}

/// One text for each gap.
pub(crate) fn show_missing(
    log_id: Option<LogId>,
    missing: &[RangeInclusive<u64>],
) -> impl Iterator<Item = String> {
    let log_id = log_id.map_or(String::new(), |id| id.to_string());
    missing.iter().map(move |missing| {
        let (first, last) = (missing.start(), missing.end());
        format!("log {log_id}: segments {first} to {last} are missing")
    })
}

/// `chunk at offset 8192, 65536 bytes; records lost: 3`
fn show_damage(damage: &Damage) -> String {
    let Damage { offset, len, kind, lost, .. } = damage;
    format!("{kind} at offset {offset}, {len} bytes; records lost: {lost}")
}

/// Sums over files. Also the last line of `--json`.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) damaged_files: u64,
    pub(crate) damage: u64,
    pub(crate) missing_segments: u64,
    pub(crate) blocks: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) dropped: Dropped,
    pub(crate) salvaged: u64,
    /// Sessions without an end whose writers died.
    pub(crate) died: u64,
    pub(crate) lost: LossJson,
    /// Paths that could not be read or are not logs.
    pub(crate) unread: u64,
    /// The logs that were read as a whole.
    pub(crate) logs: Vec<LogSummary>,
    /// The same logs, by their names.
    pub(crate) events: Events,
}

/// The keys are a promise to scripts. The object of a single file has no key `files`.
#[derive(Serialize)]
struct TotalsJson<'a> {
    files: u64,
    damaged_files: u64,
    damage: u64,
    missing_segments: u64,
    blocks: u64,
    records: u64,
    payload_bytes: u64,
    file_bytes: u64,
    stored_bytes: u64,
    dropped: DroppedJson,
    salvaged: u64,
    died: u64,
    lost: LossJson,
    unread: u64,
    whole: bool,
    logs: &'a [LogSummary],
    events: &'a [EventSummary],
}

impl Totals {
    /// Adds a file that was read by itself.
    pub(crate) fn add(&mut self, report: &Report) {
        self.files += 1;
        self.add_findings(report);
        self.blocks += report.blocks;
        self.records += report.records;
        self.payload_bytes += report.payload_bytes;
        self.file_bytes += report.file_bytes;
        self.stored_bytes += report.stored_bytes;
        add_dropped(&mut self.dropped, report.dropped());
        self.salvaged += report.salvaged();
        self.lost.add(report.lost.into());
    }

    /// Adds a log that was read as a whole. The log's report shows more than those of its files: blocks that
    /// are in two files, and losses between files.
    pub(crate) fn add_log(&mut self, log: &LogReport) {
        self.files += log.segments.len() as u64;
        for report in &log.segments {
            self.add_findings(report);
        }
        self.missing_segments += count_missing(log);
        self.unread += log.unread.len() as u64;
        self.logs.push(log.into());
        self.events.add(log);
        self.blocks += log.blocks;
        self.records += log.records;
        self.payload_bytes += log.payload_bytes;
        self.file_bytes += log.file_bytes;
        self.stored_bytes += log.stored_bytes;
        add_dropped(&mut self.dropped, log.dropped());
        self.salvaged += log.salvaged();
        self.lost.add(log.lost.into());
    }

    fn add_findings(&mut self, report: &Report) {
        self.damaged_files += u64::from(!report.is_whole());
        self.damage += report.damage_count();
        let died = unended(report).filter(|session| session.state == SessionState::Died);
        self.died += died.count() as u64;
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.damaged_files == 0
            && self.missing_segments == 0
            && self.lost.is_none()
            && self.unread == 0
    }

    /// The verdict, in one line.
    pub(crate) fn verdict(&self) -> String {
        let mut text = self.verdict_on_files();
        if self.died > 0 {
            let sessions = show_number_of(self.died, "session");
            text += &format!("; {sessions} ended by the death of the writer");
        }
        text
    }

    fn verdict_on_files(&self) -> String {
        let records = show_number_of(self.records, "record");
        let files = show_number_of(self.files, "file");
        if self.is_whole() {
            return format!("whole: {records} in {files}, nothing damaged, nothing lost");
        }
        let mut text = if self.damaged_files == 0 && self.lost.is_none() {
            format!("not all: {records} in {files}, nothing damaged there")
        } else {
            format!(
                "damaged: {} in {} of {files}; {records} left, {} lost",
                show_number_of(self.damage, "place"),
                show_count(self.damaged_files),
                self.lost
            )
        };
        if self.missing_segments > 0 {
            text += &format!("; {} missing", show_number_of(self.missing_segments, "segment"));
        }
        if self.unread > 0 {
            text += &format!("; {} not read", show_number_of(self.unread, "path"));
        }
        text
    }

    pub(crate) fn write_json(&self, out: &mut impl Write) -> Result<(), serde_json::Error> {
        let object = TotalsJson {
            files: self.files,
            damaged_files: self.damaged_files,
            damage: self.damage,
            missing_segments: self.missing_segments,
            blocks: self.blocks,
            records: self.records,
            payload_bytes: self.payload_bytes,
            file_bytes: self.file_bytes,
            stored_bytes: self.stored_bytes,
            dropped: self.dropped.into(),
            salvaged: self.salvaged,
            died: self.died,
            lost: self.lost,
            unread: self.unread,
            whole: self.is_whole(),
            logs: &self.logs,
            events: self.events.list(),
        };
        serde_json::to_writer(out, &object)
    }
}
