//! The map: a file in memory with a head, the words of the account, and the buffers.

use std::{
    fmt,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

use super::{
    remains::Owned,
    words::{self, BOUNDS, CURRENT, Damaged, Places},
};
use crate::{
    CrashSafe, Error, ErrorKind,
    config::CrashPlace,
    format::{MAP_HEAD_LEN, MAX_ALIGN, MAX_CAPACITY, MapHead, map_head::NotAMap},
    io::{Directory, Found, MapFile, private_directory},
    mem::SharedMemory,
    sync::{Arc, Ordering},
    write::common::{Reason, fault},
};

/// The directory that all users share, and the file systems in memory below it.
const SHARED_MEMORY: &str = "/dev/shm";

/// The buffers of a logger and the account of them, in memory that outlives the process.
///
/// The map is for a reader that comes after the death of its writer. So each function here notes one step of the
/// writer, by stores alone, and callers say in which order the steps go. A forked child has no map: the functions do
/// nothing there.
pub(in crate::write) struct CrashMap {
    head: MapHead,
    places: Places,
    memory: Arc<SharedMemory>,
    file: MapFile,
    /// Whether this process made the map.
    is_new: bool,
}

/// The result of opening a map.
pub(in crate::write) enum Opening {
    /// Its owner is dead, and it is ours now.
    Opened(Box<CrashMap>),
    /// A live process has it.
    InUse,
    /// It is gone, or belongs to another user.
    Gone,
    /// It cannot be used, for this reason.
    Unusable(String),
}

impl CrashMap {
    /// Makes the map that a head describes, with room for `bytes` of buffers, in the first place that has room;
    /// `None` if none has and the setting allows that.
    ///
    /// # Errors
    /// Those of the last place that was tried.
    pub(in crate::write) fn create(
        setting: &CrashSafe,
        head: &MapHead,
        bytes: usize,
    ) -> Result<Option<CrashMap>, Error> {
        let mut refused = None;
        for place in setting.places() {
            match CrashMap::create_in(place, head, bytes) {
                Ok(map) => return Ok(Some(map)),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if !setting.is_optional() => Err(error),
            _ => Ok(None),
        }
    }

    fn create_in(place: &CrashPlace, head: &MapHead, bytes: usize) -> Result<CrashMap, Error> {
        let absurd = |what: &str| Error::new(ErrorKind::CrashMap, what.to_owned());
        let encoded =
            head.encode().ok_or_else(|| absurd("the log's path is too long for a map"))?;
        let len = file_len(head, bytes).ok_or_else(|| absurd("a map cannot be this long"))?;
        let directory = Directory::open_or_create(&directory_of(place)?)?;
        let stem = format!("{}-{:016x}", head.log_id, head.session);
        let file = MapFile::create(directory, &stem, &encoded, len)?;
        // After an error the file is removed again: nobody has used it.
        let map = CrashMap::map(head.clone(), file, len);
        match map {
            Ok(mut map) => {
                map.is_new = true;
                Ok(map)
            }
            Err((file, error)) => {
                let _ = file.remove();
                Err(error)
            }
        }
    }

    /// The maps in the places of this setting.
    pub(in crate::write) fn find(setting: &CrashSafe) -> Vec<PathBuf> {
        let directories = setting.places().iter().filter_map(|place| directory_of(place).ok());
        directories.flat_map(|directory: PathBuf| CrashMap::find_in(&directory)).collect()
    }

    /// The maps in this directory.
    pub(in crate::write) fn find_in(directory: &Path) -> Vec<PathBuf> {
        if !directory.is_dir() {
            return Vec::new();
        }
        let names = Directory::open_or_create(directory).and_then(|found| MapFile::names(&found));
        names.unwrap_or_default().into_iter().map(|name| directory.join(name)).collect()
    }

    /// The head of the map at this path, without its lock; `None`: the file is gone, or this process has it. The inner
    /// error says why no map can be read there.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn peek(path: &Path) -> Result<Option<Result<MapHead, String>>, Error> {
        Ok(MapFile::peek(path, MAP_HEAD_LEN)?.map(|bytes| head_of(&bytes)))
    }

    /// Opens the map at this path if its owner is dead.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn open(path: &Path) -> Result<Opening, Error> {
        let file = match MapFile::open(path)? {
            Found::Abandoned(file) => file,
            Found::InUse => return Ok(Opening::InUse),
            Found::NotOurs => return Ok(Opening::Gone),
        };
        let Some(inner) = file.file() else {
            return Ok(Opening::Gone);
        };
        let mut bytes = vec![0; MAP_HEAD_LEN];
        let failed = |error| Error::io("cannot read", error).at_path(path);
        let len = inner.metadata().map_err(failed)?.len();
        if len < MAP_HEAD_LEN as u64 {
            return Ok(Opening::Unusable(format!("it has only {len} bytes")));
        }
        inner.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let head = match head_of(&bytes) {
            Ok(head) => head,
            Err(reason) => return Ok(Opening::Unusable(reason)),
        };
        if !is_sane(&head)
            || words_len(&head).is_none_or(|words| words + (MAP_HEAD_LEN as u64) > len)
            || !len.is_multiple_of(4096)
        {
            return Ok(Opening::Unusable("its sizes contradict each other".into()));
        }
        match CrashMap::map(head, file, len) {
            Ok(map) => Ok(Opening::Opened(Box::new(map))),
            Err((_file, error)) => Err(error.at_path(path)),
        }
    }

    fn map(head: MapHead, file: MapFile, len: u64) -> Result<CrashMap, (MapFile, Error)> {
        let words = words_len(&head).unwrap_or(u64::MAX);
        let mapped = match file.file() {
            None => Err(rustix::io::Errno::BADF),
            Some(inner) => {
                let rest = len.saturating_sub(MAP_HEAD_LEN as u64);
                let (words, rest) = (usize::try_from(words), usize::try_from(rest));
                match (words, rest) {
                    (Ok(words), Ok(rest)) => {
                        let align = head.align as usize;
                        SharedMemory::map(inner, MAP_HEAD_LEN as u64, words, rest, align)
                    }
                    _ => Err(rustix::io::Errno::NOMEM),
                }
            }
        };
        match mapped {
            Ok(memory) => {
                let (places, memory) = (Places::of(&head), Arc::new(memory));
                Ok(CrashMap { head, places, memory, file, is_new: false })
            }
            Err(errno) => Err((file, Error::io("cannot map the memory of a logger", errno))),
        }
    }

    pub(in crate::write) fn head(&self) -> &MapHead {
        &self.head
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// The memory: its bytes are the buffers.
    pub(in crate::write) fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }

    pub(in crate::write) fn path(&self) -> Option<PathBuf> {
        self.file.path()
    }

    /// The path of the log's file in the failover directory.
    pub(in crate::write) fn away_path(&self) -> Option<&Path> {
        let path = Path::new(std::ffi::OsStr::from_bytes(&self.head.away));
        (!self.head.away.is_empty()).then_some(path)
    }

    /// Notes that a buffer belongs to a shard from now on. The buffer must be empty.
    pub(in crate::write) fn own(&self, buffer: u32, shard: u32, generation: u64) {
        let (at, word) = (self.places.owner(buffer as usize), words::owner_word(shard, generation));
        words::store(&self.memory, at + 1..at + 2, &[words::checked(&[word])]);
        self.store(at, word);
        fault::kill_point("a buffer has an owner");
    }

    /// Notes that a buffer's records are needed no more.
    pub(in crate::write) fn disown(&self, buffer: u32) {
        self.store(self.places.owner(buffer as usize), 0);
    }

    /// Counts a refused record.
    pub(in crate::write) fn count_drop(&self, shard: usize, reason: Reason) {
        let at = self.places.drops(shard) + reason as usize;
        if let Some(word) = words::word(&self.memory, at) {
            // Relaxed: a count.
            word.fetch_add(words::DROP, Ordering::Relaxed);
        }
    }

    /// Notes the numbers of a shard behind a block that has its place in the journal: the last of the words is the
    /// generation, so until it is stored the journal's entry counts.
    pub(in crate::write) fn track(&self, shard: u32, track: &super::Track) {
        let at = self.places.track(shard as usize);
        words::store(&self.memory, at.start + 1..at.end, &track.encode()[1..]);
        self.store(at.start, track.next_generation);
    }

    pub(super) fn store(&self, at: usize, value: u64) {
        if let Some(word) = words::word(&self.memory, at) {
            fault::kill_point("a word of the account");
            // Release: as in `words::store`.
            word.store(value, Ordering::Release);
        }
    }

    /// The numbers of the journal's first entry, and of the next one.
    ///
    /// # Errors
    /// The word is damaged.
    pub(super) fn bounds(&self) -> Result<(u32, u32), Damaged> {
        words::bounds_of(self.load(BOUNDS))
    }

    /// Which record of whereabouts is the current one.
    ///
    /// # Errors
    /// The word is damaged.
    pub(super) fn current(&self) -> Result<usize, Damaged> {
        words::current_of(self.load(CURRENT))
    }

    fn load(&self, at: usize) -> u64 {
        words::load(&self.memory, at..at + 1).first().copied().unwrap_or(0)
    }

    /// The buffers that belong to a shard.
    ///
    /// # Errors
    /// The word of an owner is damaged.
    pub(super) fn owned(&self) -> Result<Vec<Owned>, Damaged> {
        let owner = |buffer| {
            let at = self.places.owner(buffer as usize);
            let owner = words::owner_of(self.load(at), self.load(at + 1));
            owner.map(|owner| owner.map(|(shard, generation)| Owned { buffer, shard, generation }))
        };
        (0..self.head.buffers).filter_map(|buffer| owner(buffer).transpose()).collect()
    }

    /// Whether its writer died before it had a file.
    pub(in crate::write) fn is_unused(&self) -> bool {
        // The whereabouts of the first file go to the other record: its writer can have died within their stores.
        let record = words::load(&self.memory, self.places.whereabouts(0));
        let is_new = self.load(BOUNDS) == 0 && self.load(CURRENT) == 0;
        is_new
            && record.iter().all(|word| *word == 0)
            && self.owned().is_ok_and(|owned| owned.is_empty())
    }

    /// Removes the map if all its records are in files: if no part is on its way, and no buffer waits for its place.
    pub(in crate::write) fn remove_if_empty(&self) {
        let has_place = |owned: &Owned| {
            owned.generation < self.load(self.places.track(owned.shard as usize).start)
        };
        let is_on_its_way = self.bounds().is_ok_and(|(first, next)| first != next);
        if !is_on_its_way && self.owned().is_ok_and(|owned| owned.iter().all(has_place)) {
            // A map that stays is found to be empty at the next opening.
            let _ = self.remove();
        }
    }

    /// Removes the map: all its records are in files.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn remove(&self) -> Result<(), Error> {
        fault::kill_point("an empty map");
        self.file.remove()?;
        fault::kill_point("no map");
        Ok(())
    }
}

impl Drop for CrashMap {
    /// The map of a logger that was opened and never used, or was closed. A map that another process made is removed by
    /// its salvager alone.
    fn drop(&mut self) {
        if self.is_new {
            self.remove_if_empty();
        }
    }
}

impl fmt::Debug for CrashMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashMap").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The head in these bytes, if a map with this head can be read here and now.
fn head_of(bytes: &[u8]) -> Result<MapHead, String> {
    let head = MapHead::decode(bytes).map_err(|why| match why {
        NotAMap::Damaged => "its head is damaged".to_owned(),
        NotAMap::Version(version) => format!("it is of the unknown version {version}"),
    })?;
    if head.boot == boot_id() {
        Ok(head)
    } else {
        Err("it is of another boot of the machine, and can hold anything".to_owned())
    }
}

fn directory_of(place: &CrashPlace) -> Result<PathBuf, Error> {
    match place {
        CrashPlace::SharedMemory => private_directory(Path::new(SHARED_MEMORY)),
        CrashPlace::Directory(path) => Ok(path.clone()),
    }
}

/// Bytes of the words, in whole units of the alignment: the buffers follow.
fn words_len(head: &MapHead) -> Option<u64> {
    (Places::of(head).len() as u64 * 8).checked_next_multiple_of(u64::from(head.align))
}

/// The length of the file, in whole pages.
fn file_len(head: &MapHead, bytes: usize) -> Option<u64> {
    let bytes = (bytes as u64).checked_next_multiple_of(4096)?;
    words_len(head)?.checked_add(bytes)?.checked_add(MAP_HEAD_LEN as u64)
}

/// Whether the sizes are possible at all, so that no sum of them overflows.
fn is_sane(head: &MapHead) -> bool {
    let MapHead { align, capacity, buffers, shards, slots, .. } = head;
    let most = 1 << 20;
    align.is_power_of_two()
        && (4096..=MAX_ALIGN as u32).contains(align)
        && *capacity as usize <= MAX_CAPACITY
        && [buffers, shards, slots].iter().all(|count| (1..=most).contains(*count))
        && slots.is_power_of_two()
}

/// The id of the running kernel's boot; zeroes if the system does not tell.
pub(in crate::write) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
}
