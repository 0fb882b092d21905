//! The files from which the records of waiting blocks are read.

use super::{walk::Walk, window::changed};
use crate::{Error, probe::Source};

/// How many files are kept open, in addition to one for each log.
const KEPT: usize = 16;
/// How many of them keep what they have decompressed: at most 6 MiB each.
const WARM: usize = 3;

/// Open files, the one that was used last at the end.
#[derive(Debug, Default)]
pub(super) struct Files {
    open: Vec<((usize, u64), Source)>,
}

impl Files {
    /// The file of a segment that was walked. It is found even if it was renamed or compressed meanwhile. The file in which
    /// a log is being read is open already, which spares many events an opening for each piece; if it is compressed, its
    /// reader needs its frames for itself.
    pub(super) fn of<'a>(
        &'a mut self,
        walks: &'a mut [Walk],
        (log, segment): (usize, u64),
    ) -> Result<&'a mut Source, Error> {
        let key = (log, segment);
        let is_open = walks.get(log).is_some_and(|walk| walk.log.is_open_plain(segment));
        if is_open {
            let source = walks.get_mut(log).and_then(|walk| walk.log.source());
            return source.ok_or_else(changed);
        }
        match self.open.iter().position(|(open, _)| *open == key) {
            Some(at) => self.open.get_mut(at..).unwrap_or_default().rotate_left(1),
            None => {
                if self.open.len() == KEPT {
                    self.open.remove(0);
                }
                let opened = walks.get_mut(log).map(|walk| walk.log.open_again(segment));
                if let Some(source) = opened.transpose()? {
                    self.open.push((key, source));
                }
            }
        }
        let cold = self.open.len().saturating_sub(WARM);
        self.open.iter_mut().take(cold).for_each(|(_, source)| source.release());
        let last = self.open.last_mut().filter(|(open, _)| *open == key);
        last.map(|(_, source)| source).ok_or_else(changed)
    }
}
