//! Where an event stands in the map of a crash-safe manager.

use crate::{sync::Arc, write::crash::CrashMap};

/// The place of an event in the map of a crash-safe manager.
#[derive(Clone)]
pub(super) struct InMap {
    pub(super) map: Arc<CrashMap>,
    pub(super) log: u32,
}
