//! `asynclogger cat`: records become lines.

use std::io::Write;

use asynclogger::read::{Layout, LogDir, ReadOptions, Reader, Report};

use crate::{
    args::{CatArgs, Format, LayoutArg},
    outcome::{Answer, Failure},
    output::Output,
    report::say_damage,
    show::{self, Shown},
    sources::{Problem, Source, for_each_source},
};

pub(crate) fn run(args: CatArgs) -> Result<Answer, Failure> {
    let mut printer = Printer { out: Output::open()?, format: args.format, null: args.null };
    let options = ReadOptions::new().layout(match args.layout {
        LayoutArg::Auto => Layout::Auto,
        LayoutArg::Seed => Layout::Seed,
        LayoutArg::Capacity => Layout::Capacity,
    });
    let answer = for_each_source(&args.input, |source| {
        let answer = match source {
            Source::File(path) => print_file(&mut printer, options.open(&path)?),
            Source::Log(log) => print_log(&mut printer, log),
        };
        // What follows on standard error is about what is out already.
        printer.out.flush()?;
        answer
    });
    printer.out.flush()?;
    answer
}

fn print_file(printer: &mut Printer, mut reader: Reader) -> Result<Answer, Problem> {
    let segment = reader.report().segment;
    while let Some(record) = reader.next_record()? {
        printer.print(&Shown {
            bytes: record.bytes(),
            position: record.position(),
            segment,
            time: record.time(),
        })?;
    }
    printer.out.flush()?;
    Ok(tell(reader.report()))
}

fn print_log(printer: &mut Printer, mut log: LogDir) -> Result<Answer, Problem> {
    while let Some((segment, record)) = log.next_record()? {
        printer.print(&Shown {
            bytes: record.bytes(),
            position: record.position(),
            segment,
            time: record.time(),
        })?;
    }
    printer.out.flush()?;
    Ok(log.reports().iter().fold(Answer::Fine, |answer, report| answer.and(tell(report))))
}

/// Damage is no reason to end: the rest was printed.
fn tell(report: &Report) -> Answer {
    say_damage(report);
    Answer::fine_if(report.is_whole())
}

struct Printer {
    out: Output,
    format: Format,
    null: bool,
}

impl Printer {
    #[inline]
    fn print(&mut self, record: &Shown<'_>) -> Result<(), Problem> {
        let out = &mut self.out;
        match self.format {
            Format::Raw if out.is_terminal() => show::escaped(out, record.bytes)?,
            Format::Raw => out.write_all(record.bytes)?,
            Format::Json => show::json(out, record)?,
            Format::Hex => show::hex(out, record)?,
        }
        if self.null {
            out.write_all(b"\0")?;
        } else if self.format != Format::Raw || record.bytes.last() != Some(&b'\n') {
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
