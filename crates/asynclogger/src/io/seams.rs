//! The abilities of the file system under a directory, and moments between two changes of names there. In tests a
//! directory can lack an ability, and something can happen in such a moment.

use std::path::Path;

/// An ability that some file systems lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// A file can have a second name.
    Links,
    /// The files of two names can be exchanged in one step.
    Exchange,
    /// A rename can refuse to replace a file.
    NoReplace,
    /// A file can be made without a name.
    Unnamed,
    /// A file in memory can have more of it.
    Room,
}

/// Whether the directory has the ability. Outside of tests the system's answer alone decides.
#[inline]
pub(super) fn has(_directory: &Path, _ability: Ability) -> bool {
    #[cfg(all(test, not(loom)))]
    return world::has(_directory, _ability);
    #[cfg(not(all(test, not(loom))))]
    true
}

/// A moment within a change of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeExchange,
    AfterExchange,
}

/// A moment at which the world can act. Costs nothing outside of tests.
#[inline]
pub(super) fn reach(_moment: Moment, _directory: &Path) {
    #[cfg(all(test, not(loom)))]
    world::act(_moment, _directory);
}

#[cfg(all(test, not(loom)))]
pub(crate) mod world {
    use std::{collections::BTreeMap, path::PathBuf};

    use super::{Ability, Moment, Path};
    use crate::sync::{GlobalMutex, PoisonError};

    type Act = Box<dyn FnOnce() + Send>;

    #[derive(Default)]
    struct Rules {
        lacks: Vec<Ability>,
        act: Option<(Moment, Act)>,
    }

    static WORLDS: GlobalMutex<BTreeMap<PathBuf, Rules>> = GlobalMutex::new(BTreeMap::new());

    /// Rules for one directory; dropped, they end.
    pub(crate) struct World(PathBuf);

    fn with<T>(directory: &Path, look: impl FnOnce(&mut Rules) -> T) -> Option<T> {
        let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        worlds.get_mut(directory).map(look)
    }

    impl World {
        pub(crate) fn of(directory: &Path) -> World {
            let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
            worlds.insert(directory.to_owned(), Rules::default());
            World(directory.to_owned())
        }

        /// The directory's file system lacks these abilities from now on.
        pub(crate) fn lacks(&self, lacks: &[Ability]) {
            with(&self.0, |rules| rules.lacks = lacks.to_vec());
        }

        /// Does something at this moment of the next exchange of names, once.
        pub(crate) fn act_at(&self, moment: Moment, act: impl FnOnce() + Send + 'static) {
            with(&self.0, |rules| rules.act = Some((moment, Box::new(act))));
        }

        /// Whether that moment was reached since.
        pub(crate) fn has_acted(&self) -> bool {
            with(&self.0, |rules| rules.act.is_none()).unwrap_or(true)
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            WORLDS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        }
    }

    pub(super) fn has(directory: &Path, ability: Ability) -> bool {
        with(directory, |rules| !rules.lacks.contains(&ability)).unwrap_or(true)
    }

    pub(super) fn act(moment: Moment, directory: &Path) {
        let due = with(directory, |rules| rules.act.take_if(|(at, _)| *at == moment)).flatten();
        if let Some((_, act)) = due {
            act();
        }
    }
}
