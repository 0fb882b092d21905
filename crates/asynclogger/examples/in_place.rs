//! Records that are encoded into the logger's buffer: no memory of the caller's, and no copy.
//!
//! ```text
//! cargo run --example in_place -- DIRECTORY
//! ```
//! The records are protobuf messages `message Sample { uint64 user = 1; repeated float features = 2; }`, written by hand;
//! a generated type writes itself into the same writer (`message.encode(&mut writer)` of prost needs a `BufMut`, which
//! `writer` becomes by a few lines).

use std::{error::Error, io::Write, path::PathBuf};

use asynclogger::{Config, Logger, RecordWriter, read::LogDir};

/// The longest message: the tags, a user of 10 bytes, the length of the features, 64 features.
const LONGEST: usize = 1 + 10 + 1 + 2 + 64 * 4;

fn varint(writer: &mut RecordWriter<'_>, mut value: u64) -> std::io::Result<()> {
    while value >= 0x80 {
        writer.write_all(&[value as u8 | 0x80])?;
        value >>= 7;
    }
    writer.write_all(&[value as u8])
}

fn encode(writer: &mut RecordWriter<'_>, user: u64, features: &[f32]) -> std::io::Result<()> {
    writer.write_all(&[0x08])?;
    varint(writer, user)?;
    writer.write_all(&[0x12])?;
    varint(writer, features.len() as u64 * 4)?;
    features.iter().try_for_each(|feature| writer.write_all(&feature.to_le_bytes()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = directory.join("samples.log");
    let logger = Logger::new(Config::new(&path))?;
    let features: Vec<f32> = (0..64_u8).map(f32::from).collect();
    for user in 0..1000 {
        // The record is as long as what was written. A writer is full behind `LONGEST` bytes and says so.
        logger.try_log_with(LONGEST, |writer| {
            encode(writer, user, &features).expect("no message is longer than LONGEST");
        })?;
    }
    println!("{} accepted", logger.close()?.accepted);

    let (mut log, mut records, mut bytes) = (LogDir::open(&path)?, 0, 0);
    while let Some(record) = log.next_record()? {
        (records, bytes) = (records + 1, bytes + record.bytes().len());
    }
    println!("{records} read, {bytes} bytes");
    Ok(())
}
