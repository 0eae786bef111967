//! What the running server asks of the kernel, in order, as strace sees it; and whether everything
//! was durable whenever it said 201.
//!
//! One client at a time: then nothing may be waiting for a sync when an answer says that all is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Calls that change files, make them durable, or speak to clients and to PostgreSQL.
const CALLS: &str = "openat,mkdir,mkdirat,rename,renameat,unlink,unlinkat,pwrite64,pwritev,ftruncate,fsync,fdatasync,\
                     write,writev,sendto,sendmsg,recvfrom,recvmsg";

/// The command before the server's that writes its calls to `log`.
#[must_use]
pub fn tracer(log: &Path) -> Vec<String> {
    tracer_of(CALLS, log)
}

/// The same for some calls only; the others cost nothing.
#[must_use]
pub fn tracer_of(calls: &str, log: &Path) -> Vec<String> {
    let log = log.display();
    let words = format!("strace -D -f -q --seccomp-bpf -y -s 160 -A -o {log} -e trace={calls}");
    words.split(' ').map(str::to_owned).collect()
}

/// A tracer with a fault at those calls of each thread: strace's `error=EIO` or `signal=KILL`, and `3` or `3+5`.
#[must_use]
pub fn fault(mut tracer: Vec<String>, calls: &str, fault: &str, when: &str) -> Vec<String> {
    // A filter in the kernel lets a call go on before the signal comes, and then strace sends none.
    tracer.retain(|word| word != "--seccomp-bpf" || !fault.starts_with("signal"));
    tracer.extend(["-e".to_owned(), format!("inject={calls}:{fault}:when={when}")]);
    tracer
}

/// What the answers in a log were worth.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Answers 201.
    pub created: usize,
    /// Syncs of objects, of shards, and of the database's log.
    pub object_syncs: usize,
    pub directory_syncs: usize,
    pub log_syncs: usize,
    /// Syncs of the database's log that failed.
    pub failed_log_syncs: usize,
    /// Commits that PostgreSQL answered.
    pub commits: usize,
}

/// One call: when it begins, or when it has ended with what it returned.
struct Call<'a> {
    name: &'a str,
    arguments: String,
    /// `None`: it begins.
    returned: Option<&'a str>,
}

struct Sync {
    begun: usize,
    writes: BTreeSet<usize>,
    names: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Checker {
    data: PathBuf,
    answers: Answers,
    /// Writes of each file that are not synced, by number.
    unsynced: BTreeMap<PathBuf, BTreeSet<usize>>,
    /// Names in each directory that are not synced.
    unnamed: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// What a sync that has begun will have made durable.
    syncing: HashMap<u32, Sync>,
    made: HashSet<PathBuf>,
    /// Logs of the database that a sync failed on and that were not written anew from their beginning.
    doubtful: BTreeSet<PathBuf>,
    writes: usize,
    /// PostgreSQL's connections with a transaction that is not to be synced, and with one whose commit was
    /// sent at that time.
    relaxed: HashSet<String>,
    waiting: BTreeMap<String, usize>,
    time: usize,
    /// When the last sync of an object or of a shard had ended.
    objects_durable: usize,
    /// When the last commit that was answered, or the last sync of the log that succeeded, had begun.
    commit_begun: usize,
    is_committed: bool,
}

/// Reads a log and checks the order: an object's bytes and name before the commit, the commit before 201.
///
/// # Errors
/// With the first answer that came too early, and what was missing.
pub fn check(log: &str, data: &Path) -> Result<Answers> {
    Ok(read(log, data)?.answers)
}

/// Reads the log of who makes or restores backups and checks the order in the directory that is filled: its mark
/// before anything else, all else before the description, the description before anything goes, and everything
/// before the end. Gives the files and directories that were made.
///
/// # Errors
/// With the first call that came too early, and what was missing.
pub fn check_backup(log: &str, directory: &Path) -> Result<HashSet<PathBuf>> {
    let checker = read(log, directory)?;
    checker.nothing_is_left("the end")?;
    Ok(checker.made)
}

fn read(log: &str, data: &Path) -> Result<Checker> {
    let mut checker = Checker { data: data.to_owned(), ..Checker::default() };
    let mut begun: HashMap<u32, String> = HashMap::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').context("a line begins with a thread")?;
        let (thread, rest): (u32, &str) = (thread.parse()?, rest.trim_start());
        let (name, arguments, returned) = if let Some(resumed) = rest.strip_prefix("<... ") {
            let (name, rest) = resumed.split_once(" resumed>").context("resumed")?;
            let mut arguments = begun.remove(&thread).unwrap_or_default();
            let (more, returned) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
            arguments.push_str(more.trim_end());
            (name, arguments, Some(returned))
        } else if let Some((name, rest)) = rest.split_once('(').filter(|(name, _)| !name.contains(' ')) {
            if let Some(arguments) = rest.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, arguments.to_owned());
                checker.begins(thread, &Call { name, arguments: arguments.to_owned(), returned: None })?;
                continue;
            }
            let (arguments, returned) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
            let arguments = arguments.trim_end();
            checker.begins(thread, &Call { name, arguments: arguments.to_owned(), returned: None })?;
            (name, arguments.to_owned(), Some(returned))
        } else {
            continue;
        };
        checker.ends(thread, &Call { name, arguments, returned }).with_context(|| line.to_owned())?;
    }
    Ok(checker)
}

/// What a directory has while it is not whole, and what makes it a backup.
const MARKS: [&str; 2] = ["unfinished", "restoring"];
const DESCRIPTION: &str = "backup.json";

impl Checker {
    fn begins(&mut self, thread: u32, call: &Call<'_>) -> Result<()> {
        self.time += 1;
        let file = file_of(&call.arguments);
        match call.name {
            "fsync" | "fdatasync" => {
                let writes = self.unsynced.get(&file).cloned().unwrap_or_default();
                let names = self.unnamed.get(&file).cloned().unwrap_or_default();
                self.syncing.insert(thread, Sync { begun: self.time, writes, names });
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                if call.arguments.contains("\"HTTP/1.1 201 ") {
                    self.answer()?;
                }
                let socket = file.display().to_string();
                if call.arguments.contains("synchronous_commit = off") {
                    self.relaxed.insert(socket.clone());
                }
                if call.arguments.contains("COMMIT\\0") {
                    self.waiting.insert(socket, self.time);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ends(&mut self, thread: u32, call: &Call<'_>) -> Result<()> {
        self.time += 1;
        let returned = call.returned.unwrap_or("?");
        let has_failed = returned.starts_with('-') || returned.starts_with('?');
        let file = file_of(&call.arguments);
        match call.name {
            "openat" if call.arguments.contains("O_CREAT") && !has_failed => {
                self.name(&file_of(returned));
            }
            "mkdir" | "mkdirat" if !has_failed => self.name(&path_of(&call.arguments)),
            "rename" | "renameat" if !has_failed => {
                let mut names = call.arguments.split('"').skip(1).step_by(2).map(PathBuf::from);
                let (from, to) = (names.next().context("a name")?, names.next().context("a new name")?);
                if to.ends_with(DESCRIPTION) {
                    self.nothing_is_left(&format!("the name of {DESCRIPTION}"))?;
                }
                if let Some(writes) = self.unsynced.remove(&from) {
                    self.unsynced.insert(to.clone(), writes);
                }
                for names in self.unnamed.values_mut() {
                    names.remove(&from);
                }
                // The name is made once more, of another file.
                self.made.remove(&from);
                self.made.remove(&to);
                self.name(&to);
            }
            "unlink" | "unlinkat" if !has_failed => {
                let path = path_of(&call.arguments);
                ensure!(
                    !self.is_unnamed(&[DESCRIPTION]),
                    "{} went before the name of {DESCRIPTION} was synced",
                    path.display()
                );
                // An object that is back after a power cut is garbage once more.
                if self.matters(&path) && !path.starts_with(self.data.join("objects")) {
                    let parent = path.parent().context("a file is in a directory")?.to_owned();
                    self.unnamed.entry(parent).or_default().insert(path);
                }
            }
            "pwrite64" | "pwritev" | "ftruncate" | "write" | "writev"
                if self.matters(&file) && !has_failed =>
            {
                if call.arguments.ends_with(", 0)") {
                    self.doubtful.remove(&file);
                }
                // SQLite's header: what the log held so far is in the database.
                if is_log(&file) && call.arguments.ends_with(", 32, 0)") {
                    let database = database_of(&file);
                    let writes = self.unsynced.get(&database);
                    ensure!(
                        writes.is_none_or(BTreeSet::is_empty),
                        "{} began anew before {} was synced",
                        file.display(),
                        database.display()
                    );
                }
                ensure!(
                    call.name != "pwrite64" || !self.is_unnamed(&MARKS),
                    "{} was written before the name of a mark was synced",
                    file.display()
                );
                self.writes += 1;
                self.unsynced.entry(file).or_default().insert(self.writes);
            }
            "fsync" | "fdatasync" => {
                let sync = self.syncing.remove(&thread).context("a sync that has begun")?;
                if has_failed {
                    if is_log(&file) {
                        self.answers.failed_log_syncs += 1;
                        self.doubtful.insert(file);
                    }
                    return Ok(());
                }
                if let Some(unsynced) = self.unsynced.get_mut(&file) {
                    unsynced.retain(|write| !sync.writes.contains(write));
                }
                if let Some(unnamed) = self.unnamed.get_mut(&file) {
                    unnamed.retain(|name| !sync.names.contains(name));
                }
                let objects = self.data.join("objects");
                let is_shard = file.parent() == Some(&objects);
                if is_shard || file.starts_with(&objects) && file != objects {
                    self.objects_durable = self.time;
                    self.answers.directory_syncs += usize::from(is_shard);
                    self.answers.object_syncs += usize::from(!is_shard);
                }
                if is_log(&file) {
                    (self.commit_begun, self.is_committed) = (sync.begun, true);
                    self.answers.log_syncs += 1;
                }
            }
            "recvfrom" | "recvmsg" if call.arguments.contains("COMMIT\\0") => {
                let socket = file.display().to_string();
                let begun = self.waiting.remove(&socket).context("a commit that was sent")?;
                if !self.relaxed.remove(&socket) {
                    (self.commit_begun, self.is_committed) = (begun, true);
                    self.answers.commits += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn name(&mut self, path: &Path) {
        // A name that is opened for making once more is there already.
        let is_new = path.starts_with(&self.data) && self.made.insert(path.to_owned());
        if let (true, true, Some(parent)) = (is_new, self.matters(path), path.parent()) {
            self.unnamed.entry(parent.to_owned()).or_default().insert(path.to_owned());
        }
    }

    /// What is rebuilt, rolled back or only held is no loss.
    fn matters(&self, path: &Path) -> bool {
        let name = path.to_string_lossy();
        let spared = ["-shm", "-journal", "/lock"];
        path.starts_with(&self.data) && !spared.iter().any(|end| name.ends_with(end))
    }

    fn is_unnamed(&self, names: &[&str]) -> bool {
        let mut unnamed = self.unnamed.get(&self.data).into_iter().flatten();
        unnamed.any(|path| names.iter().any(|name| path.ends_with(name)))
    }

    fn nothing_is_left(&self, event: &str) -> Result<()> {
        for (file, writes) in &self.unsynced {
            // The log holds whatever is not synced in the database.
            let is_logged = self.unsynced.keys().any(|log| is_log(log) && database_of(log) == *file);
            ensure!(is_logged || writes.is_empty(), "{event} before {} was synced", file.display());
        }
        for (directory, names) in &self.unnamed {
            ensure!(
                names.is_empty(),
                "{event} before {} was synced, with the names {names:?}",
                directory.display()
            );
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<()> {
        self.answers.created += 1;
        self.nothing_is_left("201")?;
        ensure!(self.doubtful.is_empty(), "201 although a sync of {:?} failed", self.doubtful);
        ensure!(std::mem::take(&mut self.is_committed), "201 without a commit that is synced");
        ensure!(self.objects_durable < self.commit_begun, "the commit began before the object was synced");
        Ok(())
    }
}

/// The file, directory or socket of the first descriptor: `9</data/objects/3f>`.
fn file_of(text: &str) -> PathBuf {
    let path = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
    PathBuf::from(path)
}

/// What a call that names a file in a directory is about.
fn path_of(arguments: &str) -> PathBuf {
    let name = arguments.split('"').nth(1).unwrap_or("");
    file_of(arguments).join(name)
}

fn database_of(log: &Path) -> PathBuf {
    PathBuf::from(log.to_string_lossy().trim_end_matches("-wal"))
}

fn is_log(file: &Path) -> bool {
    file.to_string_lossy().ends_with("-wal")
}
