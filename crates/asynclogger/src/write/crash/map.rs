//! The map: a file in memory with a head, the words of the account, and the buffers.

use std::{
    fmt, io,
    ops::Range,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

use super::words::{self, Places};
use crate::{
    CrashSafe, Error, ErrorKind,
    config::CrashPlace,
    format::{MAP_HEAD_LEN, MAX_ALIGN, MAX_CAPACITY, MapHead, map_head::NotAMap},
    io::{Directory, Found, MapFile, private_directory},
    mem::{Arena, Piece, SharedMemory},
    sync::{Arc, AtomicUsize, Ordering},
    write::common::fault,
};

/// The directory that all users share, and the file systems in memory below it.
const SHARED_MEMORY: &str = "/dev/shm";

/// The places for events that get memory at a time.
const FIRST_EVENTS: usize = 64;

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
    /// The number of places for events that have memory.
    ready: AtomicUsize,
    /// Whether this process made the map.
    is_new: bool,
}

/// A buffer that belongs to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) struct Owned {
    pub(in crate::write) buffer: u32,
    pub(in crate::write) shard: u32,
    pub(in crate::write) generation: u64,
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
    /// `None` if none has and the setting allows that. Only `parts` of the bytes are allocated.
    ///
    /// # Errors
    /// Those of the last place that was tried.
    pub(in crate::write) fn create(
        setting: &CrashSafe,
        head: &MapHead,
        bytes: usize,
        parts: &[Range<usize>],
    ) -> Result<Option<CrashMap>, Error> {
        let mut refused = None;
        for place in setting.places() {
            match CrashMap::create_in(place, head, bytes, parts) {
                Ok(map) => return Ok(Some(map)),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if !setting.is_optional() => Err(error),
            _ => Ok(None),
        }
    }

    fn create_in(
        place: &CrashPlace,
        head: &MapHead,
        bytes: usize,
        parts: &[Range<usize>],
    ) -> Result<CrashMap, Error> {
        let absurd = |what: &str| Error::new(ErrorKind::CrashMap, what.to_owned());
        let encoded =
            head.encode().ok_or_else(|| absurd("the log's path is too long for a map"))?;
        let len = file_len(head, bytes).ok_or_else(|| absurd("a map cannot be this long"))?;
        let directory = Directory::open_or_create(&directory_of(place)?)?;
        let stem = format!("{}-{:016x}", head.log_id, head.session);
        let (places, ready) = (Places::of(head), FIRST_EVENTS.min(head.logs as usize));
        let parts = parts.iter().map(|part| in_file(head, part));
        let parts = std::iter::once(0..words_end(head, &places, ready)).chain(parts);
        let file = MapFile::create(directory, &stem, &encoded, len, parts)?;
        let memory = match map_memory(head, &file, len) {
            Ok(memory) => memory,
            Err(error) => {
                // Nobody has used it.
                let _ = file.remove();
                return Err(error);
            }
        };
        let (head, ready) = (head.clone(), AtomicUsize::new(ready));
        Ok(CrashMap { head, places, memory, file, ready, is_new: true })
    }

    /// The maps in the places of this setting, each with its directory's result.
    pub(in crate::write) fn find(
        setting: &CrashSafe,
    ) -> impl Iterator<Item = Result<Vec<PathBuf>, Error>> {
        let places = setting.places().iter();
        places.map(|place| directory_of(place).and_then(|directory| CrashMap::find_in(&directory)))
    }

    /// The maps in this directory; a missing directory has none.
    ///
    /// # Errors
    /// The system's errors.
    fn find_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
        if matches!(directory.try_exists(), Ok(false)) {
            return Ok(Vec::new());
        }
        let names =
            Directory::open_or_create(directory).and_then(|found| MapFile::names(&found))?;
        Ok(names.into_iter().map(|name| directory.join(name)).collect())
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
        CrashMap::read(path, MapFile::open(path)?)
    }

    /// As [`open`](CrashMap::open), for a look: a copy, whose changes are nobody's, and without the lock.
    ///
    /// # Errors
    /// The system's errors; [`ErrorKind::CrashMap`] if there is no memory for the copy.
    pub(in crate::write) fn copy(path: &Path) -> Result<Opening, Error> {
        CrashMap::read(path, MapFile::copy(path)?)
    }

    fn read(path: &Path, found: Found) -> Result<Opening, Error> {
        let file = match found {
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
            || file_len(&head, 0).is_none_or(|least| least > len)
            || !len.is_multiple_of(4096)
        {
            return Ok(Opening::Unusable("its sizes contradict each other".into()));
        }
        // Its writer had all that its account speaks of. For what is damaged there must be memory, too: a page that the
        // file system cannot give would be the end of this process.
        file.allocate(0..in_file(&head, &(0..0)).end).map_err(failed)?;
        let memory = map_memory(&head, &file, len).map_err(|error| error.at_path(path))?;
        let (places, ready) = (Places::of(&head), AtomicUsize::new(head.logs as usize));
        let map = CrashMap { head, places, memory, file, ready, is_new: false };
        Ok(Opening::Opened(Box::new(map)))
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

    /// Allocates a range of the bytes, in whole pages. Nobody touches a byte before that.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn allocate(&self, range: &Range<usize>) -> io::Result<()> {
        fault::kill_point("memory is allocated");
        self.file.allocate(in_file(&self.head, range))
    }

    /// Notes that so many of the bytes were allocated for the first time: they are not promised any more.
    pub(in crate::write) fn note_allocated(&self, bytes: usize) {
        self.file.note_allocated(bytes as u64);
    }

    /// Whether a place for an event has memory. Without memory nothing was ever stored there.
    pub(super) fn is_ready(&self, log: usize) -> bool {
        // Acquire pairs with the Release in `make_ready`.
        log < self.ready.load(Ordering::Acquire)
    }

    /// Gives the places for events before `upto` memory, and some more. Returns whether there were any without it.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn make_ready(&self, upto: usize) -> io::Result<bool> {
        let logs = self.head.logs as usize;
        let (had, upto) = (self.ready.load(Ordering::Acquire), upto.min(logs));
        if had >= upto {
            return Ok(false);
        }
        let upto = upto.max(had + FIRST_EVENTS).min(logs);
        let end = |logs| words_end(&self.head, &self.places, logs);
        fault::kill_point("words are allocated");
        self.file.allocate(end(had)..end(upto))?;
        // Release pairs with the Acquire in `is_ready`.
        let before = self.ready.fetch_max(upto, Ordering::Release);
        self.file.note_allocated(end(upto.max(before)) - end(before));
        Ok(true)
    }

    /// Gives more places for events memory. Returns whether there were any without it.
    ///
    /// # Errors
    /// The system's errors.
    pub(in crate::write) fn grow(&self) -> io::Result<bool> {
        self.make_ready((self.ready.load(Ordering::Acquire) + 1).min(self.head.logs as usize))
    }

    /// What it means that memory could not be allocated.
    pub(in crate::write) fn lacks_room(&self, error: &io::Error) -> Error {
        self.file.lacks_room(error)
    }

    /// The bytes of the shared buffers of a manager: its pieces follow.
    fn buffer_bytes(&self) -> usize {
        let pieces = self.head.pieces as usize * self.head.piece as usize;
        self.memory.bytes().saturating_sub(pieces)
    }

    /// The memory for the events of a manager, of which the first pieces are allocated.
    pub(in crate::write) fn arena(self: &Arc<CrashMap>, allocated: u32) -> Arc<Arena> {
        let pieces = (self.head.pieces, self.head.piece as usize);
        let marks = (self.places.piece(0).start, words::PIECE);
        let (map, first) = (self.clone(), self.buffer_bytes());
        let allocate = move |part: Range<usize>| {
            map.allocate(&(first + part.start..first + part.end))?;
            map.note_allocated(part.len());
            Ok(())
        };
        Arena::shared(&self.memory, first, pieces, marks, (allocated, Box::new(allocate)))
    }

    /// The pieces of the events of a dead manager. Those that belong to an event are allocated, whatever damage says.
    ///
    /// # Errors
    /// There is no memory for a piece that should have some.
    pub(in crate::write) fn pieces(&self) -> Result<Vec<Piece>, String> {
        let (count, piece) = (self.head.pieces, self.head.piece as usize);
        let first = self.buffer_bytes();
        for number in
            (0..count).filter(|number| self.piece_owner(*number).is_ok_and(|owner| owner.is_some()))
        {
            let start = first + number as usize * piece;
            self.allocate(&(start..start + piece)).map_err(|error| error.to_string())?;
        }
        Ok(Arena::left_in(&self.memory, first, (count, piece)))
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
        // First, since the old number belongs to the old records.
        self.sorted(buffer, 0, 0);
        let (at, word) = (self.places.owner(buffer as usize), words::owner_word(shard, generation));
        words::store_one(&self.memory, at + 1, words::checked(&[word]));
        words::store_one(&self.memory, at, word);
        fault::kill_point("a buffer has an owner");
    }

    /// Notes that a buffer's records are needed no more.
    pub(in crate::write) fn disown(&self, buffer: u32) {
        words::store_one(&self.memory, self.places.owner(buffer as usize), 0);
    }

    /// Notes how far a shared buffer is sorted: its records before this offset are with their events. `serial` counts
    /// the records that were sorted so far.
    pub(in crate::write) fn sorted(&self, buffer: u32, at: u32, serial: u32) {
        let place = self.places.sorted(buffer as usize);
        words::store_one(&self.memory, place, words::move_word(at, serial, place));
    }

    /// How far a shared buffer with an owner is sorted.
    ///
    /// # Errors
    /// The word is damaged.
    pub(in crate::write) fn sorted_to(&self, buffer: u32) -> Result<(u32, u32), String> {
        let place = self.places.sorted(buffer as usize);
        let word = words::load_one(&self.memory, place);
        let damaged = |_| "how far a shared buffer is sorted is damaged".to_owned();
        words::move_of(word, place).map_err(damaged)
    }

    /// The buffers that belong to a shard.
    ///
    /// # Errors
    /// The word of an owner is damaged.
    pub(in crate::write) fn owned(&self) -> Result<Vec<Owned>, String> {
        let owner = |buffer| {
            let at = self.places.owner(buffer as usize);
            let load = |at| words::load_one(&self.memory, at);
            let owner = words::owner_of(load(at), load(at + 1));
            owner.map(|owner| owner.map(|(shard, generation)| Owned { buffer, shard, generation }))
        };
        let owned = (0..self.head.buffers).filter_map(|buffer| owner(buffer).transpose());
        let owned: Result<Vec<_>, _> = owned.collect();
        owned.map_err(|_| "the owner of a buffer is damaged".to_owned())
    }

    /// Whether this process made the map.
    pub(in crate::write) fn is_new(&self) -> bool {
        self.is_new
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

/// Where a range of the bytes is in the file.
fn in_file(head: &MapHead, range: &Range<usize>) -> Range<u64> {
    let first = (MAP_HEAD_LEN as u64).saturating_add(words_len(head).unwrap_or(u64::MAX));
    first.saturating_add(range.start as u64)..first.saturating_add(range.end as u64)
}

/// Where the words of the first `logs` events end in the file, in whole pages.
fn words_end(head: &MapHead, places: &Places, logs: usize) -> u64 {
    let all = in_file(head, &(0..0)).end;
    if logs < head.logs as usize {
        let words = (places.upto(logs) as u64 * 8).next_multiple_of(4096);
        (MAP_HEAD_LEN as u64 + words).min(all)
    } else {
        all
    }
}

/// Bytes of the words, in whole units of the alignment: the buffers follow.
fn words_len(head: &MapHead) -> Option<u64> {
    (Places::of(head).len() as u64 * 8).checked_next_multiple_of(u64::from(head.align))
}

/// Bytes of the pieces of a manager.
fn pieces_len(head: &MapHead) -> u64 {
    u64::from(head.pieces) * u64::from(head.piece)
}

/// Maps the words and the bytes of a file of this length.
fn map_memory(head: &MapHead, file: &MapFile, len: u64) -> Result<Arc<SharedMemory>, Error> {
    let words = words_len(head).unwrap_or(u64::MAX);
    let len = len.saturating_sub(MAP_HEAD_LEN as u64);
    Ok(Arc::new(file.map(MAP_HEAD_LEN as u64, words, len, head.align as usize)?))
}

/// The length of the file, in whole pages.
fn file_len(head: &MapHead, bytes: usize) -> Option<u64> {
    let buffers = (bytes as u64).checked_next_multiple_of(u64::from(head.align))?;
    let bytes = buffers.checked_add(pieces_len(head))?;
    words_len(head)?.checked_add(bytes)?.checked_add(MAP_HEAD_LEN as u64)
}

/// Whether the sizes are possible at all, so that no sum of them overflows.
fn is_sane(head: &MapHead) -> bool {
    let MapHead { align, capacity, buffers, shards, slots, logs, pieces, piece, .. } = head;
    let most = 1 << 20;
    let is_of_manager = *logs > 0;
    let manager = is_of_manager == (*pieces > 0)
        && (!is_of_manager || (piece.is_power_of_two() && *piece >= 4096))
        && *logs <= most
        && *pieces <= 1 << 24;
    manager
        && align.is_power_of_two()
        && (4096..=MAX_ALIGN as u32).contains(align)
        && *capacity as usize <= MAX_CAPACITY
        && [buffers, shards, slots].iter().all(|count| (1..=most).contains(*count))
        && slots.is_power_of_two()
}

/// The path of the log's active file, or of a manager's directory.
pub(in crate::write) fn path_in(head: &MapHead) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(&head.path))
}

/// The id of the running kernel's boot; zeroes if the system does not tell.
pub(in crate::write) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or(0).to_le_bytes()
}
