//! Indicators of compromise in force: read from the configured paths and from what people uploaded, exchanged whole while the engine runs.
//!
//! | part | what it is |
//! |---|---|
//! | `shelf` | uploads at rest: `data/indicators/<source>.feed` and `.json` beside it, written whole or not at all |
//! | `arm` | the sources as signed layers, on their way to agents' edges |
//! | `files` | the same files for commands that ask no server |
//! | `taxii` | sources read from TAXII 2.1 servers, which become uploads |
//! | `history` | what is new, looked for among stored events |
//!
//! Must stay true:
//! - A reader of the set (the engine's thread, a request) holds one `Arc` of it: a change is seen between two events, never within one.
//! - A source that cannot be read is named and left out; the others stay in force.
//! - An upload is on disk before it is in force, and gone from the disk before it is out of force.
//!
//! Limits: `SOURCES_MAX` sources, `FEED_BYTES_MAX` bytes each, entries as `indicator::ENTRIES_MAX`.

mod arm;
mod files;
mod history;
mod shelf;
pub mod taxii;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use event::{AgentId, Event, Timestamp};
pub use indicator::Census;
use indicator::{Entry, Problem, ReadOptions, Set, SetBuilder, Tlp, Type};

pub use arm::{Armed, Armoury};
pub use files::{Loaded, load};
pub use history::{Bounds, Search, SearchState, hunt};
pub use shelf::{Upload, check_name};

/// Sources in force at once.
pub const SOURCES_MAX: usize = 512;
/// Bytes of one feed.
pub const FEED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Problems of a source shown to people.
pub const PROBLEMS_SHOWN: usize = 100;

/// One source in force, or one that could not be read.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub name: String,
    /// From the configuration, not from an upload: not to be removed through the API.
    pub configured: bool,
    pub path: PathBuf,
    pub format: &'static str,
    /// Entries taken.
    pub entries: u64,
    pub passed_over: u64,
    pub refused: u64,
    pub problems: Vec<Problem>,
    pub tlp: Tlp,
    pub added: Option<Timestamp>,
    pub by: String,
    pub expires: Option<Timestamp>,
    /// Uploads: its history was searched to the end.
    pub searched: bool,
}

/// Everything in force at one time.
#[derive(Default)]
pub struct Book {
    pub set: Set,
    pub sources: Vec<Source>,
    /// Rises with each reading.
    pub reading: u64,
}

/// Why a change was not made: English, Chinese.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String, pub String);

/// The indicators of this collector.
pub struct Indicators {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    book: RwLock<Arc<Book>>,
    /// Held by who changes the shelf.
    writing: Mutex<()>,
    searches: Mutex<Vec<Arc<Search>>>,
    matched: AtomicU64,
    /// Events marked, by the type of the surest indicator.
    marked: [AtomicU64; Type::ALL.len()],
    armed: Mutex<Armed>,
}

/// Searches remembered, the newest last.
const SEARCHES_MAX: usize = 64;

impl Indicators {
    /// Reads what is configured and what was uploaded.
    pub fn open(folder: &Path, paths: &[PathBuf]) -> Arc<Self> {
        let all = Arc::new(Self {
            folder: folder.to_owned(),
            paths: paths.to_vec(),
            book: RwLock::default(),
            writing: Mutex::default(),
            searches: Mutex::default(),
            matched: AtomicU64::new(0),
            marked: Default::default(),
            armed: Mutex::default(),
        });
        all.reload();
        all
    }

    /// What is in force now.
    pub fn book(&self) -> Arc<Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads everything again and exchanges it whole.
    pub fn reload(&self) -> Arc<Book> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_anew()
    }

    fn read_anew(&self) -> Arc<Book> {
        let mut builder = SetBuilder::new();
        let mut sources = Vec::new();
        let mut take = |source: Source, options: ReadOptions| {
            if sources.len() < SOURCES_MAX {
                sources.push(read(source, &options, &mut |e| builder.add(e)));
            }
        };
        for path in shelf::files(&self.paths) {
            let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            take(
                Source { name: name.clone(), configured: true, path, ..Source::default() },
                ReadOptions { source: name, ..ReadOptions::default() },
            );
        }
        for (upload, path) in shelf::uploads(&self.folder) {
            let options = upload.options();
            let source = Source {
                name: upload.source,
                path,
                tlp: options.tlp.unwrap_or_default(),
                added: Some(Timestamp::from_ns(upload.added_ns)),
                by: upload.by,
                expires: options.expires,
                searched: upload.searched,
                ..Source::default()
            };
            take(source, options);
        }
        let reading = self.book().reading + 1;
        let book = Arc::new(Book { set: builder.build(), sources, reading });
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = book.clone();
        book
    }

    /// Takes an upload: on disk, then in force. The answer names what was not taken. A feed of which nothing can be taken is refused.
    pub fn add(&self, upload: &Upload, bytes: &[u8]) -> Result<Source, Refused> {
        check_name(&upload.source)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let book = self.book();
        if book.sources.iter().any(|s| s.configured && s.name == upload.source) {
            return Err(Refused(
                format!("the configuration has a source '{}' already; choose another name", upload.source),
                format!("配置中已有来源“{}”，请换一个名称", upload.source),
            ));
        }
        if book.sources.len() >= SOURCES_MAX && !book.sources.iter().any(|s| s.name == upload.source) {
            return Err(Refused(format!("there are {SOURCES_MAX} sources already"), format!("来源已达 {SOURCES_MAX} 个")));
        }
        let mut taken = 0u64;
        let reading = indicator::read(bytes, &upload.options(), &mut |_| taken += 1);
        if taken == 0 {
            let first = reading.problems.first().map(|p| format!("; {p}")).unwrap_or_default();
            return Err(Refused(format!("no indicator in it{first}"), format!("其中没有可用的指标{first}")));
        }
        shelf::put(&self.folder, upload, bytes)?;
        let book = self.read_anew();
        book.sources
            .iter()
            .find(|s| !s.configured && s.name == upload.source)
            .cloned()
            .ok_or_else(|| Refused("the upload was kept and could not be read back".into(), "上传已保存，但无法读回".into()))
    }

    /// Whether an upload of this name has these very bytes.
    pub fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        let path = shelf::uploads(&self.folder).into_iter().find(|(u, _)| u.source == name).map(|(_, path)| path);
        path.and_then(|p| shelf::bytes(&p).ok()).is_some_and(|held| held == bytes)
    }

    /// Takes a source out of force; false if no upload has the name.
    pub fn remove(&self, name: &str) -> Result<bool, Refused> {
        check_name(name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let was = shelf::remove(&self.folder, name)?;
        if was {
            self.read_anew();
        }
        Ok(was)
    }

    /// The entries of one upload alone, for the search of history.
    pub fn alone(&self, name: &str) -> Option<Set> {
        let (upload, path) = shelf::uploads(&self.folder).into_iter().find(|(u, _)| u.source == name)?;
        let mut builder = SetBuilder::new();
        read(Source { path, ..Source::default() }, &upload.options(), &mut |e| builder.add(e));
        Some(builder.build())
    }

    /// The entries of one source alone, as it lies on disk.
    pub(crate) fn of(&self, source: &Source) -> Set {
        let upload = shelf::uploads(&self.folder).into_iter().find(|(u, _)| !source.configured && u.source == source.name);
        let options = upload.map_or_else(|| ReadOptions { source: source.name.clone(), ..ReadOptions::default() }, |(u, _)| u.options());
        let mut builder = SetBuilder::new();
        read(Source { path: source.path.clone(), ..Source::default() }, &options, &mut |e| builder.add(e));
        builder.build()
    }

    /// Puts the facts of what they hold on events that nobody else has seen yet. The collector's own events are not looked at.
    pub fn mark(&self, events: &mut [Arc<Event>]) {
        let book = self.book();
        if book.set.is_empty() {
            return;
        }
        for event in events.iter_mut().filter(|e| e.id.agent != AgentId(0)) {
            let Some(event) = Arc::get_mut(event) else { continue };
            let marks = indicator::mark(&book.set, event);
            if let Some(best) = &marks.best {
                if let Some(n) = Type::ALL.iter().position(|k| *k == best.kind).and_then(|at| self.marked.get(at)) {
                    n.fetch_add(1, Ordering::Relaxed);
                }
                self.matched.fetch_add(marks.count as u64, Ordering::Relaxed);
            }
        }
    }

    /// Events marked since the start, and indicators met in them.
    pub fn counts(&self) -> (u64, u64) {
        let (by_type, hits) = self.hits();
        (by_type.iter().sum(), hits)
    }

    /// Events marked since the start by the type of the surest indicator, in the order of `Type::ALL`, and indicators met in all.
    pub fn hits(&self) -> ([u64; Type::ALL.len()], u64) {
        (self.marked.each_ref().map(|n| n.load(Ordering::Relaxed)), self.matched.load(Ordering::Relaxed))
    }

    /// What agents were last told.
    pub fn armed(&self) -> Armed {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn arm(&self, armed: Armed) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = armed;
    }

    /// How the searches of history stand that are remembered.
    pub fn search_states(&self) -> Vec<SearchState> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|s| s.state()).collect()
    }

    /// Uploads whose history was not searched to the end: new, or the collector stopped meanwhile.
    pub fn unsearched(&self) -> Vec<String> {
        self.book().sources.iter().filter(|s| !s.configured && !s.searched).map(|s| s.name.clone()).collect()
    }

    /// A search begins; its progress is shown from now on.
    pub fn begin_search(&self, source: &str) -> Arc<Search> {
        let search = Arc::new(Search::new(source));
        let mut all = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|s| s.source != source);
        if all.len() >= SEARCHES_MAX {
            all.remove(0);
        }
        all.push(search.clone());
        search
    }

    /// A search came to its end: not to be done again after a restart.
    pub fn end_search(&self, source: &str) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf::mark_searched(&self.folder, source).is_ok() {
            let mut slot = self.book.write().unwrap_or_else(PoisonError::into_inner);
            // The set itself is not rebuilt: only what is known of the source changes, at the next reading.
            if let Some(book) = Arc::get_mut(&mut slot) {
                book.sources.iter_mut().filter(|s| s.name == source).for_each(|s| s.searched = true);
            }
        }
    }

    pub fn search(&self, source: &str) -> Option<Arc<Search>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|s| s.source == source).cloned()
    }
}

fn read(mut source: Source, options: &ReadOptions, out: &mut dyn FnMut(Entry<'_>)) -> Source {
    match shelf::bytes(&source.path) {
        Ok(bytes) => {
            let reading = indicator::read(&bytes, options, out);
            source.format = reading.format.name();
            (source.entries, source.passed_over, source.refused) = (reading.taken, reading.passed_over, reading.refused());
            source.problems = reading.problems;
            source.problems.truncate(PROBLEMS_SHOWN);
        }
        Err(error) => {
            source.refused = 1;
            source.problems = vec![Problem { line: 0, value: source.path.display().to_string(), reason: error }];
        }
    }
    source
}
