//! What only the file system can show: full disks, cut files, modes, names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use wharfinger_blobstore::contract::{chunk, noise, read, write};
use wharfinger_blobstore::{BlobStore, CHUNK_SIZE, ChunkPool, Error, FileStore, ObjectId};

use crate::Scratch;

const PIECE: u64 = 256 * 1024;

fn file(root: &Path, id: &ObjectId) -> PathBuf {
    root.join(&id.as_str()[30..]).join(id.as_str())
}

async fn stored(store: &FileStore, bytes: &[u8]) -> ObjectId {
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.unwrap();
    write(&mut *writer, &ChunkPool::new(1), bytes).await;
    writer.sync().await.unwrap();
    id
}

#[tokio::test]
async fn a_store_opened_again_has_its_objects_in_256_private_shards() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.root()).await.unwrap();
    let id = stored(&store, b"kept").await;
    drop(store);
    let store = FileStore::open(&scratch.root()).await.unwrap();
    assert_eq!(read(&store, &id, 0..4).await.unwrap(), b"kept");
    assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 256);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!((mode(&scratch.root()), mode(&file(&scratch.root(), &id))), (0, 0));
}

#[tokio::test]
async fn a_root_that_can_not_be_made_is_named() {
    let error = FileStore::open(Path::new("/nowhere/at/all")).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn a_file_cut_under_a_reader_ends_in_short() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.root()).await.unwrap();
    let id = stored(&store, &noise(1, 4 * PIECE as usize)).await;
    let mut pieces = store.open(&id).await.unwrap().read(0..4 * PIECE);
    assert_eq!(pieces.next().await.unwrap().unwrap().len() as u64, PIECE);
    let cut = fs::OpenOptions::new().write(true).open(file(&scratch.root(), &id)).unwrap();
    cut.set_len(2 * PIECE + 5).unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap().len() as u64, PIECE);
    let error = pieces.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Short { found, .. } if found == 2 * PIECE + 5), "{error:?}");
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn bytes_that_are_not_in_the_page_cache_read_the_same() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.root()).await.unwrap();
    let bytes = noise(2, 5 * CHUNK_SIZE + 99);
    let id = stored(&store, &bytes).await;
    let handle = fs::File::open(file(&scratch.root(), &id)).unwrap();
    rustix::fs::fadvise(&handle, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let found = read(&store, &id, 0..bytes.len() as u64).await.unwrap();
    assert!(found == bytes, "bytes differ");
}

/// A runtime whose blocking work queues up behind one gate at a time.
fn one_blocking_thread() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.max_blocking_threads(1).build().unwrap()
}

/// Keeps the one blocking thread busy until the gate is dropped.
fn gate() -> std::sync::mpsc::Sender<()> {
    let (gate, dropped) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || dropped.recv());
    gate
}

#[test]
fn a_cancelled_sync_poisons_the_writer() {
    one_blocking_thread().block_on(async {
        let scratch = Scratch::new();
        let store = FileStore::open(&scratch.root()).await.unwrap();
        let mut writer = store.create(&ObjectId::fresh()).await.unwrap();
        let gate = gate();
        assert!(writer.sync().now_or_never().is_none());
        drop(gate);
        assert!(matches!(writer.sync().await, Err(Error::Poisoned { .. })));
    });
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_dropped_writer_closes_its_file_even_after_a_cancelled_write() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.root()).await.unwrap();
    let (id, pool) = (ObjectId::fresh(), ChunkPool::new(1));
    let mut writer = store.create(&id).await.unwrap();
    let path = fs::canonicalize(file(&scratch.root(), &id)).unwrap();
    assert!(is_open(&path));
    let _ = writer.write(chunk(&pool, &noise(4, CHUNK_SIZE)).await).now_or_never();
    drop(writer);
    wait_until("the object is closed", || !is_open(&path));
    assert!(pool.take().now_or_never().is_some(), "the chunk was not given back");
}

fn is_open(path: &Path) -> bool {
    let files = fs::read_dir("/proc/self/fd").unwrap();
    files.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path))
}

/// Unmounted at the end, whatever the test does.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_poisons_and_a_resume_goes_on_when_there_is_room() {
    let scratch = Scratch::new();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&scratch.0)
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: mounting a tmpfs of 4 MiB needs root");
        return;
    }
    let _mount = Mount(scratch.0.clone());
    let store = FileStore::open(&scratch.root()).await.unwrap();
    let (pool, part) = (ChunkPool::new(1), noise(5, CHUNK_SIZE));
    let hog = stored(&store, &part).await;
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.unwrap();
    let error = loop {
        if let Err(error) = writer.write(chunk(&pool, &part).await).await {
            break error;
        }
        assert!(writer.offset() < 4 * CHUNK_SIZE as u64, "more than the disk holds");
    };
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    let after = writer.write(chunk(&pool, b"small").await).await;
    assert!(matches!(after, Err(Error::Poisoned { .. })));
    assert!(matches!(writer.sync().await, Err(Error::Poisoned { .. })));

    store.remove(&hog).await.unwrap();
    let good = writer.offset();
    let mut writer = store.resume(&id, good).await.unwrap();
    write(&mut *writer, &pool, b"tail").await;
    writer.sync().await.unwrap();
    assert_eq!(read(&store, &id, good..good + 4).await.unwrap(), b"tail");
}
