//! Memory that an operation in flight reads after the call that began the operation has returned.

/// Bytes in one or many pieces, which the kernel may read for as long as a reference to the value is held.
///
/// # Safety
/// As long as the value lives, wherever it is moved, each `piece` must be the same range of valid memory, and nobody
/// may write to that range except through a `&mut` to the value.
pub(crate) unsafe trait StableBytes: Send + Sync {
    /// The piece of this number, in their order; an empty slice behind the last.
    fn piece(&self, number: usize) -> &[u8];
}

impl<'a> dyn StableBytes + 'a {
    /// The pieces from byte `start` on, without empty ones.
    pub(crate) fn pieces_from(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = start;
        let all = (0..).map(|number| self.piece(number)).take_while(|piece| !piece.is_empty());
        all.map(move |piece| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            &piece[skipped..]
        })
        .filter(|piece| !piece.is_empty())
    }

    /// The number of bytes in all pieces together.
    pub(crate) fn len(&self) -> usize {
        self.pieces_from(0).map(<[u8]>::len).sum()
    }

    /// A copy in one piece.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces_from(0).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Letters;

    // SAFETY: statics.
    unsafe impl StableBytes for Letters {
        fn piece(&self, number: usize) -> &[u8] {
            [&b"abc"[..], b"d", b"ef", b""][number.min(3)]
        }
    }

    #[test]
    fn pieces_are_cut_where_they_begin() {
        let letters: &dyn StableBytes = &Letters;
        assert_eq!((letters.len(), letters.to_vec()), (6, b"abcdef".to_vec()));
        let from = |start| letters.pieces_from(start).collect::<Vec<_>>();
        assert_eq!(from(0), [&b"abc"[..], b"d", b"ef"]);
        assert_eq!(from(2), [&b"c"[..], b"d", b"ef"]);
        assert_eq!(from(4), [b"ef"]);
        assert!(from(6).is_empty());
    }
}
