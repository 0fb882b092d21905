//! `asynclogger bench`: measures the cost of a call and the throughput of the medium, and checks that every
//! record arrived.

mod calibration;
mod check;
mod load;
mod record;
mod report;

use std::{fs, io::Write, path::Path, time::Instant};

use asynclogger::{Logger, Opened, Overflow, Timestamps, read::LogDir};
use rustix::time::{ClockId, clock_gettime};

use self::{calibration::Calibration, check::Check, load::Load, record::Record, report::Report};
use crate::{
    commands::write::say_how_opened,
    outcome::{Answer, Failure},
    output::{Output, say},
    writing::{
        args::{BenchArgs, policy_name},
        reporter::Reporter,
    },
};

pub(crate) fn run(args: BenchArgs) -> Result<Answer, Failure> {
    let policy = args.logger.policy_or(match args.count {
        Some(_) => Overflow::Block,
        None => Overflow::Drop,
    });
    if args.rotation.deletes() {
        return Err(Failure::Usage(
            "bench reads all files back, so none of them can be deleted".into(),
        ));
    }
    let times = if args.timestamps { Timestamps::On } else { Timestamps::Off };
    let config = args.logger.config(args.path.clone(), policy).timestamps(times);
    let config = args.rotation.apply(config);
    if args.size > config.max_record() {
        return Err(Failure::Usage(format!(
            "a record of {} bytes does not fit: the longest with these settings has {}",
            args.size,
            config.max_record()
        )));
    }
    let length_before = file_length(&args.path);
    let reporter = Reporter::default();
    let logger = Logger::new(config.on_error(reporter.callback()))?;
    say_how_opened(&logger);
    // Records of other sessions are not from this run.
    let files = Files::from_now_on(&args.path)?;

    let record = Record::new(args.size);
    let calibration = Calibration::measure(&record);
    let ready = Load::prepare(&args, &logger, &record)?;
    let cpu_before = cpu_seconds(ClockId::ProcessCPUTime);
    let started = Instant::now();
    let load = ready.run();
    let closed = logger.close();
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds(ClockId::ProcessCPUTime) - cpu_before;

    reporter.sum_up();
    let stats = logger.stats();
    let check = Check::read_back(files.open()?, &record, &load)?;
    let is_continued = matches!(logger.opened(), Opened::Continued | Opened::Salvaged { .. });
    let old_length = if is_continued { length_before } else { 0 };
    let report = Report {
        file: logger.path(),
        load: &load,
        check: &check,
        stats: &stats,
        calibration: &calibration,
        file_bytes: files.bytes()?.saturating_sub(old_length),
        seconds,
        cpu_seconds,
        threads: args.threads,
        record_bytes: args.size,
        policy: policy_name(policy),
        durability: args.logger.durability_name(),
    };
    let mut out = Output::open()?;
    if args.json {
        report.write_json(&mut out)?
    } else {
        report.write_table(&mut out)?
    }
    out.flush()?;

    closed?;
    let counts_agree = stats.accepted == load.accepted() && stats.total_logs == load.calls();
    if !counts_agree {
        say(format_args!(
            "the logger counted {} records offered and {} accepted, the threads {} and {}",
            stats.total_logs,
            stats.accepted,
            load.calls(),
            load.accepted()
        ));
    }
    // The order of records is promised only if each thread has a shard of its own.
    let order_promised = args.threads as usize <= logger.shard_stats().len();
    let in_order = check.out_of_order == 0 || !order_promised;
    if !check.is_whole() || !in_order {
        say(format_args!(
            "the records that were read back are not those that were accepted: {check}"
        ));
    }
    Ok(Answer::fine_if(check.is_whole() && in_order && counts_agree))
}

/// The files that a run writes: the file that is active at its beginning, and the later ones.
struct Files<'a> {
    path: &'a Path,
    first: u64,
}

impl Files<'_> {
    fn from_now_on(path: &Path) -> Result<Files<'_>, Failure> {
        let log = LogDir::open(path)?;
        let first = log.segments().last().map_or(0, |segment| segment.id);
        Ok(Files { path, first })
    }

    fn open(&self) -> Result<LogDir, Failure> {
        let mut log = LogDir::open(self.path)?;
        log.retain(|segment| segment.id >= self.first);
        Ok(log)
    }

    /// The total size of the files as they were written, in bytes.
    fn bytes(&self) -> Result<u64, Failure> {
        Ok(self.open()?.segments().iter().map(|segment| segment.file_bytes).sum())
    }
}

fn file_length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// The CPU time that this thread, or all threads of this process including the logger's, have used so far.
fn cpu_seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
