//! The fault engine: files in memory that fail, tear, delay and reorder operations as a test demands, and know the
//! bytes that a power cut would leave.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{BlockFile, Completion, FileState, Operation};
use crate::{EngineKind, IoMode, format::SECTOR};

/// The way in which the disk answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// Operations fail with this error number and write nothing.
    Refuses(i32),
    /// Writes fail after this number of sectors.
    Tears(usize),
    /// Barriers fail, writes do not.
    SyncFails,
}

/// One file: the bytes written, and the bytes that a power cut would leave.
#[derive(Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges that a failed barrier did not write and the kernel has forgotten: no later barrier writes them.
    forgotten: Vec<Range<usize>>,
    done: VecDeque<Completion>,
}

struct Pending {
    file: usize,
    tag: u64,
    operation: Operation,
}

/// Files in the order in which they were made.
pub(crate) struct Disk {
    images: Vec<Image>,
    pub(crate) synced_writes: bool,
    pub(crate) align: usize,
    pub(crate) mood: Mood,
    /// Operations that are still to be answered in this mood.
    pub(crate) moody: usize,
    /// Operations so far. `fails_at` is the operation that begins the mood, unless a step of the test sets the mood.
    pub(crate) operations: usize,
    pub(crate) fails_at: Option<usize>,
    pub(crate) fails_for: usize,
    /// Whether operations stay in flight until a test lets them land.
    pub(crate) holds: bool,
    in_flight: Vec<Pending>,
    /// The end of the reserved space; 0 after the space was given back.
    pub(crate) reserved: u64,
}

/// A disk shared by its files and the test.
#[derive(Clone)]
pub(crate) struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    pub(crate) fn new(synced_writes: bool, align: usize) -> SharedDisk {
        SharedDisk(Arc::new(Mutex::new(Disk {
            images: Vec::new(),
            synced_writes,
            align,
            mood: Mood::Well,
            moody: 0,
            operations: 0,
            fails_at: None,
            fails_for: 1,
            holds: false,
            in_flight: Vec::new(),
            reserved: 0,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file, unless the disk's mood refuses.
    ///
    /// # Errors
    /// The error of the disk's mood.
    pub(crate) fn create(&self) -> io::Result<FaultFile> {
        let mut disk = self.lock();
        if let Some(error) = disk.refusal() {
            return Err(error);
        }
        disk.images.push(Image::default());
        let file = disk.images.len() - 1;
        drop(disk);
        Ok(FaultFile { disk: self.clone(), file })
    }

    /// Changes a name, unless the disk's mood refuses.
    ///
    /// # Errors
    /// The error of the disk's mood.
    pub(crate) fn rename(&self) -> io::Result<()> {
        self.lock().refusal().map_or(Ok(()), Err)
    }

    /// Removes the content of the last file.
    pub(crate) fn remove_last(&self) {
        if let Some(image) = self.lock().images.last_mut() {
            *image = Image::default();
        }
    }

    /// Opens the last file that is not empty again; with its length.
    pub(crate) fn last(&self) -> Option<(FaultFile, u64)> {
        let disk = self.lock();
        let file = disk.images.iter().rposition(|image| !image.live.is_empty())?;
        let len = disk.images[file].live.len() as u64;
        Some((FaultFile { disk: self.clone(), file }, len))
    }
}

impl Disk {
    fn mood(&mut self) -> Mood {
        self.operations += 1;
        if self.fails_at == Some(self.operations) {
            self.moody = self.fails_for;
        }
        if self.moody == 0 {
            return Mood::Well;
        }
        self.moody -= 1;
        self.mood
    }

    fn refusal(&mut self) -> Option<io::Error> {
        match self.mood() {
            Mood::Refuses(errno) => Some(io::Error::from_raw_os_error(errno)),
            Mood::Well | Mood::Tears(_) | Mood::SyncFails => None,
        }
    }

    /// The bytes written to each file.
    pub(crate) fn live(&self) -> Vec<Vec<u8>> {
        self.images.iter().map(|image| image.live.clone()).collect()
    }

    /// The bytes that a power cut would leave of each file.
    pub(crate) fn durable(&self) -> Vec<Vec<u8>> {
        self.images.iter().map(|image| image.durable.clone()).collect()
    }

    /// Operations in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Lets one of the operations in flight land, chosen by `pick`.
    pub(crate) fn land(&mut self, pick: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = pick % self.in_flight.len();
        let Pending { file, tag, operation } = self.in_flight.remove(at);
        let result = self.perform(file, &operation);
        self.images[file].done.push_back(Completion { tag, result });
    }

    fn perform(&mut self, file: usize, operation: &Operation) -> io::Result<()> {
        let mood = self.mood();
        let failed = |errno: i32| Err(io::Error::from_raw_os_error(errno));
        match operation {
            Operation::Write { bytes, offset } => {
                let offset = usize::try_from(*offset).expect("a small file");
                let bytes = bytes.to_vec();
                assert!(
                    offset.is_multiple_of(self.align) && bytes.len().is_multiple_of(self.align)
                );
                match mood {
                    Mood::Well | Mood::SyncFails => {
                        self.images[file].put(&bytes, offset);
                        if self.synced_writes {
                            self.images[file].make_durable(Some(offset..offset + bytes.len()));
                        }
                        Ok(())
                    }
                    Mood::Refuses(errno) => failed(errno),
                    Mood::Tears(sectors) => {
                        let len = bytes.len().min(sectors * SECTOR);
                        self.images[file].put(&bytes[..len], offset);
                        // After an error the medium, too, can hold any part of the range.
                        failed(5)
                    }
                }
            }
            Operation::Barrier => match mood {
                Mood::Well => {
                    self.images[file].make_durable(None);
                    Ok(())
                }
                Mood::Refuses(_) | Mood::Tears(_) | Mood::SyncFails => {
                    let image = &mut self.images[file];
                    let lost = image.durable.len()..image.live.len();
                    image.forgotten.push(lost);
                    failed(5)
                }
            },
            Operation::Reserve { offset, len } => match mood {
                Mood::Refuses(errno) => failed(errno),
                Mood::Well | Mood::Tears(_) | Mood::SyncFails => {
                    self.reserved = self.reserved.max(offset + len);
                    Ok(())
                }
            },
        }
    }
}

impl Image {
    fn put(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.live.resize(self.live.len().max(end), 0);
        self.live[offset..end].copy_from_slice(bytes);
        // A range that is written again is written by the next barrier.
        let outside = |range: &Range<usize>| {
            [range.start..range.end.min(offset), range.start.max(end)..range.end]
        };
        let left = self.forgotten.iter().flat_map(outside);
        self.forgotten = left.filter(|range| !range.is_empty()).collect();
    }

    /// Makes this range durable; `None`: all bytes.
    fn make_durable(&mut self, range: Option<Range<usize>>) {
        let range = range.unwrap_or(0..self.live.len());
        self.durable.resize(self.durable.len().max(range.end), 0);
        self.durable[range.clone()].copy_from_slice(&self.live[range]);
        for range in &self.forgotten {
            let range = range.start..range.end.min(self.durable.len());
            if range.start < range.end {
                self.durable[range].fill(0);
            }
        }
    }
}

/// A file of the disk.
pub(crate) struct FaultFile {
    disk: SharedDisk,
    file: usize,
}

impl BlockFile for FaultFile {
    fn submit(&mut self, tag: u64, operation: Operation) {
        let mut disk = self.disk.lock();
        disk.in_flight.push(Pending { file: self.file, tag, operation });
        if !disk.holds {
            let last = disk.in_flight.len() - 1;
            disk.land(last);
        }
    }

    fn reap(&mut self) -> Option<Completion> {
        self.disk.lock().images[self.file].done.pop_front()
    }

    fn write_now(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if let Some(error) = disk.refusal() {
            return Err(error);
        }
        let (file, offset) = (self.file, usize::try_from(offset).expect("a small file"));
        disk.images[file].put(bytes, offset);
        disk.images[file].make_durable(Some(offset..offset + bytes.len()));
        Ok(())
    }

    fn reserve_now(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.lock().perform(self.file, &Operation::Reserve { offset, len })
    }

    fn sync_now(&mut self) -> io::Result<()> {
        self.disk.lock().perform(self.file, &Operation::Barrier)
    }

    fn trim(&mut self) -> io::Result<()> {
        self.disk.lock().reserved = 0;
        Ok(())
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn mode(&self) -> IoMode {
        IoMode::Direct
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Pwritev2
    }

    fn room(&self) -> Option<u64> {
        None
    }

    fn state(&self) -> io::Result<FileState> {
        let len = self.disk.lock().images[self.file].live.len() as u64;
        let identity = (0, self.file as u64);
        Ok(FileState { identity, links: 1, len, on_disk: len, mode: 0o644 })
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Ok(())
    }
}
