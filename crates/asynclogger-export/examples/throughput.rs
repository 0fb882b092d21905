//! How fast a log becomes Parquet: `throughput MEGABYTES [LEVEL]`, run by `scripts/bench-export`.
//!
//! The records have 256 bytes each, as a request's features in protobuf have: tags, lengths, identifiers in decimal digits,
//! small numbers, and floating-point numbers whose low bits are noise.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::{error::Error, fs, path::Path, process::Command, time::Instant};

    use asynclogger::{Config, Logger, Overflow, Rotation, Timestamps, read::LogDir};
    use asynclogger_export::{Directory, Export, Format};

    const RECORD: usize = 256;

    pub(crate) fn main() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1).peekable();
        if arguments.next_if_eq("--write").is_some() {
            let (logs, records) = (arguments.next(), arguments.next());
            return write(
                Path::new(&logs.unwrap_or_default()),
                records.unwrap_or_default().parse()?,
            );
        }
        let megabytes: u64 = arguments.next().unwrap_or_else(|| "256".into()).parse()?;
        let level: i32 = arguments.next().unwrap_or_else(|| "1".into()).parse()?;
        let directory = tempfile::tempdir()?;
        let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
        fs::create_dir(&logs)?;
        let records = megabytes * 1_000_000 / RECORD as u64;
        // In another process, whose memory does not count.
        let mut writer = Command::new(std::env::current_exe()?);
        if !writer.arg("--write").arg(&logs).arg(records.to_string()).status()?.success() {
            return Err("the log could not be written".into());
        }

        // What any export needs, and no setting of Parquet makes less.
        let before = cpu_seconds()?;
        let mut read = 0;
        for mut log in LogDir::scan(&logs)?.logs {
            while let Some(block) = log.next_block()? {
                read += block.records().count() as u64;
            }
        }
        let reading = cpu_seconds()? - before;
        if read != records {
            return Err(format!("{records} records in, {read} read").into());
        }

        let (before, start) = (cpu_seconds()?, Instant::now());
        let export = Export::new(Format::Parquet, Directory::new(&lake)).level(level);
        let exported = export.run(LogDir::scan(&logs)?.logs, |_| ());
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - before);
        let found = exported.records();
        if let Some(error) = exported.error {
            return Err(error.into());
        }
        if found != records {
            return Err(format!("{records} records in, {found} rows out").into());
        }
        let payload = (records * RECORD as u64) as f64 / 1e6;
        let mut stored = 0;
        for file in &exported.files {
            stored += fs::metadata(lake.join(&file.name))?.len();
        }
        println!(
            "{records} records = {found} rows; {payload:.0} MB of payload, {:.0} MB of Parquet (zstd {level}); \
             {:.0} MB/s by the clock, {:.0} MB/s a core; reading alone {:.0} MB/s a core; peak {} MiB",
            stored as f64 / 1e6,
            payload / wall,
            payload / cpu,
            payload / reading,
            peak_kib()? >> 10,
        );
        Ok(())
    }

    /// Writes the log.
    fn write(logs: &Path, records: u64) -> Result<(), Box<dyn Error>> {
        let rotation = Rotation::new().max_size(256 << 20);
        let config = Config::new(logs.join("bench.log"))
            .buffer_size(16 << 20)
            .num_shards(4)
            .timestamps(Timestamps::On)
            .overflow(Overflow::Block)
            .rotation(rotation);
        let logger = Logger::new(config)?;
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        let mut record = Vec::with_capacity(RECORD);
        for number in 0..records {
            record.clear();
            fill(&mut record, number, &mut noise);
            logger.log_bytes(&record);
        }
        let stats = logger.close()?;
        match stats.accepted == records {
            true => Ok(()),
            false => Err("the logger dropped records".into()),
        }
    }

    fn next(noise: &mut u64) -> u64 {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        *noise
    }

    fn fill(record: &mut Vec<u8>, number: u64, noise: &mut u64) {
        // A user, a tracking identifier, the name of a model, an entity.
        let user = format!("{:010}", next(noise) % 50_000_000);
        let tracking = format!("{:016x}-{number:08x}", next(noise));
        for (tag, text) in
            [(0x0a, &*user), (0x12, &*tracking), (0x1a, "search-rank-v3"), (0x22, "product")]
        {
            record.extend_from_slice(&[tag, text.len() as u8]);
            record.extend_from_slice(text.as_bytes());
        }
        // A packed list of scores, then small counters.
        record.extend_from_slice(&[0x2a, 96]);
        for _ in 0..24 {
            let score = (next(noise) % 10_000) as f32 / 10_000.0;
            record.extend_from_slice(&score.to_bits().to_le_bytes());
        }
        let mut tag = 0x30;
        while record.len() + 2 <= RECORD {
            record.extend_from_slice(&[tag, (next(noise) % 16) as u8]);
            tag = if tag >= 0x78 { 0x30 } else { tag + 8 };
        }
        record.resize(RECORD, 0);
    }

    fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).map_or(Ok(0), |field| field.parse::<u64>());
        // Time in the process and in the kernel for it, in hundredths of a second.
        Ok((ticks(11)? + ticks(12)?) as f64 / 100.0)
    }

    fn peak_kib() -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}
