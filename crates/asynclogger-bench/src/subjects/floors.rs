//! What the measurement costs, and what a copy costs.

use std::{cell::RefCell, hint::black_box};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject},
};

/// A call that does nothing.
pub(super) struct Empty;

impl Subject for Empty {
    const NAME: &'static str = "empty call";
    const SETUP: &'static str =
        "a call that does nothing: stamp, loop and clocks of the measurement";
    const NO_ROTATION: Option<&'static str> = Some("a floor has no file");
    const FLOOR: bool = true;

    fn open(_: &Place) -> Outcome<Empty> {
        Ok(Empty)
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        black_box(record.bytes());
    }

    fn end(self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}

/// A copy into memory of the thread's own, which was touched before.
pub(super) struct Copy;

const MEMORY: usize = 8 << 20;

thread_local! {
    static ROOM: RefCell<(Vec<u8>, usize)> = RefCell::new((vec![1; MEMORY], 0));
}

impl Subject for Copy {
    const NAME: &'static str = "raw copy";
    const SETUP: &'static str =
        "length and bytes copied to 8 MiB of the thread's own, round and round";
    const NO_ROTATION: Option<&'static str> = Some("a floor has no file");
    const FLOOR: bool = true;

    fn open(_: &Place) -> Outcome<Copy> {
        Ok(Copy)
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        let bytes = record.bytes();
        ROOM.with_borrow_mut(|(room, tail)| {
            let end = *tail + 4 + bytes.len();
            let (from, to) = if end > MEMORY { (0, 4 + bytes.len()) } else { (*tail, end) };
            let place = &mut room[from..to];
            place[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            place[4..].copy_from_slice(bytes);
            *tail = to;
            black_box(place);
        });
    }

    fn end(self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}
