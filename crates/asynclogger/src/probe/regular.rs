//! Opens a path that can name anything: only a regular file is opened, and no opening waits for another
//! process.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{Error, ErrorKind};

/// An open file, with its length and identity at the time of opening.
#[derive(Debug)]
pub(super) struct Regular {
    pub(super) file: File,
    pub(super) len: u64,
    pub(super) identity: Option<Identity>,
}

/// Device and inode. Two names with the same identity are one file.
pub(crate) type Identity = (u64, u64);

/// The longest time that a name can be missing while its log is rotated: the writer syncs the directory in
/// between.
const ROTATION_TAKES: Duration = Duration::from_secs(2);
/// The time between two looks for the name.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Opens a regular file. If the name is missing and its log is being rotated, looks for the name again.
pub(super) fn open(path: &Path) -> Result<Regular, Error> {
    let begin = Instant::now();
    loop {
        match open_now(path) {
            Err(error) if is_gone(&error) && begin.elapsed() < ROTATION_TAKES => {
                if !is_being_rotated(path) {
                    // The rotation may have ended between the two looks.
                    return open_now(path);
                }
                thread::sleep(LOOK_EVERY);
            }
            opened => return opened,
        }
    }
}

/// Opens the file as it is now, unless the file is a lock. The type is checked before, because opening a device can have
/// effects and opening a FIFO waits for its writer. If another object takes the place of the file after the check, it is
/// opened without waiting and then refused.
pub(super) fn open_now(path: &Path) -> Result<Regular, Error> {
    let cannot_open = |error| Error::io("cannot open", error).at_path(path);
    if path.file_name().is_some_and(|name| is_lock_name(name.as_encoded_bytes())) {
        return Err(Error::new(ErrorKind::NotALog, "a lock, and not a log").at_path(path));
    }
    let metadata = fs::metadata(path).map_err(cannot_open)?;
    if !metadata.is_file() {
        return Err(not_a_file(path));
    }
    let locked = || Error::new(ErrorKind::NotALog, "a lock of this process, and not a log");
    if is_locked_here(&metadata) {
        return Err(locked().at_path(path));
    }
    let file = open_without_waiting(path).and_then(unless_locked_here).map_err(cannot_open)?;
    Regular::of(file.ok_or_else(|| locked().at_path(path))?, path)
}

impl Regular {
    pub(super) fn of(file: File, path: &Path) -> Result<Regular, Error> {
        let cannot_stat = |error| Error::io("cannot stat", error).at_path(path);
        let metadata = file.metadata().map_err(cannot_stat)?;
        if !metadata.is_file() {
            return Err(not_a_file(path));
        }
        Ok(Regular { file, len: metadata.len(), identity: identity_of(&metadata) })
    }
}

fn not_a_file(path: &Path) -> Error {
    Error::new(ErrorKind::NotAFile, "not a regular file").at_path(path)
}

/// Whether the error means that the file does not exist, which differs from a forbidden file or one of
/// another type.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether this is a name under which the next segment of a log is prepared. The file is not a segment until
/// it has the log's name.
pub(crate) fn is_prepared_name(name: &[u8]) -> bool {
    name.starts_with(b".") && name.ends_with(b".next")
}

/// Whether this is the name of a file that a logger, or a manager, has locked for as long as it lives. Such a file is
/// never opened for reading: if this process has the lock, closing the file would give up the lock. (Files beside logs,
/// and the memory of [`Config::crash_safe`](crate::Config::crash_safe).)
pub(crate) fn is_lock_name(name: &[u8]) -> bool {
    let is_log_lock = name.starts_with(b".") && name.ends_with(b".lock");
    is_log_lock || name == b".asynclogger-events" || name.ends_with(b".asynclogger-map")
}

/// Whether this is the name of a log's file, plain or compressed. Readers report such a file whatever it holds.
pub(crate) fn has_log_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".log") || name.ends_with(b".log.zst")
}

/// Whether the log at `path` is being rotated: a rotation gives the active file an archived name, and gives
/// the active name to the next file, which is prepared under another one.
fn is_being_rotated(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let base = match path.extension() {
        Some(extension) if extension == "log" => path.file_stem().unwrap_or(name),
        _ => name,
    };
    let mut prepared = std::ffi::OsString::from(".");
    prepared.push(base);
    prepared.push(".next");
    fs::symlink_metadata(path.with_file_name(prepared)).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(target_os = "linux")]
fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_without_waiting(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// Whether a close of the file would give up a lock of this process.
#[cfg(target_os = "linux")]
fn is_locked_here(metadata: &Metadata) -> bool {
    identity_of(metadata).is_some_and(crate::locks::Locked::has)
}

#[cfg(not(target_os = "linux"))]
fn is_locked_here(_metadata: &Metadata) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn unless_locked_here(file: File) -> io::Result<Option<File>> {
    Ok(crate::locks::Locked::unless_locked(file)?)
}

#[cfg(not(target_os = "linux"))]
fn unless_locked_here(file: File) -> io::Result<Option<File>> {
    Ok(Some(file))
}

#[cfg(unix)]
fn identity_of(metadata: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity_of(_metadata: &Metadata) -> Option<Identity> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_that_is_missing_during_a_rotation_is_looked_for_again() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (active, prepared) = (dir.path().join("app.log"), dir.path().join(".app.next"));
        fs::write(&prepared, b"next")?;
        let rename = thread::scope(|scope| {
            let renamer = scope.spawn(|| {
                thread::sleep(20 * LOOK_EVERY);
                fs::rename(&prepared, &active)
            });
            assert_eq!(open(&active).expect("found").len, 4);
            renamer.join()
        });
        rename.expect("no panic")?;
        fs::remove_file(&active)?;
        let begin = Instant::now();
        assert!(is_gone(&open(&active).expect_err("gone")));
        assert!(begin.elapsed() < ROTATION_TAKES, "nothing is rotated");
        Ok(())
    }
}
