//! The report of a bench: a table for people, a JSON object for programs.

use std::{
    io::{self, Write},
    path::Path,
};

use asynclogger::{IoMode, Stats};
use serde::Serialize;

use super::{
    calibration::Calibration,
    check::Check,
    load::{Latencies, Load},
};
use crate::{
    outcome::Failure,
    report::show_dropped,
    show::plain,
    units::{show_bytes, show_count, show_number_of},
};

/// All results of the measurement.
pub(super) struct Report<'a> {
    pub(super) file: &'a Path,
    pub(super) load: &'a Load,
    pub(super) check: &'a Check,
    pub(super) stats: &'a Stats,
    pub(super) calibration: &'a Calibration,
    pub(super) file_bytes: u64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: u32,
    pub(super) record_bytes: usize,
    pub(super) policy: String,
    pub(super) durability: &'static str,
}

/// The keys are a promise to scripts.
#[derive(Serialize)]
struct Json<'a> {
    total: u64,
    accepted: u64,
    dropped: u64,
    lost: u64,
    payload_bytes: u64,
    file_bytes: u64,
    seconds: f64,
    mb_per_s: f64,
    ns_per_call: f64,
    cpu_seconds: f64,
    latency_ns: LatencyNs,
    swaps: u64,
    threads: u32,
    record_bytes: usize,
    policy: &'a str,
    durability: &'a str,
    engine: String,
    direct: bool,
    harness_cpu_seconds: f64,
}

#[derive(Serialize)]
struct LatencyNs {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    p9999: u64,
    max: u64,
    empty_call: u64,
}

impl LatencyNs {
    fn of(latencies: &Latencies, calibration: &Calibration) -> LatencyNs {
        LatencyNs {
            p50: latencies.value_at_quantile(0.5),
            p90: latencies.value_at_quantile(0.9),
            p99: latencies.value_at_quantile(0.99),
            p999: latencies.value_at_quantile(0.999),
            p9999: latencies.value_at_quantile(0.9999),
            max: latencies.max(),
            empty_call: calibration.empty_call,
        }
    }
}

impl Report<'_> {
    fn payload_bytes(&self) -> u64 {
        self.load.accepted() * self.record_bytes as u64
    }

    fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.seconds.max(1e-9)
    }

    /// The calibrated part of `cpu_seconds` that is not the logger's, without the waiting of a paced load for
    /// its next turn.
    fn harness_cpu_seconds(&self) -> f64 {
        self.load.calls() as f64 * self.calibration.harness_call
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<(), Failure> {
        let json = Json {
            total: self.load.calls(),
            accepted: self.load.accepted(),
            dropped: self.load.calls() - self.load.accepted(),
            lost: self.check.lost,
            payload_bytes: self.payload_bytes(),
            file_bytes: self.file_bytes,
            seconds: self.seconds,
            mb_per_s: self.per_second(self.payload_bytes()) / 1e6,
            ns_per_call: self.load.latencies.mean(),
            cpu_seconds: self.cpu_seconds,
            latency_ns: LatencyNs::of(&self.load.latencies, self.calibration),
            swaps: self.stats.set_swaps,
            threads: self.threads,
            record_bytes: self.record_bytes,
            policy: &self.policy,
            durability: self.durability,
            engine: self.stats.engine.to_string(),
            direct: self.stats.io_mode == IoMode::Direct,
            harness_cpu_seconds: self.harness_cpu_seconds(),
        };
        serde_json::to_writer(&mut *out, &json)?;
        Ok(out.write_all(b"\n")?)
    }

    pub(super) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let Report { stats, check, .. } = self;
        let calls = self.load.calls();
        writeln!(out, "{}", plain(&self.file.display().to_string()))?;
        writeln!(
            out,
            "  {}, records of {} bytes, policy {}, durability {}, {}, {}",
            show_number_of(u64::from(self.threads), "thread"),
            self.record_bytes,
            self.policy,
            self.durability,
            stats.engine,
            stats.io_mode
        )?;
        let accepted = self.load.accepted();
        writeln!(
            out,
            "records     {} offered, {} accepted",
            show_count(calls),
            show_count(accepted)
        )?;
        writeln!(out, "dropped     {}", show_dropped(&stats.dropped))?;
        writeln!(
            out,
            "throughput  {:.1} MB/s, {} records/s, drain to the medium included",
            self.per_second(self.payload_bytes()) / 1e6,
            show_count(self.per_second(accepted) as u64)
        )?;
        writeln!(
            out,
            "payload     {}; file {}, {:.2} % more",
            show_bytes(self.payload_bytes()),
            show_bytes(self.file_bytes),
            percent_more(self.file_bytes, self.payload_bytes())
        )?;
        writeln!(
            out,
            "time        {:.3} s, {:.3} s of CPU, {} swaps",
            self.seconds,
            self.cpu_seconds,
            show_count(stats.set_swaps)
        )?;
        if accepted > 0 {
            let of_a_gb = |seconds: f64| seconds / (self.payload_bytes() as f64 / 1e9);
            writeln!(
                out,
                "CPU         {:.3} s/GB in all, {:.3} s/GB without the harness (calibrated)",
                of_a_gb(self.cpu_seconds),
                of_a_gb((self.cpu_seconds - self.harness_cpu_seconds()).max(0.0))
            )?;
        }
        self.write_latencies(out)?;
        writeln!(out, "read back   {check}")?;
        writeln!(out, "lost {}", check.lost)
    }

    fn write_latencies(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = ["p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"];
        write!(out, "latency")?;
        for (at, column) in columns.iter().enumerate() {
            // The first column begins where the text of the other lines begins.
            write!(out, "{column:>width$}", width = if at == 0 { 10 } else { 12 })?;
        }
        let ns = LatencyNs::of(&self.load.latencies, self.calibration);
        write!(out, "   ns, {} calls\n       ", show_count(self.load.calls()))?;
        for (at, value) in [ns.p50, ns.p90, ns.p99, ns.p999, ns.p9999, ns.max].iter().enumerate() {
            write!(out, "{:>width$}", show_count(*value), width = if at == 0 { 10 } else { 12 })?;
        }
        writeln!(out, "{:>12.1}", self.load.latencies.mean())?;
        writeln!(
            out,
            "empty call  p50 {} ns: the two clock reads in each of these figures",
            ns.empty_call
        )
    }
}

fn percent_more(whole: u64, part: u64) -> f64 {
    if part == 0 { 0.0 } else { (whole as f64 / part as f64 - 1.0) * 100.0 }
}
