//! Fetches cache lines before they are written to.

const LINE: usize = 64;
/// The most lines fetched. Longer writes need no help: the hardware detects a stream.
const MOST_LINES: usize = 8;

/// Fetches `len` bytes from `start` on, and one line more, for a write that follows. `start` can be any address.
#[inline]
pub(crate) fn prefetch(start: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        for line in 0..(len / LINE + 1).min(MOST_LINES) {
            // SAFETY: a prefetch has no effect on memory, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(start.wrapping_add(line * LINE).cast()) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (start, len, LINE, MOST_LINES);
}
