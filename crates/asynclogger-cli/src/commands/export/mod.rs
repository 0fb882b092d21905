//! `asynclogger export`: logs become files for engines.

#[cfg(feature = "remote")]
mod bucket;

use std::{
    io::{BufWriter, IsTerminal},
    path::{Path, PathBuf},
    thread,
};

use asynclogger::read::{LogDir, LogReport, ReadOptions};
use asynclogger_export::{
    Decode, Directory, Error, ErrorKind, Export, Exported, Format, MessageType, Partition, Progress,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    args::{ExportArgs, ExportFormat, PartitionArg},
    outcome::{Answer, Failure},
    output::say,
    remote,
    report::{say_damage, say_missing, say_unread},
    sources::{Source, for_each_source},
    system,
    units::show_number_of,
};

pub(crate) fn run(args: ExportArgs) -> Result<Answer, Failure> {
    let export = export_of(&args)?;
    let mut options = ReadOptions::new();
    options = args.since.map_or(options, |time| options.since(time));
    options = args.until.map_or(options, |time| options.until(time));
    let (mut logs, mut files) = (Vec::new(), Vec::new());
    let told = for_each_source(&args.input, options, |source| {
        match source {
            Source::Log(log) => logs.push(*log),
            Source::File(path) => add_file(&mut files, options.open_log(&path)?, &path),
        }
        Ok(Answer::Fine)
    })?;
    logs.extend(files.into_iter().map(|file| file.log));
    let bar = bar();
    let exported = export.run(logs, |progress| show(&bar, progress));
    bar.finish_and_clear();
    tell(exported).map(|answer| told.answer.and(answer))
}

/// The files of one log that were named.
struct Named {
    directory: PathBuf,
    log: LogDir,
    /// Their numbers; none for a file of the original.
    segments: Vec<u64>,
}

/// Adds a file to the others of its log: only a log that is read in order delivers a block of two segments once.
fn add_file(files: &mut Vec<Named>, mut log: LogDir, path: &Path) {
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut segments: Vec<u64> = log.named().into_iter().collect();
    if log.log_id().is_none() {
        return files.push(Named { directory, log, segments });
    }
    let known = files
        .iter()
        .position(|file| file.log.log_id() == log.log_id() && file.directory == directory);
    if let Some(known) = known {
        segments.extend(files.swap_remove(known).segments);
    }
    log.retain(|segment| segments.contains(&segment.id));
    files.push(Named { directory, log, segments });
}

fn export_of(args: &ExportArgs) -> Result<Export, Failure> {
    let format = match args.to {
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Arrow => Format::Arrow,
        ExportFormat::Jsonl => Format::JsonLines,
    };
    let decode = decode_of(&args.decode)?;
    let export = if args.output.as_os_str() != "-" {
        let has = |part| args.partition.contains(&part);
        if has(PartitionArg::None) && args.partition.len() > 1 {
            return Err(Failure::Usage("--partition none stands alone".into()));
        }
        let partition = Partition::none()
            .event(has(PartitionArg::Event))
            .date(has(PartitionArg::Date))
            .hour(has(PartitionArg::Hour));
        let export = match remote::url_of(&args.output) {
            Some(url) => export_to_url(format, url)?,
            None => Export::new(format, Directory::new(&args.output)),
        };
        export.partition(partition)
    } else if args.to == ExportFormat::Parquet {
        return Err(Failure::Usage("Parquet needs a directory for --output".into()));
    } else {
        Export::stream(format, BufWriter::with_capacity(256 << 10, system::stdout()?))
    };
    let processors = thread::available_parallelism().map_or(1, |count| count.get().min(2));
    let export = export.decode(decode).keep_payload(args.keep_payload).level(args.level);
    let export = export.jobs(args.jobs.unwrap_or(processors));
    Ok(match &args.host {
        Some(host) => export.host(host),
        None => export,
    })
}

fn decode_of(how: &str) -> Result<Decode, Failure> {
    Ok(match how {
        "raw" => Decode::Raw,
        "utf8" => Decode::Utf8,
        "json" => Decode::Json,
        _ => {
            let parts = how.strip_prefix("proto:").and_then(|how| how.rsplit_once('#'));
            let Some((file, message)) = parts else {
                let text = "--decode is raw, utf8, json, or proto:FILE#pkg.Message";
                return Err(Failure::Usage(text.into()));
            };
            let message = MessageType::open(file, message);
            Decode::Proto(message.map_err(|error| Failure::Usage(error.to_string()))?)
        }
    })
}

#[cfg(feature = "remote")]
fn export_to_url(format: Format, url: &str) -> Result<Export, Failure> {
    match asynclogger_store::Store::open(url) {
        Ok(store) => Ok(Export::new(format, bucket::Bucket(store))),
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

#[cfg(not(feature = "remote"))]
fn export_to_url(_: Format, url: &str) -> Result<Export, Failure> {
    Err(Failure::Usage(format!("{url}: this build of asynclogger lacks the feature `remote`")))
}

fn tell(exported: Exported) -> Result<Answer, Failure> {
    let told = exported.reports.iter().map(tell_log).fold(Answer::Fine, Answer::and);
    let mut answer = told;
    for error in &exported.unread {
        say(format_args!("{error:#}"));
        answer = answer.and(Answer::Unread);
    }
    if exported.undecoded > 0 {
        let records = show_number_of(exported.undecoded, "record");
        say(format_args!("{records} could not be decoded, and kept the payload"));
        answer = answer.and(Answer::No);
    }
    if let Some(error) = exported.error {
        return Err(failure(&error));
    }
    let records = show_number_of(exported.records(), "record");
    say(format_args!("{records} in {}", show_number_of(exported.files.len() as u64, "file")));
    Ok(answer)
}

/// Reports what is wrong with a log that was read.
fn tell_log(report: &LogReport) -> Answer {
    report.segments.iter().for_each(say_damage);
    say_missing(report);
    say_unread(report).and(Answer::fine_if(report.is_whole()))
}

fn failure(error: &Error) -> Failure {
    match error.kind() {
        _ if error.is_broken_pipe() => Failure::BrokenPipe,
        ErrorKind::Settings | ErrorKind::Exists => Failure::Usage(error.to_string()),
        _ => Failure::Io(error.to_string()),
    }
}

/// A line of progress; invisible if standard error is not a terminal.
fn bar() -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {msg} records, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    if !bar.is_hidden() {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes.min(progress.total_bytes));
        bar.set_message(progress.records.to_string());
    }
}
