//! `asynclogger tail`: prints the end of a log, and its further records.

use std::{io, path::Path, time::Duration};

use asynclogger::{
    Error, ErrorKind,
    read::{LogDir, ReadOptions, Scan},
};

use super::{by_time, lookout::Lookout};
use crate::{
    args::TailArgs,
    outcome::{Answer, Failure},
    output::say,
    printer::{Input, Printer},
    report::{say_damage, say_unread, show_missing},
    sources::{Problem, check_event_of, logs_of, say_copies, there_is_none},
    watch::Watch,
};

/// The time between two looks for new records: short for people, long for the machine.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The most records that are printed between two looks for signals, because a log can grow faster than its
/// records are printed.
pub(super) const AT_ONCE: u64 = 10_000;

pub(crate) fn run(args: TailArgs) -> Result<Answer, Failure> {
    let printer = Printer::open(args.print)?;
    if args.by_time {
        return by_time::tail(printer, &args).or_else(Problem::say);
    }
    let is_followed = args.follow || args.follow_name;
    let options = ReadOptions::new().follow(is_followed);
    let told = match open(&args.path, args.event.as_deref(), options) {
        Ok(log) if is_followed => Following::new(printer, &args, options)?.begin(log),
        Ok(log) => print_last(printer, log, args.records),
        Err(Refused::NotYet(text)) if args.follow_name => {
            Following::new(printer, &args, options)?.wait(&text)
        }
        Err(Refused::NotYet(text)) if args.path.is_dir() => Err(Failure::Usage(text).into()),
        Err(Refused::NotYet(text)) => Err(Failure::Io(text).into()),
        Err(Refused::Problem(problem)) => Err(problem),
    };
    told.or_else(Problem::say)
}

/// The reason why there is no log to print.
enum Refused {
    /// The log does not exist yet.
    NotYet(String),
    Problem(Problem),
}

impl<P: Into<Problem>> From<P> for Refused {
    fn from(problem: P) -> Refused {
        match problem.into() {
            Problem::Source(error) if is_not_there_yet(&error) => {
                Refused::NotYet(format!("{error:#}"))
            }
            problem => Refused::Problem(problem),
        }
    }
}

fn is_not_there_yet(error: &Error) -> bool {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    error.kind() == ErrorKind::NotFound || error.io_error().is_some_and(is_gone)
}

/// Opens the log that is meant, without the segments after the named one.
fn open(path: &Path, event: Option<&str>, options: ReadOptions) -> Result<LogDir, Refused> {
    check_event_of(path, event)?;
    if !path.is_dir() {
        return Ok(up_to_named(options.open_log(path)?));
    }
    let Scan { mut logs, unreadable, .. } = logs_of(path, event, options)?;
    unreadable.iter().for_each(|error| say(format_args!("{error:#}")));
    let shown = path.display();
    match (logs.len(), event) {
        (0, Some(_)) => Err(Refused::NotYet(there_is_none(path, event))),
        (0, None) => {
            Err(Refused::NotYet(format!("{shown}: this directory has 0 logs, and tail needs one")))
        }
        (count, _) => match logs.pop().filter(|_| count == 1) {
            Some(log) => Ok(log),
            None => {
                let hint = if event.is_none() { ": use --event NAME to choose one" } else { "" };
                let what =
                    format!("{shown}: this directory has {count} logs, and tail needs one{hint}");
                Err(Failure::Usage(what).into())
            }
        },
    }
}

pub(super) fn up_to_named(mut log: LogDir) -> LogDir {
    if let Some(last) = log.named() {
        log.retain(|segment| segment.id <= last);
    }
    log
}

fn print_last(mut printer: Printer, mut log: LogDir, records: u64) -> Result<Answer, Problem> {
    log.unreadable().iter().for_each(|error| say(format_args!("{error:#}")));
    say_copies(&log);
    log.seek_last(records)?;
    let mut input = Input::Log(Box::new(log));
    printer.print_up_to(&mut input, records)?;
    let Input::Log(log) = input else { return Ok(Answer::Fine) };
    Ok(tell_end(&log))
}

/// Reports what is wrong with the end of a log, which was read.
pub(super) fn tell_end(log: &LogDir) -> Answer {
    let report = log.report();
    report.segments.iter().for_each(say_damage);
    // A missing segment counts only if it would have been read.
    let is_whole = report.segments.iter().all(|segment| segment.is_whole());
    say_unread(&report).and(Answer::fine_if(is_whole && report.lost.is_none()))
}

/// The state of following a log until a signal comes.
struct Following<'a> {
    printer: Printer,
    args: &'a TailArgs,
    lookout: Lookout,
    watch: Watch,
}

impl Following<'_> {
    fn new(
        printer: Printer,
        args: &TailArgs,
        options: ReadOptions,
    ) -> Result<Following<'_>, Failure> {
        let watch = Watch::new(&args.path, args.event.as_deref(), options);
        Ok(Following { printer, args, lookout: Lookout::begin()?, watch })
    }

    /// Follows the log from its last records on.
    fn begin(self, mut log: LogDir) -> Result<Answer, Problem> {
        say_copies(&log);
        log.seek_last(self.args.records)?;
        self.follow_all(Some(log))
    }

    /// Waits for a log that does not exist yet, and then prints it from its beginning.
    fn wait(mut self, text: &str) -> Result<Answer, Problem> {
        self.lookout.say_once(format!("{text}; waiting for it"));
        self.follow_all(None)
    }

    /// Follows one log after the other, as the path comes to name them.
    fn follow_all(mut self, mut log: Option<LogDir>) -> Result<Answer, Problem> {
        loop {
            log = match log {
                Some(log) => match self.follow(log)? {
                    Some(next) => Some(next),
                    None => return Ok(Answer::Fine),
                },
                None => self.watch.another(None),
            };
            if log.is_none() && !self.goes_on(LOOK_EVERY)? {
                return Ok(Answer::Fine);
            }
        }
    }

    /// Prints new records until another log begins at the path or a signal comes. Returns the other log if it
    /// is to be followed; `None` at the end.
    fn follow(&mut self, log: LogDir) -> Result<Option<LogDir>, Problem> {
        let mut input = Input::Log(Box::new(log));
        let (mut told, mut next) = (0, None);
        loop {
            let printed = match self.printer.print_up_to(&mut input, AT_ONCE) {
                // The last segment cannot be read now; a later attempt may succeed.
                Err(Problem::Source(error)) => {
                    self.lookout.say_once(format!("{error:#}"));
                    0
                }
                printed => printed?,
            };
            let Input::Log(log) = &mut input else { return Ok(None) };
            // Damage at the end of the log can be a write in flight, so only the damage of finished segments
            // is reported.
            log.finished().iter().skip(told).for_each(say_damage);
            told = log.finished().len();
            self.say_what_is_missing(log);
            if printed == 0 {
                // All records of the old log are printed.
                if next.is_some() {
                    return Ok(next);
                }
                next = self.look_for_another(log);
            }
            let is_more = printed == AT_ONCE || next.is_some();
            let pause = if is_more { Duration::ZERO } else { LOOK_EVERY };
            if !self.goes_on(pause)? {
                return Ok(None);
            }
            if let Err(error) = log.refresh() {
                self.lookout.say_once(format!("{error:#}"));
            }
        }
    }

    fn look_for_another(&mut self, log: &LogDir) -> Option<LogDir> {
        let followed = log.log_id()?;
        let next = self.watch.another(Some(followed))?;
        let path = self.args.path.display();
        let id = next.log_id().map_or(String::new(), |id| id.to_string());
        let goes_on = self.args.follow_name;
        let how = if goes_on { "continuing with it" } else { "-F would go on with it" };
        self.lookout.say_once(format!("{path}: another log, {id}, has begun here; {how}"));
        goes_on.then_some(next)
    }

    fn say_what_is_missing(&mut self, log: &LogDir) {
        log.unread().iter().for_each(|error| self.lookout.say_once(format!("{error:#}")));
        log.unreadable().iter().for_each(|error| self.lookout.say_once(format!("{error:#}")));
        show_missing(log.log_id(), &log.missing()).for_each(|text| self.lookout.say_once(text));
    }

    fn goes_on(&self, time: Duration) -> io::Result<bool> {
        self.lookout.goes_on(time, &self.printer.out)
    }
}
