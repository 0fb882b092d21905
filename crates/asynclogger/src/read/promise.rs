//! What the start of a segment promises of the one before.

use crate::{
    Error,
    probe::{Body, Place, Source, look},
};

/// Blocks of this session, from this sequence on, are in the segment: also those that could not be written whole
/// in the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) session: u64,
    pub(super) first_sequence: u64,
}

impl Promise {
    /// By the first bytes of a segment; `None`: its start is damaged.
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
