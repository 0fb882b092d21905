//! Where the active file stands.

/// What the directory shows of the active file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The log's path names the file.
    Here,
    /// The log's path names another file or nothing: the active file has another name.
    Renamed,
    /// The active file has no name any more.
    Deleted,
    /// The active file is shorter than what was written to it.
    Truncated,
}
