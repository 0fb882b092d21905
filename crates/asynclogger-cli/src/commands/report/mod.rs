//! `asynclogger report`: one page that shows what happened to logs, made from the heads of their blocks.

mod chart;
mod columns;
mod eras;
mod escape;
mod gather;
mod model;
mod page;

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::Path,
    time::SystemTime,
};

use asynclogger::read::{LogDir, ReadOptions};

use self::model::Model;
use super::{by_time::only_named, cat::tell_log};
use crate::{
    args::ReportArgs,
    new_file::NewFile,
    outcome::{Answer, Failure},
    output::{Output, say},
    sources::{Source, for_each_source},
};

pub(crate) fn run(args: ReportArgs) -> Result<Answer, Failure> {
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout {
        check_replaceable(&args.output)?;
    }
    let mut model = Model { paths: args.input.paths.clone(), ..Model::default() };
    let options = ReadOptions::new();
    let told = for_each_source(&args.input, options, |source| {
        let mut log: LogDir = match source {
            Source::Log(log) => *log,
            Source::File(path) => only_named(options.open_log(path)?),
        };
        gather::add_log(&mut model, &mut log)?;
        Ok(tell_log(&log))
    })?;
    model.unread.left_out += told.unread;
    let page = page::page(&model, SystemTime::now());
    if to_stdout {
        let mut out = Output::open()?;
        out.write_all(page.as_bytes())?;
        out.flush()?;
    } else {
        let mut file = NewFile::beside(&args.output, 0o666)?;
        file.write_all(page.as_bytes())
            .map_err(|error| Failure::io(args.output.display(), error))?;
        check_replaceable(&args.output)?;
        file.replace()?;
        say(format_args!("{}: written", args.output.display()));
    }
    Ok(told.answer)
}

/// Refuses an output that would replace anything but an earlier page.
fn check_replaceable(path: &Path) -> Result<(), Failure> {
    let mut first = vec![0; page::BEGIN.len()];
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::io(path.display(), error)),
        // Only a regular file is opened: the opening of a pipe would wait.
        Ok(metadata) if metadata.is_file() => {
            let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
            if read.is_ok() && first == page::BEGIN.as_bytes() {
                return Ok(());
            }
        }
        Ok(_) => {}
    }
    let path = path.display();
    let what =
        format!("{path}: exists, and is no page of `asynclogger report`; it is not replaced");
    Err(Failure::Usage(what))
}
