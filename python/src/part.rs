//! A log that is read, or a range of its blocks.

use std::{collections::BTreeMap, sync::Arc};

use asynclogger::read::{Block, HeadKind, LogDir, Report};

use crate::error::Failure;

/// What a record's columns say of its log.
#[derive(Debug)]
pub(crate) struct Names {
    /// The name of the logger or event; the name of the file without its suffix for a log without a name.
    pub(crate) event: String,
    /// The file of each segment, as it was called when the log was opened.
    files: BTreeMap<u64, String>,
}

impl Names {
    pub(crate) fn of(log: &LogDir) -> Names {
        let segments = log.segments();
        let name = segments.iter().rev().map(|it| &it.name).find(|name| !name.is_empty());
        let event = match (name, segments.last()) {
            (Some(name), _) => String::from_utf8_lossy(name).into_owned(),
            (None, Some(last)) => {
                let name = last.path.file_name().unwrap_or_default().to_string_lossy();
                name.trim_end_matches(".zst").trim_end_matches(".log").to_owned()
            }
            (None, None) => String::new(),
        };
        let files = segments.iter().map(|it| (it.id, it.path.display().to_string())).collect();
        Names { event, files }
    }

    /// The file of a segment. A segment that is younger than the opening has the name that the last one had then: the
    /// logger always writes to the same name.
    pub(crate) fn file(&self, segment: u64) -> &str {
        let found = self.files.get(&segment).or_else(|| self.files.values().next_back());
        found.map_or("", String::as_str)
    }
}

/// A range of the blocks of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The segment and the offset of the block before the first one; `None` if the range begins with the log's first block.
    pub(crate) after: Option<(u64, u64)>,
    /// The segment and the offset of the last block.
    pub(crate) last: (u64, u64),
}

/// A log that is read, or a range of its blocks.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) log: LogDir,
    pub(crate) names: Arc<Names>,
    /// What has still to be passed over.
    after: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
    /// The runs of missing segments when the log was opened.
    missing: usize,
    is_over: bool,
}

impl Part {
    pub(crate) fn new(log: LogDir, range: Option<Range>) -> Part {
        let names = Arc::new(Names::of(&log));
        let (after, last) = (range.and_then(|it| it.after), range.map(|it| it.last));
        let missing = log.missing().len();
        Part { log, names, after, last, missing, is_over: false }
    }

    /// Reads the next block, and calls `each` with it; `None` at the end.
    pub(crate) fn read_block<T>(
        &mut self,
        each: impl FnOnce(&Names, &Block<'_>) -> T,
    ) -> Result<Option<T>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        self.pass()?;
        let last = self.last;
        let block = self.log.next_block()?;
        let place = block.as_ref().map(|block| (block.segment(), block.offset()));
        let is_behind = |place| last.is_some_and(|last| last < place);
        let value = block.filter(|_| place.is_some_and(|it| !is_behind(it)));
        let value = value.map(|block| each(&self.names, &block));
        self.is_over = value.is_none() || (last.is_some() && place == last);
        if self.is_over {
            self.check_range()?;
        }
        Ok(value)
    }

    /// An error if a part of the range could not be read. A range is read by one of many readers, and nobody looks at
    /// the report of each.
    fn check_range(&self) -> Result<(), Failure> {
        let Some((segment, offset)) = self.last else { return Ok(()) };
        if let Some(error) = self.log.unread().first() {
            return Err(error.clone().into());
        }
        if self.log.missing().len() > self.missing {
            let event = &self.names.event;
            let text = format!("{event}: a segment was deleted while it was read");
            return Err(Failure::NoLog(text));
        }
        let is_cut = |it: &Report| it.segment == segment && it.file_bytes <= offset;
        if self.log.report().segments.iter().any(is_cut) {
            return Err(self.gone(segment, offset));
        }
        Ok(())
    }

    /// The error for a block that the plan has seen.
    fn gone(&self, segment: u64, offset: u64) -> Failure {
        let file = self.names.file(segment);
        let text =
            format!("{file}: the block at offset {offset} is gone since the partitions were made");
        Failure::NoLog(text)
    }

    /// Passes over the blocks before the range, by their heads.
    fn pass(&mut self) -> Result<(), Failure> {
        let Some(after) = self.after.take() else { return Ok(()) };
        while let Some(head) = self.log.next_head()? {
            let place = (head.segment, head.offset);
            if !matches!(head.kind, HeadKind::Block { .. }) || place < after {
                continue;
            }
            if place == after {
                return Ok(());
            }
            break;
        }
        Err(self.gone(after.0, after.1))
    }
}
