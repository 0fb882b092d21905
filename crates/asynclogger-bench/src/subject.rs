//! What a logger has to be able to do to be measured.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{outcome::Outcome, record::Record};

/// Where a subject writes, and whether it rotates every second.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) rotate: bool,
}

/// A logger, set up as its authors advise. Records are the same bytes for all of them.
pub(crate) trait Subject: Sized + Sync {
    const NAME: &'static str;
    /// The setting that is measured, in words.
    const SETUP: &'static str;
    /// The reason why there is no rotation every second.
    const NO_ROTATION: Option<&'static str>;
    /// A floor writes nothing.
    const FLOOR: bool = false;

    fn open(place: &Place) -> Outcome<Self>;

    fn log(&self, record: Record<'_>);

    /// Everything that is on its way is in the file, not necessarily on the medium. Returns how many records the logger
    /// says that it refused, if it counts them.
    fn end(self) -> Outcome<Option<u64>>;

    /// Each record, or line, of all files.
    fn read(directory: &Path, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        for entry in std::fs::read_dir(directory)? {
            lines(&entry?.path(), each)?;
        }
        Ok(())
    }
}

fn lines(path: &Path, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
    if !path.is_file() {
        return Ok(());
    }
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        each(&line);
        line.clear();
    }
    Ok(())
}

/// The one file of a subject that has one.
pub(crate) fn file_in(place: &Place) -> PathBuf {
    place.directory.join("peer.log")
}
