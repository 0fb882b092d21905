//! `asynclogger cat`: records become lines.

use std::path::Path;

use asynclogger::read::{Layout, LogDir, ReadOptions, Report};

use super::by_time;
use crate::{
    args::{CatArgs, LayoutArg},
    outcome::{Answer, Failure},
    printer::{Input, Printer},
    report::{say_damage, say_missing, say_unread},
    sources::{Problem, Source, for_each_source},
};

pub(crate) fn run(args: CatArgs) -> Result<Answer, Failure> {
    let mut printer = Printer::open(args.print)?;
    let layout = match args.layout {
        LayoutArg::Auto => Layout::Auto,
        LayoutArg::Seed => Layout::Seed,
        LayoutArg::Capacity => Layout::Capacity,
    };
    let mut options = ReadOptions::new().layout(layout);
    options = args.since.map_or(options, |time| options.since(time));
    options = args.until.map_or(options, |time| options.until(time));
    if args.by_time {
        return by_time::cat(printer, &args.input, options);
    }
    let open =
        |path: &Path| -> Result<Input, Problem> { Ok(Input::File(Box::new(options.open(path)?))) };
    let told = for_each_source(&args.input, options, |source| match source {
        Source::File(path) => print(&mut printer, open(&path)?),
        // With `--layout` each file is read by itself, because a layout is a rule for one file.
        Source::Log(log) if layout != Layout::Auto => {
            log.segments().iter().try_fold(Answer::Fine, |answer, segment| {
                let printed = open(&segment.path).and_then(|input| print(&mut printer, input));
                Ok(answer.and(printed.or_else(|problem| problem.say().map_err(Problem::Output))?))
            })
        }
        Source::Log(log) => print(&mut printer, Input::Log(log)),
    })?;
    Ok(told.answer)
}

/// Prints all records of a source. Damage does not end the printing; it is reported after the records.
fn print(printer: &mut Printer, mut input: Input) -> Result<Answer, Problem> {
    printer.print_up_to(&mut input, u64::MAX)?;
    Ok(match input {
        Input::File(reader) => tell(reader.report()),
        Input::Log(log) => tell_log(&log),
        Input::ByTime(_) => Answer::Fine,
    })
}

/// Reports what is wrong with a log that was read.
pub(super) fn tell_log(log: &LogDir) -> Answer {
    let report = log.report();
    report.segments.iter().for_each(say_damage);
    say_missing(&report);
    say_unread(&report).and(Answer::fine_if(report.is_whole()))
}

fn tell(report: &Report) -> Answer {
    say_damage(report);
    Answer::fine_if(report.is_whole())
}
