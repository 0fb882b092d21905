//! A file of a log gets an archived name: one that is free, and never over a file.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::names::{LogName, compressed_name};
use crate::{Error, ErrorKind, io::Directory, probe::Packing};

/// Which file it is: device and inode.
type Identity = (u64, u64);

/// The second of the archived name that was given last, and its number: a thousand rotations in a second
/// each begin where the one before ended.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::write) struct LastName {
    second: u64,
    number: u32,
}

/// Renames what stands at the log's name, and has this identity, to an archived name that is free. Of a file
/// that is `ours` the space that was taken ahead is given back: nobody will write it any more.
///
/// # Errors
/// Those of the system.
pub(in crate::write) fn set_aside(
    directory: &Directory,
    name: &LogName,
    identity: Identity,
    ours: bool,
) -> Result<PathBuf, Error> {
    let to =
        rename_to_archived(directory, name, (name.file(), identity), &mut LastName::default())?;
    if ours {
        // Space that stays taken is no reason not to log.
        let _ = directory.trim_if(to.file_name().unwrap_or_default(), identity);
    }
    Ok(to)
}

/// Renames the file of the directory that has this name and identity to an archived name that is free, and
/// makes that durable.
///
/// # Errors
/// [`ErrorKind::InUse`] if another file has taken the name meanwhile: that one keeps it. Those of the system.
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
        // Looked at afterwards: whoever compresses a segment of this name has it until that is there.
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

/// Gives the file of the directory that has this name and identity an archived name that is free, beside the name
/// that it has: `None` if that cannot be done here.
///
/// # Errors
/// [`ErrorKind::InUse`] if another file has taken the name meanwhile. Those of the system.
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
        // The name was made just now, and the file has its other one.
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

/// The archived name of a file that has one beside its other names.
///
/// # Errors
/// Those of the system.
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
