//! Whether the writer of a session without an end still lives.

use super::report::{Report, SessionState};
use crate::probe::Source;

/// The state of the session `session`, which is the last one of a file that was read to its end, and has no end there.
/// `is_alone`: the file is not read as a part of its log.
#[cfg(not(target_os = "linux"))]
pub(super) fn state_of(_: &Source, _: &Report, _: u64, _is_alone: bool) -> SessionState {
    SessionState::Open
}

#[cfg(target_os = "linux")]
pub(super) use self::linux::state_of;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        ffi::OsStr,
        fs,
        os::unix::{ffi::OsStrExt, fs::MetadataExt},
        path::Path,
    };

    use super::{Report, SessionState, Source};
    use crate::{
        locks::{Lock, look},
        probe::{self, Place},
    };

    /// See the other form of this function.
    pub(in crate::read) fn state_of(
        source: &Source,
        report: &Report,
        session: u64,
        is_alone: bool,
    ) -> SessionState {
        found(source, report, session, is_alone).unwrap_or(SessionState::Open)
    }

    /// `None` if nothing can be said.
    fn found(
        source: &Source,
        report: &Report,
        session: u64,
        is_alone: bool,
    ) -> Option<SessionState> {
        // The lock is beside the file itself, not beside a link to the file.
        let path = fs::canonicalize(source.path()).ok()?;
        let (directory, file) = (path.parent()?, path.file_name()?);
        let identity = fs::metadata(directory).ok()?;
        let own = base_of(file);
        // An archived or renamed file has another name than the active one. Its start has the log's name.
        let full = OsStr::from_bytes(&report.name);
        let names = if is_file_name(&report.name) { &[own, full][..] } else { &[own][..] };
        let lock = look(directory, (identity.dev(), identity.ino()), names);
        let is_active = own == full;
        match lock {
            Lock::Held if is_active => Some(SessionState::Live),
            _ if !is_active && is_alone && continues(directory, report, session) => {
                Some(SessionState::Continued)
            }
            // The writer died, or it writes a file that another program has renamed.
            Lock::Held | Lock::Unknown => None,
            // If the file has grown since it was read, its writer may have ended it meanwhile.
            Lock::Free => is_as_read(source, &path).then_some(SessionState::Died),
        }
    }

    fn base_of(file: &OsStr) -> &OsStr {
        let name = file.as_bytes();
        OsStr::from_bytes(name.strip_suffix(b".log").unwrap_or(name))
    }

    fn is_file_name(name: &[u8]) -> bool {
        !name.is_empty() && !name.contains(&b'/') && !name.contains(&0)
    }

    /// Whether a later segment in the directory begins with the session.
    fn continues(directory: &Path, report: &Report, session: u64) -> bool {
        let Ok(entries) = fs::read_dir(directory) else { return false };
        let mut buffer = Vec::new();
        entries.flatten().any(|entry| {
            let Ok(mut source) = Source::open_listed(&entry.path()) else { return false };
            let Ok(Place::Valid(part)) = probe::look(&mut source, 0, &mut buffer) else {
                return false;
            };
            let prefix = part.prefix;
            Some(prefix.log_id) == report.log_id
                && prefix.segment > report.segment
                && prefix.session == session
        })
    }

    fn is_as_read(source: &Source, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| {
            now.len() == source.stored() && Some((now.dev(), now.ino())) == source.identity()
        })
    }
}
