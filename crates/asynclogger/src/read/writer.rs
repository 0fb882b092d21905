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
        fs::{self, DirEntry},
        os::unix::{ffi::OsStrExt, fs::MetadataExt},
        path::Path,
    };

    use super::{Report, SessionState, Source};
    use crate::{
        locks::{Lock, look_at_log, look_at_manager},
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
        // What is no file has no writer here, though a file may have the same name.
        source.identity()?;
        // The lock is beside the file itself, not beside a link to the file.
        let path = fs::canonicalize(source.path()).ok()?;
        let (directory, file) = (path.parent()?, path.file_name()?);
        let identity = fs::metadata(directory).ok().map(|found| (found.dev(), found.ino()))?;
        let own = base_of(file);
        // An archived or renamed file has another name than the active one. Its start has the log's name.
        let full = OsStr::from_bytes(&report.name);
        let by_own = look_at_log(directory, identity, own);
        let by_manager = look_at_manager(directory, identity);
        // The file of an event can have another name than the event.
        let is_of_event = own.len() < file.len() && !is_archived(own.as_bytes());
        let is_active = own == full || (by_manager == Lock::Held && is_of_event);
        if by_own == Lock::Held || (by_manager == Lock::Held && is_active) {
            return Some(SessionState::Live);
        }
        let later = match is_alone && !is_active {
            true => sessions_of_later_segments(directory, report),
            false => Vec::new(),
        };
        if later.contains(&session) {
            return Some(SessionState::Continued);
        }
        let by_full = match is_file_name(&report.name) {
            true => look_at_log(directory, identity, full),
            false => Lock::Unknown,
        };
        let locks = [by_own, by_full, by_manager];
        // If a lock is held, its holder perhaps writes this file, which another program has renamed; but a log is written
        // in its last segment only.
        let is_left =
            !later.is_empty() || (!locks.contains(&Lock::Held) && locks.contains(&Lock::Free));
        // If the file has grown since it was read, its writer may have ended it meanwhile.
        (is_left && is_as_read(source, &path)).then_some(SessionState::Died)
    }

    /// Whether a name without `.log` ends like that of an archived segment: `_YYYY-MM-DD_HH-MM-SS[.N]`.
    fn is_archived(name: &[u8]) -> bool {
        const PATTERN: &[u8] = b"_0000-00-00_00-00-00";
        let ends = |name: &[u8]| {
            let time = name.len().checked_sub(PATTERN.len()).and_then(|at| name.get(at..));
            time.is_some_and(|time| {
                time.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
                    b'0' => byte.is_ascii_digit(),
                    _ => byte == pattern,
                })
            })
        };
        let numbered = name.iter().rposition(|byte| *byte == b'.').and_then(|at| {
            let number = name.get(at + 1..)?;
            number.iter().all(u8::is_ascii_digit).then(|| name.get(..at))?
        });
        ends(name) || numbered.is_some_and(ends)
    }

    fn base_of(file: &OsStr) -> &OsStr {
        let name = file.as_bytes();
        OsStr::from_bytes(name.strip_suffix(b".log").unwrap_or(name))
    }

    fn is_file_name(name: &[u8]) -> bool {
        !name.is_empty() && !name.contains(&b'/') && !name.contains(&0)
    }

    /// The sessions with which the later segments of the log in this directory begin. A file that is only prepared for
    /// the next segment is none yet: its name is hidden, and it has a start and no more.
    fn sessions_of_later_segments(directory: &Path, report: &Report) -> Vec<u64> {
        let mut buffer = Vec::new();
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut session_of = |entry: DirEntry| {
            let mut source = Source::open_listed(&entry.path()).ok()?;
            let Ok(Place::Valid(part)) = probe::look(&mut source, 0, &mut buffer) else {
                return None;
            };
            let prefix = part.prefix;
            let is_prepared = entry.file_name().as_bytes().starts_with(b".")
                && source.stored() <= u64::from(prefix.align);
            let is_later = Some(prefix.log_id) == report.log_id && prefix.segment > report.segment;
            (is_later && !is_prepared).then_some(prefix.session)
        };
        entries.filter_map(&mut session_of).collect()
    }

    fn is_as_read(source: &Source, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| {
            now.len() == source.stored() && Some((now.dev(), now.ino())) == source.identity()
        })
    }
}
