//! The `asynclogger` command: writes, reads, verifies and measures logs of raw records.
//!
//! The library does all work on logs; this crate has only the parts of a command line.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod errors;
mod event_summary;
mod figures;
mod log_summary;
mod new_file;
mod outcome;
mod output;
mod paint;
mod printer;
mod remote;
mod report;
mod show;
mod sources;
mod system;
mod table;
mod units;
mod watch;
#[cfg(target_os = "linux")]
mod writing;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Command, CommandLine},
    commands::{cat, ls, paper, repair, stat, tail, verify},
    outcome::{Answer, Failure},
    output::say_failure,
};

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    writing::signals::catch_early();
    let code = code_of(run(CommandLine::parse()));
    output::finish();
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

fn run(line: CommandLine) -> Result<Answer, Failure> {
    paint::choose(line.color.into());
    match line.command {
        #[cfg(target_os = "linux")]
        Command::Writing(command) => commands::writing::run(command),
        Command::Cat(args) => cat::run(args),
        Command::Ls(args) => ls::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Repair(args) => repair::run(args),
        #[cfg(feature = "export")]
        Command::Export(args) => commands::export::run(args),
        Command::Completions { shell } => paper::completions(shell),
        Command::Man { command } => paper::manual(command.as_deref()),
    }
}

fn said(what: String, code: u8) -> ExitCode {
    say_failure(what);
    ExitCode::from(code)
}
