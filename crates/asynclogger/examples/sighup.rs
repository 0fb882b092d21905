//! A service whose log is rotated by `logrotate`: on SIGHUP it goes on in a new file.
//!
//! ```sh
//! service | cargo run --example sighup -- /var/log/svc/svc.log
//! ```
//!
//! with `docs/logrotate.conf`. Who has no `logrotate` to please uses `Config::rotation` instead, and needs
//! no signal.

use std::{
    error::Error,
    io::{self, BufRead},
    path::Path,
    thread,
    time::Duration,
};

use asynclogger::{Config, Logger};
use signal_hook::{consts::SIGHUP, iterator::Signals};

#[allow(dead_code, reason = "the test of the example has a main of its own")]
fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(path) => run(Path::new(&path)),
        None => Err("which log?".into()),
    }
}

/// Logs the lines of standard input, to its end.
pub(crate) fn run(path: &Path) -> Result<(), Box<dyn Error>> {
    // Before anything else: until then the signal ends the process.
    let mut signals = Signals::new([SIGHUP])?;
    let config = Config::new(path)
        .flush_interval(Duration::from_millis(100))
        .on_error(|error| eprintln!("{error:#}"));
    let logger = Logger::new(config)?;

    let handle = signals.handle();
    let reopening = thread::spawn({
        let logger = logger.clone();
        move || {
            for _ in signals.forever() {
                // The old file is complete when this returns.
                if let Err(error) = logger.reopen() {
                    eprintln!("cannot reopen the log: {error:#}");
                }
            }
        }
    });

    for line in io::stdin().lock().lines() {
        logger.log(&line?);
    }
    handle.close();
    let _ = reopening.join();
    logger.close()?;
    Ok(())
}
