//! Memory that an operation in flight reads after the call that began it has returned.

/// Bytes that the kernel may be given to read for as long as a reference to them is held.
///
/// # Safety
/// As long as the value is there, wherever it is moved, `bytes` is the same range of valid memory, and
/// nobody writes to it except through a `&mut` to the value.
pub(crate) unsafe trait StableBytes: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}
