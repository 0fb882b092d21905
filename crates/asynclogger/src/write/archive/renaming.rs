//! A file of a log gets an archived name: one that is free, and never over a file.

use std::{
    ffi::OsStr,
    io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::names::{LogName, compressed_name};
use crate::{Error, io::Directory};

/// The second of the archived name that was given last, and its number: a thousand rotations in a second
/// each begin where the one before ended.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::write) struct LastName {
    second: u64,
    number: u32,
}

/// Renames the active file to an archived name that is free.
///
/// # Errors
/// Those of the system.
pub(in crate::write) fn set_aside(directory: &Directory, name: &LogName) -> Result<PathBuf, Error> {
    rename_to_archived(directory, name, name.file(), &mut LastName::default())
}

/// Renames a file of the directory to an archived name that is free, and makes that durable.
///
/// # Errors
/// Those of the system.
pub(in crate::write) fn rename_to_archived(
    directory: &Directory,
    name: &LogName,
    file: &OsStr,
    last: &mut LastName,
) -> Result<PathBuf, Error> {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let first = if last.second == second { last.number.saturating_add(1) } else { 0 };
    let mut from = file.to_owned();
    for number in first..u32::MAX {
        let archived = name.archived(now, number);
        if !directory.rename_to_new(&from, &archived)? {
            continue;
        }
        // Looked at afterwards: whoever compresses a segment of this name has it until that is there.
        if directory.look_at(&compressed_name(&archived))?.is_some() {
            from = archived;
            continue;
        }
        *last = LastName { second, number };
        directory.sync()?;
        return Ok(directory.path().join(archived));
    }
    let every = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(Error::io("cannot find a free archived name", every).at_path(&directory.path().join(file)))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// Of an earlier session of the same second, which has compressed its segment.
    #[test]
    fn an_archived_name_is_taken_if_its_compressed_form_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let name = LogName::of(&path).expect("a name");
        let seconds = (0..30).map(|second| SystemTime::now() + Duration::from_secs(second));
        for time in seconds {
            for number in 0..3 {
                let taken = compressed_name(&name.archived(time, number));
                fs::write(directory.path().join(taken), b"a segment").expect("written");
            }
        }
        fs::write(&path, b"a file").expect("written");
        let opened = Directory::open_or_create(directory.path()).expect("the directory");
        let archived = set_aside(&opened, &name).expect("renamed");
        assert!(archived.to_string_lossy().ends_with(".3.log"), "{archived:?}");
        assert_eq!(fs::read(&archived).expect("the file"), b"a file");
        assert!(!path.exists());
    }
}
