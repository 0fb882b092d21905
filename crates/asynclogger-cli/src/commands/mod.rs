//! One file a command. Each is a call of the library and the telling of what came out.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod stat;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod write;
