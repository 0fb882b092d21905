//! What the opening of an event's log has to know beside its settings.

use crate::{
    io::{Directory, EventsLock},
    sync::Arc,
    write::archive::WholeDirectory,
};

/// The arguments, beside the config, for opening the log of an event.
pub(crate) struct EventOpening<'a> {
    pub(crate) directory: Arc<Directory>,
    pub(crate) lock: &'a EventsLock,
    /// The name of the event, as the user gave it.
    pub(crate) full_name: &'a str,
    pub(crate) past: Past,
    pub(crate) whole: Option<Arc<WholeDirectory>>,
}

/// Whether a log can have segments besides its active file, and when they are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    None,
    /// Segments are looked for only when their number matters: the look reads the directory, which can hold the files
    /// of many events.
    Possible,
    /// Segments are looked for when the log is opened.
    Looked,
}
