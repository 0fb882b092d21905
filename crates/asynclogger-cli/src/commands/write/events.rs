//! `asynclogger write --events`: each line begins with the name of its event.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
    str,
    time::{Duration, Instant},
};

use asynclogger::{Error, ErrorKind, EventLogger, LoggerManager, Opened, Overflow};
use memchr::memchr;

use super::{
    Patience, Service, configured, done, ending::Ending, how_written, no_signals, record_of,
    say_salvaged, show_records, unstored,
};
use crate::{
    outcome::{Answer, Failure},
    output::say,
    units::{show_count, show_number_of},
    writing::{
        args::WriteArgs,
        lines::{FRONT_BYTES, Line},
        reporter::Reporter,
        signals::{Order, Signals},
    },
};

/// How many problems of each kind are printed one by one; the others are counted.
const SAID: u64 = 10;

pub(super) fn run(args: &WriteArgs, directory: &Path) -> Result<Answer, Failure> {
    let Service { input, signals, ends, orders, patience, progress } = Service::begin(args)?;
    let reporter = Reporter::default();
    // The manager uses only the directory of the path.
    let config =
        args.logger.config(directory.join("events.log"), args.logger.policy_or(Overflow::Block));
    let config = configured(args, config).on_error(reporter.callback());
    let manager = patience.open(&signals, || LoggerManager::new(config.clone()))?;
    say_salvaged(manager.salvage());
    let ordered = manager.clone();
    let file = move |order| {
        done(match order {
            Order::Reopen => ordered.flush(),
            Order::Rotate => ordered.rotate(),
        });
    };
    orders.serve(file).map_err(no_signals)?;
    let ending = Ending::watch(manager.clone(), ends).map_err(no_signals)?;

    let started = Instant::now();
    let watched = manager.clone();
    let watching = progress.watch(move || watched.stats().total);
    let mut sorter = Sorter::new(&manager, &signals, patience);
    // The limit for a record does not include the name in front of it.
    let max = FRONT_BYTES + manager.max_record();
    let paused = || {
        // The flush is requested, and nobody waits for it.
        let _ = manager.flush_for(Duration::ZERO);
    };
    let read = input.for_each_line(max, &signals, |line| sorter.line(line), paused);
    sorter.say_how_many_more();
    let Sorter { events, bad_lines, unopened, first_error, .. } = sorter;
    let events = events.len() as u64;
    let closed = ending.close();
    drop(watching);
    reporter.sum_up();

    // The summary is printed even after a failure; the first failure is the one to report.
    let stats = manager.stats().total;
    let mut summary =
        format!("{}, {}", show_number_of(events, "event"), show_records(&stats, started.elapsed()));
    if bad_lines.count > 0 {
        summary += &format!(", lines without an event {}", show_count(bad_lines.count));
    }
    if unopened > 0 {
        summary += &format!(", of events that could not be opened {}", show_count(unopened));
    }
    let how = match events {
        // Without a file there is no mode or engine to print.
        0 => manager.directory().display().to_string(),
        _ => how_written(&stats, manager.directory(), args.logger.durability_name()),
    };
    say(format_args!("{summary}; {how}"));
    read?;
    closed?;
    match first_error {
        // No record was logged because the system refused every event.
        Some(_) if events == 0 => Err(Failure::Io("no event could be opened".into())),
        _ => {
            let is_all = stats.dropped_logs == 0 && bad_lines.count == 0 && unopened == 0;
            Ok(Answer::fine_if(is_all && unstored(&stats) == 0))
        }
    }
}

/// Passes each line to its event.
struct Sorter<'a> {
    manager: &'a LoggerManager,
    signals: &'a Signals,
    patience: Patience,
    /// A look-up here costs less than one in the manager, which has to be safe beside other threads.
    events: HashMap<Box<[u8]>, EventLogger>,
    number: u64,
    bad_lines: Trouble,
    too_long: Trouble,
    set_aside: Trouble,
    refused: Trouble,
    /// Names of events whose error was printed.
    refused_names: HashSet<Box<[u8]>>,
    /// Lines of events that could not be opened.
    unopened: u64,
    first_error: Option<Error>,
}

/// A problem that can happen more often than people want to read about it.
#[derive(Default)]
struct Trouble {
    count: u64,
}

impl Trouble {
    fn say(&mut self, what: impl fmt::Display) {
        self.count += 1;
        if self.count <= SAID {
            say(what);
        }
    }

    fn say_how_many_more(&self, what: &str) {
        if self.count > SAID {
            say(format_args!("{} more {what}", show_count(self.count - SAID)));
        }
    }
}

impl<'a> Sorter<'a> {
    fn new(manager: &'a LoggerManager, signals: &'a Signals, patience: Patience) -> Sorter<'a> {
        Sorter {
            manager,
            signals,
            patience,
            events: HashMap::new(),
            number: 0,
            bad_lines: Trouble::default(),
            too_long: Trouble::default(),
            set_aside: Trouble::default(),
            refused: Trouble::default(),
            refused_names: HashSet::new(),
            unopened: 0,
            first_error: None,
        }
    }

    #[inline]
    fn line(&mut self, line: Line<'_>) {
        self.number += 1;
        match line {
            Line::Whole(bytes) => match split(bytes) {
                Some((name, rest)) => self.record(name, record_of(rest), bytes.len() as u64),
                None => self.bad_line("there is no tab behind the name of an event"),
            },
            Line::TooLong { len, front, .. } => match split(front) {
                // The bytes of the record were discarded. The manager refuses the record by its length alone,
                // and counts it for the event.
                Some((name, _)) => self.too_long(name, len),
                None => self.bad_line("there is no tab behind the name of an event"),
            },
        }
    }

    #[inline]
    fn record(&mut self, name: &[u8], record: &[u8], line_len: u64) {
        if record.len() > self.manager.max_record() {
            self.too_long(name, line_len);
        } else if let Some(event) = self.events.get(name) {
            event.log_bytes(record);
        } else if let Some(event) = self.open(name) {
            event.log_bytes(record);
        }
    }

    #[cold]
    fn too_long(&mut self, name: &[u8], line_len: u64) {
        let max = self.manager.max_record();
        let len = line_len - name.len() as u64 - 1;
        let event = self.events.get(name).cloned().or_else(|| self.open(name));
        if let Some(event) = event {
            let what = format!(
                "line {}: a record of {len} bytes; it has at most {max}: dropped",
                self.number
            );
            self.too_long.say(what);
            event.log_bytes(&vec![0; max + 1]);
        }
    }

    /// The open event; `None` if the event cannot be opened (the line is then counted).
    #[cold]
    fn open(&mut self, name: &[u8]) -> Option<EventLogger> {
        let Ok(text) = str::from_utf8(name) else {
            self.bad_line("the name of the event is not UTF-8");
            return None;
        };
        match self.patience.open(self.signals, || self.manager.event(text)) {
            Ok(event) => {
                if let Opened::SetAside { to, reason, .. } = event.opened() {
                    let to = to.display();
                    let what = format!("event {text:?}: {reason}; its file was set aside as {to}");
                    self.set_aside.say(what);
                }
                self.events.insert(name.into(), event.clone());
                Some(event)
            }
            Err(error) if error.kind() == ErrorKind::InvalidConfig => {
                self.bad_line(error);
                None
            }
            Err(error) => {
                self.unopened += 1;
                if self.refused_names.insert(name.into()) {
                    let what = format!("event {text:?} cannot be opened: {error:#}");
                    self.refused.say(what);
                }
                self.first_error.get_or_insert(error);
                None
            }
        }
    }

    #[cold]
    fn bad_line(&mut self, what: impl fmt::Display) {
        let what = format!("line {}: {what}: not logged", self.number);
        self.bad_lines.say(what);
    }

    fn say_how_many_more(&self) {
        self.bad_lines.say_how_many_more("lines that name no event");
        self.too_long.say_how_many_more("records were too long");
        self.set_aside.say_how_many_more("files were set aside");
        self.refused.say_how_many_more("events cannot be opened");
    }
}

/// The name of the event, and the bytes behind the tab.
#[inline]
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let tab = memchr(b'\t', line)?;
    Some((&line[..tab], &line[tab + 1..]))
}
