//! An ML serving process that logs three events: the features of each request, its prediction, and, rarely,
//! an error. Each has a file of its own; payloads are what protobuf would make of them.
//!
//! usage: ml_serving DIRECTORY [REQUESTS]

use std::{path::PathBuf, process::ExitCode};

use asynclogger::{Config, Error, LoggerManager, verify};

/// Appends a protobuf varint.
fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends a field of varint type.
fn number(field: u64, value: u64, to: &mut Vec<u8>) {
    varint(field << 3, to);
    varint(value, to);
}

/// Appends a field of bytes.
fn bytes(field: u64, value: &[u8], to: &mut Vec<u8>) {
    varint(field << 3 | 2, to);
    varint(value.len() as u64, to);
    to.extend_from_slice(value);
}

fn serve(manager: &LoggerManager, thread: u64, requests: u64) -> Result<(), Error> {
    // Names are looked up once.
    let (features, predictions) = (manager.event("features")?, manager.event("predictions")?);
    let mut message = Vec::with_capacity(1024);
    for request in 0..requests {
        let id = thread << 32 | request;
        message.clear();
        number(1, id, &mut message);
        let vector: Vec<u8> =
            (0..64_u64).flat_map(|at| ((id ^ at) as f32 / 7.0).to_le_bytes()).collect();
        bytes(2, &vector, &mut message);
        features.log_bytes(&message);

        message.clear();
        number(1, id, &mut message);
        varint(3 << 3 | 5, &mut message);
        message.extend_from_slice(&(id as f32).sin().to_le_bytes());
        predictions.log_bytes(&message);

        if request % 10_000 == 9_999 {
            message.clear();
            number(1, id, &mut message);
            bytes(4, b"deadline exceeded", &mut message);
            // Seldom enough to be looked up by name.
            manager.log_bytes_with_event("errors", &message);
        }
    }
    Ok(())
}

fn run(directory: PathBuf, requests: u64) -> Result<(), Error> {
    const THREADS: u64 = 4;
    let manager = LoggerManager::new(Config::new(directory.join("base.log")))?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let manager = &manager;
                scope.spawn(move || serve(manager, thread, requests / THREADS))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    let names = manager.list_event_loggers();
    let stats = manager.close()?;
    println!(
        "{} records, {} dropped, {} durable",
        stats.total.accepted, stats.total.dropped_logs, stats.total.durable
    );
    for name in names {
        let report = verify(directory.join(format!("{name}.log")))?;
        println!("{name}: {} records, {} bytes", report.records, report.payload_bytes);
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(directory) = arguments.next() else {
        eprintln!("usage: ml_serving DIRECTORY [REQUESTS]");
        return ExitCode::from(2);
    };
    let requests = arguments.next().and_then(|text| text.to_str()?.parse().ok());
    match run(directory.into(), requests.unwrap_or(400_000)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}
