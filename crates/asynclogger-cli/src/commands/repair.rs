//! `asynclogger repair`: a damaged file becomes a whole one, under another name.

use std::{fs, io::Write};

use asynclogger::read::{Repaired, Report, SessionState, repair, verify};
use serde::Serialize;

use crate::{
    args::RepairArgs,
    figures::LossJson,
    new_file::{NewFile, exists},
    outcome::{Answer, Failure},
    output::{Output, say},
    report::{FileJson, write_text},
    show::plain,
    units::{show_bytes, show_number_of},
};

pub(crate) fn run(args: RepairArgs) -> Result<Answer, Failure> {
    if args.path.is_dir() {
        let path = args.path.display();
        return Err(Failure::Usage(format!("{path}: a directory; repair takes one file")));
    }
    if fs::symlink_metadata(&args.output).is_ok() {
        return Err(exists(&args.output));
    }
    let metadata = fs::metadata(&args.path).map_err(|error| {
        Failure::io(format_args!("{}: cannot be opened", args.path.display()), error)
    })?;
    let mut file = NewFile::nameless(&args.output, 0o600)?;
    let repaired = repair(&args.path, &mut file)?;
    file.flush().map_err(|error| Failure::io(args.output.display(), error))?;
    // The new file is read before it gets its name.
    let new = verify(file.readable())?;
    if new.records != repaired.source.records {
        let (found, expected) = (new.records, repaired.source.records);
        let path = args.output.display();
        return Err(Failure::Io(format!(
            "{path}: not kept: {found} of {expected} records can be read back"
        )));
    }
    file.keep(&metadata)?;
    tell(&args, &repaired, &new)
}

#[derive(Serialize)]
struct RepairJson<'a> {
    source: FileJson,
    output: &'a str,
    copied: bool,
    records: u64,
    bytes: u64,
    whole: bool,
}

fn tell(args: &RepairArgs, repaired: &Repaired, new: &Report) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    let (source, output) = (&repaired.source, args.output.display().to_string());
    if args.json {
        let object = RepairJson {
            source: source.into(),
            output: &output,
            copied: repaired.is_copy,
            records: new.records,
            bytes: repaired.bytes,
            whole: new.is_whole(),
        };
        serde_json::to_writer(&mut out, &object)?;
        out.write_all(b"\n")?;
    } else {
        write_text(&mut out, source)?;
        let records = show_number_of(new.records, "record");
        let how = match (repaired.is_copy, source.lost.is_none()) {
            (true, _) => format!("nothing is damaged; copied with {records}"),
            (false, true) => format!("repaired: all {records}, nothing is lost"),
            (false, false) => {
                format!("repaired: {records}, {} lost", LossJson::from(source.lost))
            }
        };
        writeln!(out, "{}: {how}, {}", plain(&output), show_bytes(repaired.bytes))?;
    }
    out.flush()?;
    if source.sessions.last().is_some_and(|last| last.state == SessionState::Live) {
        let path = args.path.display();
        say(format_args!("{path}: is being written; what came meanwhile is not in {output}"));
    }
    if !new.is_whole() {
        say(format_args!(
            "{output}: the numbers of the records contradict each other (verify says where)"
        ));
    }
    Ok(Answer::fine_if(source.lost.is_none() && new.is_whole()))
}
