//! Two cursors for little-endian fields: one that cannot read past the end, one that cannot write past it.

/// Takes fields from the front of a slice; returns `None` once the slice is too short.
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Puts fields at the front of a slice. The callers size their slices by the layout's own functions. A field
/// that does not fit is a bug: the debug assertion catches it, and without assertions the field is left out.
pub(super) struct Put<'a>(pub(super) &'a mut [u8]);

impl Put<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let buffer = std::mem::take(&mut self.0);
        debug_assert!(bytes.len() <= buffer.len());
        if let Some((place, rest)) = buffer.split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            self.0 = rest;
        }
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Zeroes the rest.
    pub(super) fn finish(self) {
        self.0.fill(0);
    }
}
