//! A writer that counts outside of its own memory how many records were accepted, so that others can compare the count with
//! what arrives, whatever happens to the writer. `scripts/pipeline` runs several of them, and kills some.
//!
//! ```sh
//! cargo run --example counted -- DIRECTORY COUNTS SECONDS WRITER EVENTS PER_SECOND [MAPS]
//! ```
//!
//! Each event has a thread, and two numbers in the file COUNTS, of eight bytes each: accepted and refused records. A record is
//! a line of JSON with the writer, the event and its number among the accepted ones. With MAPS, the log is crash safe. The
//! writer closes its logs after SECONDS, or when the file COUNTS.stop exists.

use std::{
    error::Error,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use asynclogger::{
    Compression, Config, CrashSafe, EventLogger, LoggerManager, Rotation, Timestamps,
};

/// The length of a record, in bytes.
const LEN: usize = 256;
/// How many records a thread logs at once before it looks at the clock.
const BUNCH: u64 = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let [directory, counts, seconds, writer, events, per_second, maps @ ..] = args else {
        return Err("DIRECTORY COUNTS SECONDS WRITER EVENTS PER_SECOND [MAPS]".into());
    };
    let length = Duration::from_secs_f64(seconds.parse()?);
    let (writer, events, per_second): (u64, u64, u64) =
        (writer.parse()?, events.parse()?, per_second.parse()?);
    let stop = PathBuf::from(format!("{counts}.stop"));
    let counts = File::options().create(true).truncate(false).write(true).open(counts)?;
    counts.set_len(events * 16)?;

    let mut config = Config::default()
        .buffer_size(16 << 20)
        .flush_interval(Duration::from_millis(200))
        .rotation(Rotation::new().max_age(Duration::from_secs(2)))
        .compression(Compression::zstd(1))
        .timestamps(Timestamps::On)
        .on_error(|error| eprintln!("{error:#}"));
    if let [maps] = maps {
        config = config.crash_safe(CrashSafe::in_dir(Path::new(maps)));
    }
    let manager = LoggerManager::in_dir(directory, config)?;
    let end = Instant::now() + length;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..events)
            .map(|number| {
                let (manager, counts) = (&manager, &counts);
                let is_over = || Instant::now() >= end || stop.exists();
                scope.spawn(move || {
                    let event = manager.event(&format!("event/{number}"))?;
                    log(&event, counts, (writer, number), per_second / events, is_over)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    manager.close()?;
    Ok(())
}

fn log(
    event: &EventLogger,
    counts: &File,
    (writer, number): (u64, u64),
    per_second: u64,
    is_over: impl Fn() -> bool,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (begun, mut accepted, mut refused) = (Instant::now(), 0_u64, 0_u64);
    while !is_over() {
        let due = Duration::from_secs_f64((accepted + refused) as f64 / per_second as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        for _ in 0..BUNCH {
            let mut record = format!(
                "{{\"writer\":{writer},\"event\":\"{}\",\"number\":{accepted},\"filler\":\"",
                event.name()
            );
            let noise = accepted.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            while record.len() < LEN - 2 {
                record.push_str(&format!("{noise:016x}"));
            }
            record.truncate(LEN - 2);
            record.push_str("\"}");
            match event.try_log_bytes(record.as_bytes()) {
                Ok(_) => accepted += 1,
                Err(_) => refused += 1,
            }
            let mut both = [0; 16];
            both[..8].copy_from_slice(&accepted.to_le_bytes());
            both[8..].copy_from_slice(&refused.to_le_bytes());
            counts.write_all_at(&both, number * 16)?;
        }
    }
    Ok(())
}
