//! `asynclogger verify`: is every record there, and undamaged?

use std::io::Write;

use asynclogger::read::{ReadOptions, Report, verify};

use crate::{
    args::VerifyArgs,
    outcome::{Answer, Failure},
    output::Output,
    paint::Paint,
    report::{self, FileJson, Totals, say_missing, say_unread},
    sources::{Problem, Source, for_each_source},
};

pub(crate) fn run(args: VerifyArgs) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    let mut totals = Totals::default();
    let mut tell = |report: &Report| -> Result<(), Problem> {
        if args.json {
            serde_json::to_writer(&mut out, &FileJson::from(report))?;
            out.write_all(b"\n")?;
        } else {
            report::write_text(&mut out, report)?;
        }
        Ok(out.flush()?)
    };
    let told = for_each_source(&args.input, ReadOptions::new(), |source| {
        let mut answer = Answer::Fine;
        match source {
            Source::File(path) => {
                let report = verify(&path)?;
                totals.add(&report);
                tell(&report)?;
            }
            Source::Log(log) => {
                let whole = log.verify()?;
                totals.add_log(&whole);
                for report in &whole.segments {
                    tell(report)?;
                }
                say_missing(&whole);
                answer = say_unread(&whole);
            }
        }
        Ok(answer)
    })?;
    totals.unread += told.unread;
    if args.json {
        totals.write_json(&mut out)?;
        out.write_all(b"\n")?;
    } else {
        let (paint, verdict) = (Paint::stdout(), totals.verdict());
        if totals.is_whole() {
            writeln!(out, "{}", paint.good(verdict))?;
        } else {
            writeln!(out, "{}", paint.bad(verdict))?;
        }
    }
    out.flush()?;
    Ok(told.answer.and(Answer::fine_if(totals.is_whole())))
}
