//! `--by-time`: the records of several logs in one order.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use asynclogger::read::{ByTime, LogDir, ReadOptions, Scan};

use super::{cat::tell_log, lookout::Lookout, tail};
use crate::{
    args::{InputArgs, TailArgs},
    outcome::{Answer, Failure},
    output::say,
    printer::{Input, Merged, Printer},
    report::{say_damage, show_missing},
    sources::{
        Problem, Source, check_event_of, for_each_source, logs_of, say_copies, there_is_none,
    },
};

/// How often directories are looked at for new logs.
const SCAN_EVERY: Duration = Duration::from_secs(5);

/// Prints all records of all sources.
pub(super) fn cat(
    mut printer: Printer,
    input: &InputArgs,
    options: ReadOptions,
) -> Result<Answer, Failure> {
    let mut logs = Vec::new();
    // Whether a whole log was asked for, or one file of it.
    let mut are_whole = Vec::new();
    let told = for_each_source(input, options, |source| {
        are_whole.push(matches!(source, Source::Log(_)));
        logs.push(match source {
            Source::Log(log) => *log,
            Source::File(path) => only_named(options.open_log(path)?),
        });
        Ok(Answer::Fine)
    })?;
    let mut input = Input::ByTime(Box::new(Merged::new(ByTime::new(logs))));
    let printed = match printer.print_up_to(&mut input, u64::MAX) {
        Ok(_) => Answer::Fine,
        Err(problem) => problem.say()?,
    };
    let Input::ByTime(merged) = input else { return Ok(printed) };
    let answers = merged.records.logs().zip(are_whole).map(|(log, is_whole)| match is_whole {
        true => tell_log(log),
        false => tail::tell_end(log),
    });
    Ok(answers.fold(told.answer.and(printed), Answer::and))
}

pub(super) fn only_named(mut log: LogDir) -> LogDir {
    if let Some(named) = log.named() {
        log.retain(|segment| segment.id == named);
    }
    log
}

/// Prints the last records of all logs, and follows them.
pub(super) fn tail(printer: Printer, args: &TailArgs) -> Result<Answer, Problem> {
    let options = ReadOptions::new().follow(args.follow);
    let mut logs = Vec::new();
    for path in [&args.path].into_iter().chain(&args.more) {
        check_event_of(path, args.event.as_deref())?;
        let before = logs.len();
        logs.extend(open(path, args, options)?);
        // New logs can come to a directory that is followed.
        if logs.len() == before && !args.follow {
            return Err(Failure::Usage(there_is_none(path, args.event.as_deref())).into());
        }
    }
    logs.iter().for_each(say_copies);
    let mut records = ByTime::new(logs);
    if let Some(time) = args.hold_back {
        records = records.hold_back(time);
    }
    records.seek_last(args.records)?;
    let merged = Box::new(Merged::new(records));
    match args.follow {
        true => Following::new(printer, args, options)?.follow(merged),
        false => print_last(printer, merged, args.records),
    }
}

/// The logs that a path means.
fn open(path: &Path, args: &TailArgs, options: ReadOptions) -> Result<Vec<LogDir>, Problem> {
    if !path.is_dir() {
        return Ok(vec![tail::up_to_named(options.open_log(path)?)]);
    }
    let Scan { logs, unreadable, .. } = logs_of(path, args.event.as_deref(), options)?;
    unreadable.iter().for_each(|error| say(format_args!("{error:#}")));
    Ok(logs)
}

fn print_last(mut printer: Printer, merged: Box<Merged>, records: u64) -> Result<Answer, Problem> {
    let mut input = Input::ByTime(merged);
    printer.print_up_to(&mut input, records)?;
    let Input::ByTime(merged) = input else { return Ok(Answer::Fine) };
    Ok(merged.records.logs().map(tail::tell_end).fold(Answer::Fine, Answer::and))
}

/// The state of following logs until a signal comes.
struct Following<'a> {
    printer: Printer,
    args: &'a TailArgs,
    options: ReadOptions,
    lookout: Lookout,
    /// The number of segments of each log whose damage was reported.
    told: Vec<usize>,
    scanned: Instant,
}

impl Following<'_> {
    fn new(
        printer: Printer,
        args: &TailArgs,
        options: ReadOptions,
    ) -> Result<Following<'_>, Failure> {
        let (lookout, told, scanned) = (Lookout::begin()?, Vec::new(), Instant::now());
        Ok(Following { printer, args, options, lookout, told, scanned })
    }

    fn follow(mut self, merged: Box<Merged>) -> Result<Answer, Problem> {
        let mut input = Input::ByTime(merged);
        loop {
            let printed = match self.printer.print_up_to(&mut input, tail::AT_ONCE) {
                // A segment cannot be read now; a later attempt may succeed.
                Err(Problem::Source(error)) => {
                    self.lookout.say_once(format!("{error:#}"));
                    0
                }
                printed => printed?,
            };
            let Input::ByTime(merged) = &mut input else { return Ok(Answer::Fine) };
            self.tell(&merged.records);
            let is_more = printed == tail::AT_ONCE;
            let pause = if is_more { Duration::ZERO } else { tail::LOOK_EVERY };
            if !self.lookout.goes_on(pause, &self.printer.out)? {
                return Ok(Answer::Fine);
            }
            if let Err(error) = merged.records.refresh() {
                self.lookout.say_once(format!("{error:#}"));
            }
            if self.scanned.elapsed() >= SCAN_EVERY {
                self.add_new_logs(&mut merged.records);
            }
            merged.learn_names();
        }
    }

    /// Adds the logs that have begun in the directories.
    fn add_new_logs(&mut self, records: &mut ByTime) {
        self.scanned = Instant::now();
        let paths = [&self.args.path].into_iter().chain(&self.args.more);
        let directories: Vec<&PathBuf> = paths.filter(|path| path.is_dir()).collect();
        for directory in directories {
            match logs_of(directory, self.args.event.as_deref(), self.options) {
                Ok(scan) => {
                    let is_new = |log: &LogDir| !records.logs().any(|known| is_same(known, log));
                    let new: Vec<LogDir> = scan.logs.into_iter().filter(is_new).collect();
                    new.into_iter().for_each(|log| records.add(log));
                }
                Err(error) => self.lookout.say_once(format!("{error:#}")),
            }
        }
    }

    /// Reports what is wrong. Damage at the end of a log can be a write in flight, so only the damage of finished
    /// segments is reported.
    fn tell(&mut self, records: &ByTime) {
        self.told.resize(records.logs().len(), 0);
        for (index, log) in records.logs().enumerate() {
            if let Some(told) = self.told.get_mut(index) {
                log.finished().iter().skip(*told).for_each(say_damage);
                *told = log.finished().len();
            }
            let errors = log.unread().iter().chain(log.unreadable());
            errors.for_each(|error| self.lookout.say_once(format!("{error:#}")));
            show_missing(log.log_id(), &log.missing()).for_each(|text| self.lookout.say_once(text));
        }
    }
}

/// Whether `found` is the known log. A file that was empty gets an id later.
fn is_same(known: &LogDir, found: &LogDir) -> bool {
    let paths = |log: &LogDir| log.segments().iter().map(|it| it.path.clone()).collect::<Vec<_>>();
    match (known.log_id(), found.log_id()) {
        (Some(known), Some(found)) => known == found,
        _ => paths(known).iter().any(|path| paths(found).contains(path)),
    }
}
