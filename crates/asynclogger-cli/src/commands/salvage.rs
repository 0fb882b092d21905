//! `asynclogger salvage`: what dead processes have left in memory goes to the logs.

use std::io::Write;

use asynclogger::{Salvage, Salvaged, Salvager};

use crate::{
    outcome::{Answer, Failure},
    output::{Output, say},
    show::plain,
    units::{show_bytes, show_number_of},
    writing::args::SalvageArgs,
};

pub(crate) fn run(args: SalvageArgs) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    let all = Salvager::new(args.crash_safe_dir.clone()).dry_run(args.dry_run);
    let wanted = args.paths.iter().map(|path| match path.is_dir() {
        true => all.clone().directory(path),
        false => all.clone().log(path),
    });
    let mut wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() {
        wanted.push(all);
    }
    let mut found = 0;
    let mut answer = Answer::Fine;
    for salvager in wanted {
        let done = salvager.run()?;
        found += done.sessions.len() + done.left_alone.len() + done.in_use.len();
        for session in &done.sessions {
            let how = if args.dry_run { "would be written" } else { "written" };
            let Salvaged { log, file, .. } = session;
            let (log, file) = (log.display(), file.display());
            let text = format!("{log}: {}, {how} to {file}", show_salvaged(session));
            writeln!(out, "{}", plain(&text))?;
        }
        out.flush()?;
        say_left(&done);
        answer = answer.and(Answer::fine_if(done.left_alone.is_empty()));
    }
    if found == 0 {
        say("nothing is left to salvage");
    }
    Ok(answer)
}

/// `1,234 records, 5.6 MB`
pub(crate) fn show_salvaged(session: &Salvaged) -> String {
    format!("{}, {}", show_number_of(session.records, "record"), show_bytes(session.bytes))
}

/// Reports the memory that was not salvaged.
pub(crate) fn say_left(done: &Salvage) {
    for left in &done.left_alone {
        say(format_args!("{}: left alone: {}", left.map.display(), left.reason));
    }
    for used in &done.in_use {
        let (map, log) = (used.map.display(), used.log.display());
        say(format_args!(
            "{map}: not touched: it is in use, made by process {} for {log}",
            used.pid
        ));
    }
}
