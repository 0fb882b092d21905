//! Logs of more rows than gather in memory: the same groups and the same peak, whatever the jobs and the length.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use asynclogger::{Config, Logger, Overflow};
use asynclogger_export::{Directory, Export, Exported, Format};
use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};

use super::{scan, tree};

const RECORD: usize = 64 << 10;
/// Records of a log of more than one group.
const LARGE: usize = 700;

/// Writes `logs` logs; each has `records` records of 64 KiB.
fn write_logs(directory: &Path, logs: usize, records: usize) {
    fs::create_dir(directory).unwrap();
    for log in 0..logs {
        let config = Config::new(directory.join(format!("{log}.log"))).num_shards(1);
        let config = config.buffer_size(2 << 20).overflow(Overflow::Block);
        let logger = Logger::new(config).unwrap();
        let mut record = vec![b'a'; RECORD];
        for number in 0..records {
            record[..8].copy_from_slice(&(number as u64).to_le_bytes());
            logger.log_bytes(&record);
        }
        assert_eq!(logger.close().unwrap().accepted, records as u64);
    }
}

fn export(logs: &Path, lake: &Path, jobs: usize) -> Exported {
    let export = Export::new(Format::Parquet, Directory::new(lake)).jobs(jobs);
    let exported = export.run(scan(logs), |_| ());
    assert!(exported.error.is_none(), "{:?}", exported.error);
    exported
}

#[test]
fn the_bytes_do_not_depend_on_the_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    write_logs(&logs, 4, LARGE);
    let trees = [1, 2, 8].map(|jobs| {
        let lake = directory.path().join(jobs.to_string());
        let exported = export(&logs, &lake, jobs);
        assert_eq!(exported.records(), 4 * LARGE as u64);
        tree(&lake)
    });
    let groups = |name: &String| {
        let file = fs::File::open(directory.path().join("1").join(name)).unwrap();
        SerializedFileReader::new(file).unwrap().metadata().num_row_groups()
    };
    // A log that is written over the turn of an hour has two files.
    assert!(trees[0].keys().map(groups).sum::<usize>() >= 8, "two groups in each log");
    assert!(trees[0] == trees[1] && trees[1] == trees[2]);
}

/// The peak of memory of an export in another process, in KiB.
fn peak_kib(directory: &Path, jobs: usize) -> u64 {
    let name = "memory::the_peak_depends_neither_on_the_length_nor_on_many_jobs";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact"]).env(PLACE, directory).env(JOBS, jobs.to_string());
    assert!(child.stdout(Stdio::null()).status().unwrap().success());
    fs::read_to_string(directory.join("peak")).unwrap().parse().unwrap()
}

const PLACE: &str = "ASYNCLOGGER_EXPORT_PLACE";
const JOBS: &str = "ASYNCLOGGER_EXPORT_JOBS";

#[test]
fn the_peak_depends_neither_on_the_length_nor_on_many_jobs() {
    if let Ok(directory) = std::env::var(PLACE) {
        let directory = Path::new(&directory);
        let jobs = std::env::var(JOBS).unwrap().parse().unwrap();
        let _ = export(&directory.join("logs"), &directory.join("lake"), jobs);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        fs::write(directory.join("peak"), peak.trim().trim_end_matches(" kB")).unwrap();
        return;
    }
    let peak = |logs, records, jobs| {
        let directory = tempfile::tempdir().unwrap();
        write_logs(&directory.path().join("logs"), logs, records);
        peak_kib(directory.path(), jobs)
    };
    let one = peak(1, LARGE, 1);
    let long = peak(1, 5 * LARGE, 1);
    assert!(long < one * 3 / 2, "{one} KiB, and {long} KiB for five times as many records");
    let many = peak(8, LARGE, 8);
    assert!(many < one * 7 / 2, "{one} KiB for one log, {many} KiB for 8 of them at a time");
}
