//! `asynclogger tail`: the end of a log, and how it goes on.

use std::{path::Path, time::Duration};

use asynclogger::read::{LogDir, ReadOptions};

use crate::{
    args::TailArgs,
    outcome::{Answer, Failure},
    printer::{Input, Printer},
    report::say_damage,
    sources::{Problem, check_event_of, logs_of, there_is_none},
    stop::{Pause, StopSignal},
};

/// How long a record may be there before it is shown: not long for people, and often enough for the machine.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many records are printed before signals are looked for again: a log may grow faster than we print.
const AT_ONCE: u64 = 10_000;

pub(crate) fn run(args: TailArgs) -> Result<Answer, Failure> {
    let mut printer = Printer::open(args.print)?;
    let options = ReadOptions::new().follow(args.follow);
    let told = match open(&args.path, args.event.as_deref(), options)? {
        Ok(log) if args.follow => follow(&mut printer, log, args.records),
        Ok(log) => print_last(&mut printer, log, args.records),
        Err(problem) => Err(problem),
    };
    told.or_else(Problem::say)
}

/// The log that is meant, without the segments after the one that was named.
fn open(
    path: &Path,
    event: Option<&str>,
    options: ReadOptions,
) -> Result<Result<LogDir, Problem>, Failure> {
    check_event_of(path, event)?;
    if !path.is_dir() {
        return Ok(options.open_log(path).map(|log| up_to(log, path)).map_err(Problem::from));
    }
    let logs = match logs_of(path, event, options) {
        Ok(logs) => logs,
        Err(error) => return Ok(Err(error.into())),
    };
    if let (true, Some(_)) = (logs.is_empty(), event) {
        return Err(Failure::Usage(there_is_none(path, event)));
    }
    let count = logs.len();
    match logs.into_iter().next().filter(|_| count == 1) {
        Some(log) => Ok(Ok(log)),
        None => {
            let path = path.display();
            let hint = match event {
                None if count > 1 => ": --event NAME tells which",
                _ => "",
            };
            let what = format!("{path}: there are {count} logs in it, and tail needs one{hint}");
            Err(Failure::Usage(what))
        }
    }
}

fn up_to(mut log: LogDir, path: &Path) -> LogDir {
    // The file that was named may be there in its other form, too, and that one listed.
    let plain = |path: &Path| match path.extension() {
        Some(extension) if extension == "zst" => path.file_stem().map(ToOwned::to_owned),
        _ => path.file_name().map(ToOwned::to_owned),
    };
    let named = log.segments().iter().find(|segment| plain(&segment.path) == plain(path));
    if let Some(last) = named.map(|segment| segment.id) {
        log.retain(|segment| segment.id <= last);
    }
    log
}

fn print_last(printer: &mut Printer, mut log: LogDir, records: u64) -> Result<Answer, Problem> {
    log.seek_last(records)?;
    let mut input = Input::Log(Box::new(log));
    printer.print_up_to(&mut input, records)?;
    let Input::Log(log) = input else { return Ok(Answer::Fine) };
    let report = log.report();
    report.segments.iter().for_each(say_damage);
    // Of segments that are missing only those count that would have been read.
    let is_whole = report.segments.iter().all(|segment| segment.is_whole());
    Ok(Answer::fine_if(is_whole && report.lost.is_none()))
}

fn follow(printer: &mut Printer, mut log: LogDir, records: u64) -> Result<Answer, Problem> {
    let stop = StopSignal::install()
        .map_err(|error| Problem::Output(Failure::io("cannot catch signals", error)))?;
    log.seek_last(records)?;
    let mut input = Input::Log(Box::new(log));
    let mut told = 0;
    loop {
        let printed = printer.print_up_to(&mut input, AT_ONCE)?;
        let Input::Log(log) = &mut input else { return Ok(Answer::Fine) };
        // What looks damaged at the end may be on its way; before that it is not.
        log.finished().iter().skip(told).for_each(say_damage);
        told = log.finished().len();
        let pause = if printed == AT_ONCE { Duration::ZERO } else { LOOK_EVERY };
        match stop.pause(pause, &printer.out)? {
            Pause::Over => log.refresh()?,
            Pause::Stop | Pause::Closed => return Ok(Answer::Fine),
        }
    }
}
