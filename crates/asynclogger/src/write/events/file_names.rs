//! Chooses the file of an event: by its plain name, unless that file belongs to another event.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use super::name::{EventName, archived_base, fnv1a, folded};
use crate::{
    Error, ErrorKind,
    io::Directory,
    sync::Arc,
    write::archive::{LogName, full_name_of},
};

/// With so many names in a directory, each opening of an event may look through the directory.
const FEW: usize = 64;

/// A name for a file, without `.log`.
pub(super) struct Chosen {
    pub(super) base: String,
    /// Whether archived segments of this name can exist.
    pub(super) has_past: bool,
    /// Whether few names were ever used in the directory: a look through all of it costs little.
    pub(super) has_few: bool,
}

/// The names in a directory. They are kept as hashes, so that each name that was ever used costs little memory.
pub(super) struct FileNames {
    directory: Arc<Directory>,
    /// From a name without upper and lower case to the one name that has its file.
    taken: HashMap<u64, u64>,
    /// Names with archived segments, or files that were there before.
    past: HashSet<u64>,
}

impl FileNames {
    /// Looks through the directory once.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn read(directory: Arc<Directory>) -> Result<FileNames, Error> {
        let (mut taken, mut past) = (HashMap::new(), HashSet::new());
        for name in directory.names(|_| true)? {
            let Some(name) = name.to_str() else { continue };
            let plain = name.strip_suffix(".zst").unwrap_or(name);
            let Some(base) = plain.strip_suffix(".log").filter(|base| !base.starts_with('.'))
            else {
                continue;
            };
            let base = archived_base(base).unwrap_or(base);
            past.insert(fnv1a(base.as_bytes()));
            taken.entry(fnv1a(folded(base).as_bytes())).or_insert(fnv1a(base.as_bytes()));
        }
        Ok(FileNames { directory, taken, past })
    }

    /// Chooses the name of an event's file. The name is the same after every restart, since each file has the name of
    /// its event.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if the hashed name, too, belongs to another event.
    pub(super) fn choose(&mut self, name: &EventName) -> Result<Chosen, Error> {
        let owner = |base: &str| self.owner(base);
        let hashed = name.hashed();
        let full = name.full().as_bytes();
        let base = match name.plain() {
            // The event needed this name once, and keeps it.
            Some(_) if owner(hashed).is_some_and(|owner| owner == full) => hashed,
            Some(plain) if self.is_free(plain) && owner(plain).is_none_or(|of| of == full) => plain,
            _ if owner(hashed).is_none_or(|owner| owner == full) => hashed,
            _ => {
                let what = format!("the file of the event {:?} is another event's", name.full());
                let path = self.directory.path().join(format!("{hashed}.log"));
                return Err(Error::new(ErrorKind::InUse, what).at_path(&path));
            }
        };
        let id = fnv1a(base.as_bytes());
        self.taken.entry(fnv1a(folded(base).as_bytes())).or_insert(id);
        // From now on the name can have archived segments.
        let has_past = !self.past.insert(id);
        let has_few = self.past.len() <= FEW;
        Ok(Chosen { base: base.to_owned(), has_past, has_few })
    }

    /// Whether no name has this file that differs only in upper and lower case.
    fn is_free(&self, base: &str) -> bool {
        let id = fnv1a(base.as_bytes());
        self.taken.get(&fnv1a(folded(base).as_bytes())).is_none_or(|other| *other == id)
    }

    /// The event that owns the file of this name, by the start of the file, or of the last archived segment.
    fn owner(&self, base: &str) -> Option<Vec<u8>> {
        let name = LogName::of(Path::new(&format!("{base}.log"))).ok()?;
        full_name_of(&self.directory, &name, self.past.contains(&fnv1a(base.as_bytes())))
    }
}
