//! The promise in the start of a segment about the segment before.

use crate::{
    Error,
    probe::{Body, Place, Source, look},
};

/// The promise that the segment has all blocks of this session from this sequence on, including the blocks
/// that could not be written completely in the segment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) session: u64,
    pub(super) first_sequence: u64,
}

impl Promise {
    /// Reads the promise from the first bytes of a segment; `None` if the start is damaged.
    pub(super) fn of(source: &mut Source) -> Result<Option<Promise>, Error> {
        let Place::Valid(start) = look(source, 0, &mut Vec::new())? else {
            return Ok(None);
        };
        let session = start.prefix.session;
        Ok(match start.body {
            Body::Start { first_sequence, .. } if start.belongs(None) => {
                Some(Promise { session, first_sequence })
            }
            _ => None,
        })
    }
}
