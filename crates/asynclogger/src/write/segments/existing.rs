//! Inspects the file at a name that a log is about to take, and decides whether the log may use the file.
//!
//! Nothing is overwritten, truncated or removed here: a file is continued or renamed.

use std::ffi::OsStr;

use crate::{
    Error, ErrorKind,
    format::Lineage,
    io::{Directory, Irregular},
    locks::Locked,
    probe::{Origin, Packing, Source},
    write::archive::open_segment,
};

/// The file at the path of a log.
#[derive(Debug, PartialEq)]
pub(super) enum Existing {
    Nothing,
    /// A regular file without a byte.
    Empty {
        identity: (u64, u64),
    },
    /// A segment of this log that was closed: it can be continued at its end.
    Clean {
        /// Device and inode.
        identity: (u64, u64),
        lineage: Lineage,
        previous: u64,
        align: usize,
        size: u64,
        /// Wall time of the segment's start.
        started: i64,
        /// Wall time of the segment's first record, if it has one.
        filled_since: Option<i64>,
    },
    /// Any other regular file, which is to be set aside.
    Other {
        identity: (u64, u64),
        /// `None`: the file is no segment of this log.
        lineage: Option<Lineage>,
        reason: String,
    },
}

/// Inspects a name of the log with this full name. Changes nothing, and follows no link. A file whose start carries
/// another full name belongs to another log, whatever the file's name: that log is not continued, and its id is not
/// taken over.
///
/// # Errors
/// [`ErrorKind::NotAFile`] for a file that can be neither continued nor set aside; the system's errors.
pub(super) fn inspect(
    directory: &Directory,
    name: &OsStr,
    full_name: &[u8],
) -> Result<Existing, Error> {
    let Some((mut source, state)) = open_segment(directory, name, Packing::Plain)? else {
        refuse_irregular(directory, name)?;
        // Somebody gave this name to a lock file, too.
        let locked = directory.look_at(name)?.filter(|state| Locked::has(state.identity));
        return Ok(match locked.map(|state| state.identity) {
            Some(identity) => Existing::Other {
                identity,
                lineage: None,
                reason: "this process has locked it".into(),
            },
            None => Existing::Nothing,
        });
    };
    let identity = state.identity;
    if state.len == 0 {
        return Ok(Existing::Empty { identity });
    }
    let other = |reason| Ok(Existing::Other { identity, lineage: None, reason });
    let origin = match Origin::read(&mut source)? {
        Ok(origin) => origin,
        Err(reason) => return other(reason),
    };
    if origin.name != full_name {
        let name = String::from_utf8_lossy(&origin.name);
        return other(format!("it is of another log, {name:?}"));
    }
    let lineage = origin.lineage();
    Ok(match why_not_continued(&mut source, &origin)? {
        Some(reason) => Existing::Other { identity, lineage: Some(lineage), reason },
        None => Existing::Clean {
            identity,
            lineage,
            previous: origin.previous,
            align: origin.prefix.align as usize,
            size: state.len,
            started: origin.prefix.time,
            filled_since: origin.filled_since(&mut source)?,
        },
    })
}

fn why_not_continued(source: &mut Source, origin: &Origin) -> Result<Option<String>, Error> {
    let (size, align) = (source.len(), u64::from(origin.prefix.align));
    if size < align || !size.is_multiple_of(align) {
        return Ok(Some(format!("its size, {size}, is not a multiple of {align}")));
    }
    Ok(origin.end(source)?.is_none().then(|| "it was not closed".into()))
}

/// # Errors
/// [`ErrorKind::NotAFile`] if a file that is not regular has this name; the system's errors.
pub(super) fn refuse_irregular(directory: &Directory, name: &OsStr) -> Result<(), Error> {
    let what = match directory.irregular(name)? {
        None => return Ok(()),
        Some(Irregular::Directory) => "this is a directory; a log needs a path of its own in it",
        Some(Irregular::Link) => "this is a symbolic link; logs are not written through links",
        Some(Irregular::Other) => "this is a device, pipe or socket; a log needs a regular file",
    };
    Err(Error::new(ErrorKind::NotAFile, what).at_path(&directory.path().join(name)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::FileExt,
        path::Path,
    };

    use super::*;
    use crate::{
        Config, Logger,
        format::{Kind, LogId, Prefix, Start, Totals},
        write::common::wall_clock,
    };

    /// The number of bytes in which the first record of a file is searched.
    const MAX_WALK: usize = 16 << 20;

    fn look(path: &Path) -> Result<Existing, Error> {
        let directory = Directory::open_or_create(path.parent().expect("a directory"))?;
        inspect(&directory, path.file_name().expect("a name"), b"app")
    }

    /// The time since which the file holds records, after sessions that log and drop records as given.
    fn since_after(path: &Path, runs: &[(u64, bool)]) -> Option<i64> {
        for &(records, drops) in runs {
            let config = Config::new(path).buffer_size(128 << 10).num_shards(2);
            let logger = Logger::new(config).expect("a logger");
            for _ in 0..records {
                logger.log_bytes(b"a record");
            }
            if drops {
                logger.log_bytes(b"");
                logger.flush().expect("a note");
            }
            logger.close().expect("closed");
        }
        match look(path).expect("a file") {
            Existing::Clean { filled_since, started, .. } => {
                assert!(filled_since.is_none_or(|since| since > started));
                filled_since
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_filled_since_its_first_block() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        // Sessions of a start, a note and an end, and one without the note.
        assert_eq!(since_after(&path, &[(0, true), (0, false), (0, true)]), None);
        let before = wall_clock();
        let since = since_after(&path, &[(2, true)]).expect("it has records");
        assert!((before..=wall_clock()).contains(&since));
        assert_eq!(since_after(&path, &[(0, false), (1, false)]), Some(since));
        // An unreadable block can hold records: the time is then that of the session, which is known.
        let file = File::options().write(true).open(&path).expect("the file");
        file.write_all_at(&[0xff], 9 * 4096 + 200).expect("damaged");
        let session = since_after(&path, &[]).expect("it has something");
        assert!((before..since).contains(&session));
    }

    #[test]
    fn the_first_block_is_not_looked_for_without_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let start = Prefix {
            align: 4096,
            offset: 0,
            log_id: LogId([1; 16]),
            segment: 1,
            session: 2,
            time: 3,
        };
        let mut bytes = vec![0; MAX_WALK + 4096];
        for (part, offset) in bytes.chunks_mut(4096).zip((0..).step_by(4096)) {
            Totals::default().encode(Kind::End, &Prefix { offset, ..start }, part);
        }
        Start { previous: 0, first_sequence: 0, name: b"app" }.encode(&start, &mut bytes[..4096]);
        for (len, expected) in [(MAX_WALK, None), (bytes.len(), Some(start.time))] {
            fs::write(&path, &bytes[..len]).expect("a file");
            match look(&path).expect("a file") {
                Existing::Clean { filled_since, .. } => assert_eq!(filled_since, expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
