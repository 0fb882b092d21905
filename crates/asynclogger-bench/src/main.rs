//! One measurement of one logger in a process of its own; `scripts/bench-peers` runs many. See docs/benchmarks.md,
//! "Peers in one run".
//!
//! ```text
//! asynclogger-bench list
//! asynclogger-bench burst|saturate|paced|idle SUBJECT [--threads N] [--size BYTES] [--seconds S] ...
//! ```
//!
//! Prints one JSON object. What reached the file is counted by reading the file, whatever the logger says.

mod args;
mod latency;
mod outcome;
mod record;
mod scenarios;
mod subject;
mod subjects;
mod tally;
mod trouble;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match run(&given) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("asynclogger-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &[String]) -> outcome::Outcome<String> {
    if given.first().is_some_and(|command| command == "list") {
        return Ok(subjects::list());
    }
    let plan = args::Plan::parse(given)?;
    let measured = subjects::measure(&plan)?;
    Ok(measured.to_string())
}
