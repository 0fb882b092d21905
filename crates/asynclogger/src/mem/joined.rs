//! The bytes of several owners, one after another.

use super::StableBytes;
use crate::sync::Arc;

/// Several [`StableBytes`] as one, each with its number of pieces.
pub(crate) struct Joined(Vec<(usize, Arc<dyn StableBytes>)>);

impl Joined {
    pub(crate) fn new(all: impl IntoIterator<Item = Arc<dyn StableBytes>>) -> Joined {
        let counted = |bytes: Arc<dyn StableBytes>| (bytes.pieces_from(0).count(), bytes);
        Joined(all.into_iter().map(counted).collect())
    }
}

// SAFETY: each of the owners keeps the promise, and `self` keeps the owners.
unsafe impl StableBytes for Joined {
    fn piece(&self, mut number: usize) -> &[u8] {
        for (count, bytes) in &self.0 {
            if number < *count {
                return bytes.piece(number);
            }
            number -= count;
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::AlignedBytes;

    #[test]
    fn one_stands_behind_the_other() {
        let of = |byte: u8| -> Arc<dyn StableBytes> {
            let mut bytes = AlignedBytes::new(4096, 4096).expect("memory");
            bytes.fill(byte);
            Arc::new(bytes)
        };
        let joined: Arc<dyn StableBytes> = Arc::new(Joined::new([of(1), of(2), of(3)]));
        let pieces: Vec<_> = joined.pieces_from(4095).map(|part| (part[0], part.len())).collect();
        assert_eq!(pieces, [(1, 1), (2, 4096), (3, 4096)]);
        assert_eq!(joined.len(), 3 * 4096);
    }
}
