//! Where the walk over a native file stands.

use super::{history::History, ledger::Ledger, report::Report, suspects::Suspects};
use crate::probe::Ids;

/// Everything that a step changes and that has to be taken back if a torn end grows.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) report: Report,
    pub(super) ledger: Ledger,
    pub(super) history: Option<History>,
    pub(super) pos: u64,
    pub(super) ids: Option<Ids>,
    /// Whether the last part that was read is an end.
    pub(super) at_end: bool,
    /// How many of the next records are left out.
    pub(super) to_pass: u64,
    pub(super) suspects: Suspects,
}

/// The state before the torn end of the file, kept for the case that the file grows.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) state: State,
    /// The offset of the torn block, and the chunks whose records were delivered.
    pub(super) delivered: Option<(u64, Vec<bool>)>,
}

impl State {
    pub(super) fn new(report: Report) -> State {
        State {
            report,
            ledger: Ledger::default(),
            history: None,
            pos: 0,
            ids: None,
            at_end: false,
            to_pass: 0,
            suspects: Suspects::default(),
        }
    }
}
