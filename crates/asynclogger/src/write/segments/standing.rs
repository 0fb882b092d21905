//! The place of the active file, as the directory shows it.

/// The relation between the active file and the log's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The log's path names the file.
    Here,
    /// The log's path names another file or nothing: the active file has another name.
    Renamed,
    /// The active file has no name any more.
    Deleted,
    /// The active file has fewer bytes than were written to it.
    Truncated,
}
