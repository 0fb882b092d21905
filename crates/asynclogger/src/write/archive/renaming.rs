//! Gives a file of a log a free archived name, and never replaces a file.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::names::{LogName, compressed_name};
use crate::{Error, ErrorKind, io::Directory, probe::Packing};

/// The identity of a file: device and inode.
type Identity = (u64, u64);

/// The second and the number of the archived name that was given last. So each of a thousand rotations in one second
/// continues the search for a number where the last one ended.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::write) struct LastName {
    second: u64,
    number: u32,
}

/// Renames the file at the log's name, if it has this identity, to a free archived name. If the file is `ours`, its
/// reserved space is given back: nobody will write the file any more.
///
/// # Errors
/// The system's errors.
pub(in crate::write) fn set_aside(
    directory: &Directory,
    name: &LogName,
    identity: Identity,
    ours: bool,
) -> Result<PathBuf, Error> {
    let to =
        rename_to_archived(directory, name, (name.file(), identity), &mut LastName::default())?;
    if ours {
        // Ignored: logging matters more than reserved space.
        let _ = directory.trim_if(to.file_name().unwrap_or_default(), identity);
    }
    Ok(to)
}

/// Renames the file with this name and identity to a free archived name, and makes the new name durable.
///
/// # Errors
/// [`ErrorKind::InUse`] if another file has taken the name meanwhile; that file keeps the name. The system's errors.
pub(in crate::write) fn rename_to_archived(
    directory: &Directory,
    name: &LogName,
    (file, identity): (&OsStr, Identity),
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
        if directory.identity_of(&archived)? != Some(identity) {
            directory.rename_to_new(&archived, file)?;
            let what = "another file took this name while it was to be renamed";
            return Err(Error::new(ErrorKind::InUse, what).at_path(&directory.path().join(file)));
        }
        // The check comes after the rename: a compression of a segment of this name holds the plain name until its
        // compressed form exists.
        if directory.identity_of(&compressed_name(&archived))?.is_some() {
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

/// Gives the file with this name and identity a free archived name beside its own. `None`: the file system cannot link
/// the file.
///
/// # Errors
/// [`ErrorKind::InUse`] if another file has taken the name meanwhile; the system's errors.
pub(in crate::write) fn link_to_archived(
    directory: &Directory,
    name: &LogName,
    (file, identity): (&OsStr, Identity),
    last: &mut LastName,
) -> Result<Option<OsString>, Error> {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let first = if last.second == second { last.number.saturating_add(1) } else { 0 };
    for number in first..u32::MAX {
        let archived = name.archived(now, number);
        match directory.link_to_new(file, &archived)? {
            None => return Ok(None),
            Some(false) => continue,
            Some(true) => {}
        }
        let linked = directory.identity_of(&archived)?;
        if linked == Some(identity) && directory.identity_of(&compressed_name(&archived))?.is_none()
        {
            *last = LastName { second, number };
            return Ok(Some(archived));
        }
        // The link was made just now, and the file keeps its other name.
        if let Some(linked) = linked {
            directory.remove_if(&archived, linked)?;
        }
        if linked != Some(identity) {
            let what = "another file took this name while it was to be linked";
            return Err(Error::new(ErrorKind::InUse, what).at_path(&directory.path().join(file)));
        }
    }
    Ok(None)
}

/// The archived name of a file with several names; `None` if it has none.
///
/// # Errors
/// The system's errors.
pub(in crate::write) fn archived_link(
    directory: &Directory,
    name: &LogName,
    identity: Identity,
) -> Result<Option<OsString>, Error> {
    for archived in directory.names(|other| name.packing_of(other) == Some(Packing::Plain))? {
        if directory.identity_of(&archived)? == Some(identity) {
            return Ok(Some(archived));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// An earlier session of the same second has compressed its segment.
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
        let identity = opened.identity_of(name.file()).expect("looked at").expect("a file");
        let archived = set_aside(&opened, &name, identity, true).expect("renamed");
        assert!(archived.to_string_lossy().ends_with(".3.log"), "{archived:?}");
        assert_eq!(fs::read(&archived).expect("the file"), b"a file");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_took_the_name_meanwhile_keeps_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let name = LogName::of(&path).expect("a name");
        let opened = Directory::open_or_create(directory.path()).expect("the directory");
        fs::write(&path, b"looked at").expect("written");
        let identity = opened.identity_of(name.file()).expect("looked at").expect("a file");
        fs::rename(&path, directory.path().join("moved")).expect("moved");
        fs::write(&path, b"another").expect("written");
        let error = set_aside(&opened, &name, identity, true).expect_err("another file");
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert_eq!(fs::read(&path).expect("the file"), b"another");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 2);
    }
}
