//! The result of one step through a file.

/// The result of a step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A block is loaded, possibly without records to deliver.
    Block,
    /// Another part was read, or a block that is not delivered.
    Other,
    /// The end of the file.
    End,
}
