//! A disk in memory that knows what a power cut may take: whatever was not synced, names included.
//!
//! Everything that a caller does is an effect in a history. A write is three: each half of its bytes,
//! and the new size. Until a sync covers it, an effect is on its own: a power cut keeps or drops it
//! whatever becomes of the others, so that files come back torn, cut, with holes of zeros, or without
//! their name. Real file systems promise a little more; a program that needs no more runs on all.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile, NameIter};

/// With more effects in the balance than this, their subsets are sampled.
const ENUMERATED: usize = 12;

/// A disk whose clones share their content.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    /// What was durable when the history began.
    before: State,
    history: Vec<Effect>,
    /// What a running program sees.
    now: State,
    files: usize,
    calls: Vec<Call>,
    fault: Option<Fault>,
}

/// One thing that happened.
enum Effect {
    Directory(String),
    Name(String, usize),
    Unname(String),
    Bytes { file: usize, offset: usize, bytes: Vec<u8> },
    Size { file: usize, size: usize },
    SyncFile(usize, Synced),
    SyncDirectory(String, Synced),
    Note(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Synced {
    Done,
    Failed,
}

/// What is on a disk: directories and objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Image {
    directories: Directories,
    /// The content of each object that can be reached, by name (`3f/<id>`).
    pub objects: BTreeMap<String, Vec<u8>>,
}

/// The root and the shards in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Directories {
    has_root: bool,
    shards: [u64; 4],
}

#[derive(Clone, Default)]
struct State {
    directories: Directories,
    names: BTreeMap<String, usize>,
    /// The bytes that were written, and how many of them count.
    files: HashMap<usize, (Vec<u8>, usize)>,
}

/// A call that changes or syncs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    MakeDirectory,
    Create,
    Write,
    Truncate,
    SyncFile,
    SyncDirectory,
    Remove,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It fails; a write has then written its first half.
    Fails { call: usize, error: io::ErrorKind },
    /// The process is gone before it is made.
    IsNotMade(Call),
}

impl Directories {
    fn contains(&self, name: &str) -> bool {
        match bit(name) {
            None => self.has_root,
            Some((word, bit)) => self.has_root && self.shards[word] & bit != 0,
        }
    }

    fn insert(&mut self, name: &str) {
        match bit(name) {
            None => self.has_root = true,
            Some((word, bit)) => self.shards[word] |= bit,
        }
    }
}

fn bit(shard: &str) -> Option<(usize, u64)> {
    let number = usize::from_str_radix(shard, 16).ok()?;
    Some((number / 64, 1 << (number % 64)))
}

impl State {
    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Directory(name) => self.directories.insert(name),
            Effect::Name(name, file) => {
                self.names.insert(name.clone(), *file);
            }
            Effect::Unname(name) => {
                self.names.remove(name);
            }
            Effect::Bytes { file, offset, bytes } => {
                let (content, _) = self.files.entry(*file).or_default();
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            Effect::Size { file, size } => {
                let (content, counted) = self.files.entry(*file).or_default();
                if size < counted {
                    content.truncate(*size);
                }
                *counted = *size;
            }
            Effect::SyncFile(..) | Effect::SyncDirectory(..) | Effect::Note(_) => {}
        }
    }

    fn content(&self, file: usize) -> Vec<u8> {
        let (mut content, size) = self.files.get(&file).cloned().unwrap_or_default();
        content.resize(size, 0);
        content
    }

    fn image(&self) -> Image {
        let reached = self.names.iter().filter(|(name, _)| self.directories.contains(parent(name)));
        let objects = reached.map(|(name, file)| (name.clone(), self.content(*file))).collect();
        Image { directories: self.directories.clone(), objects }
    }
}

/// The directory that a name is in.
fn parent(name: &str) -> &str {
    match name.split_once('/') {
        Some((shard, _)) => shard,
        None if name == "." => "..",
        None => ".",
    }
}

impl SimulatedDisk {
    /// A disk on which the root is a new directory, not yet durable.
    #[must_use]
    pub fn new() -> SimulatedDisk {
        let disk = SimulatedDisk::default();
        disk.lock().happen(Effect::Directory(".".to_owned()));
        disk
    }

    /// A disk on which that, and nothing else, is durable.
    #[must_use]
    pub fn restored(image: &Image) -> SimulatedDisk {
        let mut before = State { directories: image.directories.clone(), ..State::default() };
        before.directories.insert(".");
        for (file, (name, content)) in image.objects.iter().enumerate() {
            before.names.insert(name.clone(), file);
            before.files.insert(file, (content.clone(), content.len()));
        }
        let (now, files) = (before.clone(), image.objects.len());
        SimulatedDisk(Arc::new(Mutex::new(World { before, now, files, ..World::default() })))
    }

    /// Puts a note of the caller's into the history.
    pub fn note(&self, note: usize) {
        self.lock().happen(Effect::Note(note));
    }

    /// How much has happened, notes included.
    #[must_use]
    pub fn moments(&self) -> usize {
        self.lock().history.len()
    }

    /// The notes among what happened first.
    #[must_use]
    pub fn notes_before(&self, moment: usize) -> Vec<usize> {
        let world = self.lock();
        let noted = world.history[..moment].iter().filter_map(|effect| match effect {
            Effect::Note(note) => Some(*note),
            _ => None,
        });
        noted.collect()
    }

    /// The calls there were.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Lets a call fail, counted from the first there was.
    pub fn fail(&self, call: usize, error: io::ErrorKind) {
        self.lock().fault = Some(Fault::Fails { call, error });
    }

    /// The next sync of a directory has no effect, as when the process is killed before it.
    pub fn skip_directory_sync(&self) {
        self.lock().fault = Some(Fault::IsNotMade(Call::SyncDirectory));
    }

    /// What a running program sees.
    #[must_use]
    pub fn image(&self) -> Image {
        self.lock().now.image()
    }

    /// All that may be on the disk if the power was cut when so much had happened. Of more than
    /// twelve effects in the balance, none, all, and 4,096 choices that the seed decides.
    #[must_use]
    pub fn power_cut(&self, moment: usize, seed: u64) -> HashSet<Image> {
        let world = self.lock();
        let history = &world.history[..moment];
        let kept = durable(history);
        let image = |keeps: &mut dyn FnMut() -> bool| {
            let mut state = world.before.clone();
            for (effect, is_durable) in history.iter().zip(&kept) {
                if *is_durable || keeps() {
                    state.apply(effect);
                }
            }
            state.image()
        };
        let count = kept.iter().filter(|is_durable| !**is_durable).count();
        let mut images = HashSet::from([image(&mut || false), image(&mut || true)]);
        let mut random = seed | 1;
        for subset in 0u64..1 << count.min(ENUMERATED) {
            let mut subset = subset;
            images.insert(image(&mut || {
                let choice = if count > ENUMERATED { next(&mut random) } else { subset };
                subset >>= 1;
                choice & 1 == 1
            }));
        }
        images
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which effects are on the disk for certain. A sync makes those before it so, unless an earlier one
/// failed on them: the kernel then takes them for written, and no later sync brings them to the disk.
fn durable(history: &[Effect]) -> Vec<bool> {
    let mut kept = vec![false; history.len()];
    let mut waiting = Vec::new();
    for (at, effect) in history.iter().enumerate() {
        match effect {
            Effect::SyncFile(_, outcome) | Effect::SyncDirectory(_, outcome) => {
                kept[at] = true;
                waiting.retain(|&at: &usize| {
                    let is_covered = covers(effect, &history[at]);
                    kept[at] |= is_covered && *outcome == Synced::Done;
                    !is_covered
                });
            }
            Effect::Note(_) => kept[at] = true,
            _ => waiting.push(at),
        }
    }
    kept
}

fn covers(sync: &Effect, effect: &Effect) -> bool {
    match (sync, effect) {
        (Effect::SyncFile(synced, _), Effect::Bytes { file, .. } | Effect::Size { file, .. }) => {
            file == synced
        }
        (
            Effect::SyncDirectory(synced, _),
            Effect::Directory(name) | Effect::Name(name, _) | Effect::Unname(name),
        ) => parent(name) == synced,
        _ => false,
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 32
}

impl World {
    fn happen(&mut self, effect: Effect) {
        self.now.apply(&effect);
        self.history.push(effect);
    }

    /// Counts a call, which fails if the fault is about it; `false` if it is not to be made.
    fn begin(&mut self, call: Call) -> io::Result<bool> {
        let number = self.calls.len();
        self.calls.push(call);
        match self.fault {
            Some(Fault::Fails { call, error }) if call == number => Err(error.into()),
            Some(Fault::IsNotMade(lost)) if lost == call => {
                self.fault = None;
                Ok(false)
            }
            _ => Ok(true),
        }
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDisk")
    }
}

impl SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.lock();
        let file = *world.now.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }
}

impl Disk for SimulatedDisk {
    fn make_directory(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock();
        if !world.now.directories.contains(name) {
            world.begin(Call::MakeDirectory)?;
            world.happen(Effect::Directory(name.to_owned()));
        }
        Ok(())
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock();
        let began = world.begin(Call::SyncDirectory);
        if let Ok(false) = began {
            return Ok(());
        }
        let synced = if began.is_ok() { Synced::Done } else { Synced::Failed };
        world.happen(Effect::SyncDirectory(name.to_owned(), synced));
        began.map(drop)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.lock();
        if world.now.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !world.now.directories.contains(parent(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.begin(Call::Create)?;
        let file = world.files;
        world.files += 1;
        world.happen(Effect::Name(name.to_owned(), file));
        drop(world);
        self.open(name)
    }

    fn open_for_writing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name)
    }

    fn open_for_reading(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name)
    }

    fn open_cached(&self, name: &str) -> Option<Arc<dyn DiskFile>> {
        self.open(name).ok()
    }

    fn names(&self, shard: &str) -> io::Result<NameIter> {
        let world = self.lock();
        let in_shard = world.now.names.keys().filter_map(|name| name.strip_prefix(shard)?.strip_prefix('/'));
        let names: Vec<_> = in_shard.map(|name| Ok(name.to_owned())).collect();
        Ok(Box::new(names.into_iter()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock();
        if world.now.names.contains_key(name) {
            world.begin(Call::Remove)?;
            world.happen(Effect::Unname(name.to_owned()));
        }
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl SimulatedFile {
    fn size_in(&self, world: &World) -> usize {
        world.now.files.get(&self.file).map_or(0, |(_, size)| *size)
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size_in(&self.disk.lock()) as u64)
    }

    fn changed_at(&self) -> io::Result<i128> {
        Ok(0)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let (mut world, size) = (self.disk.lock(), usize::try_from(size).unwrap());
        if self.size_in(&world) != size {
            world.begin(Call::Truncate)?;
            world.happen(Effect::Size { file: self.file, size });
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut world, offset) = (self.disk.lock(), usize::try_from(offset).unwrap());
        let began = world.begin(Call::Write);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let second = if began.is_ok() { second } else { &[] };
        for (offset, half) in [(offset, first), (offset + first.len(), second)] {
            if !half.is_empty() {
                world.happen(Effect::Bytes { file: self.file, offset, bytes: half.to_vec() });
            }
        }
        let end = offset + first.len() + second.len();
        if self.size_in(&world) < end {
            world.happen(Effect::Size { file: self.file, size: end });
        }
        began.map(drop)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.lock();
        let began = world.begin(Call::SyncFile);
        let synced = if began.is_ok() { Synced::Done } else { Synced::Failed };
        world.happen(Effect::SyncFile(self.file, synced));
        began.map(drop)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.disk.lock().now.content(self.file);
        let from = content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.read_at(buffer, offset).unwrap_or(0)
    }
}
