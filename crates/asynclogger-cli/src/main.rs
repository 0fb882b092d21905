//! The `asynclogger` command: writes, reads, verifies and measures logs of raw records.
//!
//! The library does all work on logs; this crate has only the parts of a command line.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod errors;
mod event_summary;
mod figures;
mod input;
mod lines;
mod log_summary;
mod new_file;
mod outcome;
mod output;
mod printer;
mod progress;
mod report;
mod rotation_args;
mod service_args;
mod show;
mod signals;
mod sources;
mod stop;
mod talk;
mod units;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Command, CommandLine},
    commands::{bench, cat, paper, repair, salvage, stat, tail, verify, write},
    outcome::{Answer, Failure},
    output::say,
    signals::{Early, survive_the_limit_of_files},
};

fn main() -> ExitCode {
    // Before anything else: until then a signal kills the process, with the lines in its pipe.
    let early = Early::catch();
    survive_the_limit_of_files();
    let code = code_of(run(CommandLine::parse(), early));
    talk::finish();
    code
}

fn code_of(result: Result<Answer, Failure>) -> ExitCode {
    match result {
        // A closed pipe is the way in which `| head` ends its input, not an error.
        Ok(Answer::Fine) | Err(Failure::BrokenPipe) => ExitCode::from(0),
        Ok(Answer::No) => ExitCode::from(1),
        // The same exit code as that of clap's own errors.
        Err(Failure::Usage(what)) => said(what, 2),
        Ok(Answer::Unread) => ExitCode::from(3),
        Err(Failure::Io(what)) => said(what, 3),
    }
}

fn run(line: CommandLine, early: Early) -> Result<Answer, Failure> {
    match line.command {
        Command::Write(args) => write::run(args, early),
        Command::Cat(args) => cat::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Salvage(args) => salvage::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Completions { shell } => paper::completions(shell),
        Command::Man { command } => paper::manual(command.as_deref()),
    }
}

fn said(what: String, code: u8) -> ExitCode {
    say(what);
    ExitCode::from(code)
}
