//! Files of a plugin: below folders that are opened once, and out of which nothing leads.
//!
//! A path is relative to the workspace; `/out/…` and `/cache/…` name the plugin's private folders, `/workspace/…` the workspace again.
//! Each folder is a descriptor, and every path is resolved below it by the kernel (`openat2`): no link, no `..` and no renaming while
//! it is resolved leads out. Nothing here waits for what is no file: a FIFO is refused and not read.

mod git;
mod quota;

pub(crate) use self::quota::Quotas;

use self::quota::{ENTRY, Quota};
use super::blocking;
use crate::{
    failure::{Failure, FailureKind},
    policy::{
        fault::shown,
        files::{Access, DEEPEST, FILES, FilesRule, InvalidPath, Patterns, WorkspacePath},
    },
    service::{Answer, FileInfo, Files},
};
use cap_std::{
    ambient_authority,
    fs::{Dir, FileType, MetadataExt, OpenOptions, OpenOptionsExt},
};
use md5::Digest;
use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

/// The most that is read at once; more is read in parts. Fixed: that it is so is said in the contract.
const MOST_READ: u64 = 16 * 1024 * 1024;

/// The most paths on a page of `glob`.
const MOST_FOUND: u32 = 10_000;

/// How much is digested at once.
const PIECE: usize = 256 * 1024;

/// The folders that a plugin may be given. Which of them it gets is for its grant to say.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The step's workspace.
    pub workspace: Option<PathBuf>,
    /// A private folder whose files become artifacts.
    pub out: Option<PathBuf>,
    /// A folder that stays from run to run.
    pub cache: Option<Cache>,
}

/// A folder that stays.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes its files may have.
    pub quota: u64,
}

/// The open folders of one instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Folders(Arc<Roots>);

struct Roots {
    workspace: Option<Root>,
    out: Option<Root>,
    cache: Option<Root>,
}

struct Root {
    dir: Dir,
    is_writable: bool,
    quota: Option<Arc<Quota>>,
}

/// What is wanted of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Read,
    Write,
}

/// A part of a file that is open.
pub(crate) struct OpenPart {
    pub(crate) file: File,
    pub(crate) length: u64,
}

impl Folders {
    /// Opens those that are granted and there; nothing if none is.
    pub(crate) fn open(
        places: &Places,
        granted: FilesRule,
        quotas: &Quotas,
    ) -> io::Result<Option<Self>> {
        let root = |path: &Path, is_writable, quota: Option<u64>| {
            io::Result::Ok(Root {
                dir: Dir::open_ambient_dir(path, ambient_authority())?,
                is_writable,
                quota: quota.map(|bytes| quotas.of(path, bytes)),
            })
        };
        let workspace = places.workspace.as_deref();
        let workspace = workspace.filter(|_| granted.workspace > Access::None);
        let out = places.out.as_deref().filter(|_| granted.out);
        let cache = places.cache.as_ref().filter(|_| granted.cache);
        if workspace.is_none() && out.is_none() && cache.is_none() {
            return Ok(None);
        }
        let is_writable = granted.workspace == Access::Write;
        Ok(Some(Self(Arc::new(Roots {
            workspace: workspace
                .map(|path| root(path, is_writable, None))
                .transpose()?,
            out: out.map(|path| root(path, true, None)).transpose()?,
            cache: cache
                .map(|cache| root(&cache.path, true, Some(cache.quota)))
                .transpose()?,
        }))))
    }

    /// Opens a part of a file, to its end without a length.
    pub(crate) fn open_part(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<OpenPart, Failure> {
        let file = self.open_file(path)?;
        let size = file
            .metadata()
            .map_err(|error| failure(path, &error))?
            .len();
        let there = size.saturating_sub(offset);
        let length = length.unwrap_or(there);
        if offset > size || length > there {
            let message = format!(
                "{} has {size} bytes, and the part ends behind them",
                shown(path)
            );
            return Err(Failure::invalid("fs.offset", message));
        }
        Ok(OpenPart { file, length })
    }

    /// Opens a file to read all of it.
    pub(crate) fn open_file(&self, path: &str) -> Result<File, Failure> {
        let (root, below) = self.find(path, Want::Read)?;
        let mut options = OpenOptions::new();
        // A FIFO without a writer would keep us waiting.
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = root.dir.open_with(name(&below), &options);
        let file = file.map_err(|error| failure(path, &error))?.into_std();
        root.is_open_to_plugins(path, &file)?;
        must_be_file(path, &file)?;
        Ok(file)
    }

    /// Opens a folder, so that a command can begin in it.
    pub(crate) fn open_folder(&self, path: &str) -> Result<Dir, Failure> {
        let (root, below) = self.find(path, Want::Read)?;
        let dir = root.dir.open_dir(name(&below));
        let dir = dir.map_err(|error| failure(path, &error))?;
        root.is_open_to_plugins(path, &dir)?;
        Ok(dir)
    }

    /// Begins a file anew, and the folders above it.
    pub(crate) fn create(&self, path: &str) -> Result<File, Failure> {
        let _turn = self.turn(path);
        let file = self.open_or_make(path)?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        file.set_len(0).map_err(|error| failure(path, &error))?;
        self.give_back(path, size);
        Ok(file)
    }

    /// Opens a file to write, which is made if need be, with the folders above it.
    fn open_or_make(&self, path: &str) -> Result<File, Failure> {
        let (root, below) = self.find(path, Want::Write)?;
        self.making(path, quota::missing(&root.dir, below.as_str()), || {
            root.make_parents(&below)
                .map_err(|error| failure(path, &error))?;
            root.open_to_write(path, &below, true)
        })
    }

    /// Begins a file that is there only when it is whole.
    pub(crate) fn begin(&self, path: &str) -> Result<Draft, Failure> {
        let (root, below) = self.find(path, Want::Write)?;
        let (parent, file_name) = match below.as_str().rsplit_once('/') {
            Some((parent, file_name)) => (parent, file_name),
            None => (".", below.as_str()),
        };
        if file_name.is_empty() {
            return Err(wrong_kind(path));
        }
        let open = || {
            root.make_parents(&below)?;
            root.dir.open_dir(parent)
        };
        let prepare = |dir: &Dir| {
            let random = getrandom::u64().map_err(io::Error::other)?;
            let draft = format!(".piper-{random:016x}");
            let mut options = OpenOptions::new();
            let file = dir.open_with(&draft, options.write(true).create_new(true))?;
            io::Result::Ok((draft, file.into_std()))
        };
        let (dir, (draft, file)) =
            self.making(path, quota::missing(&root.dir, parent) + ENTRY, || {
                let dir = open().map_err(|error| failure(path, &error))?;
                root.is_open_to_plugins(path, &dir)?;
                let prepared = prepare(&dir).map_err(|error| failure(path, &error))?;
                Ok((dir, prepared))
            })?;
        Ok(Draft {
            folders: self.clone(),
            path: path.to_owned(),
            dir,
            draft,
            file_name: file_name.to_owned(),
            file,
            written: 0,
        })
    }

    /// The folder and the path below it that a text names, if that is granted.
    fn find(&self, path: &str, want: Want) -> Result<(&Root, WorkspacePath), Failure> {
        let (place, root, below) = self.place(path);
        let denied = |why: String| Failure::denied(FILES, why);
        let below = WorkspacePath::parse(below).map_err(|error| match error {
            InvalidPath::Absolute | InvalidPath::Leaves => denied(format!(
                "{} is no path of this plugin: {error}",
                shown(path)
            )),
            InvalidPath::TooLong | InvalidPath::TooDeep | InvalidPath::Nul => {
                Failure::invalid("fs.path", format!("{}: {error}", shown(path)))
            }
        })?;
        let root = root.ok_or_else(|| denied(format!("this plugin was not granted {place}")))?;
        if git::is_on(&below) {
            return Err(of_git(path));
        }
        if want == Want::Write && !root.is_writable {
            return Err(denied(format!(
                "this plugin may read {place}, not write to it"
            )));
        }
        Ok((root, below))
    }

    fn place<'a>(&self, path: &'a str) -> (&'static str, Option<&Root>, &'a str) {
        let Roots {
            workspace,
            out,
            cache,
        } = &*self.0;
        let below = |place: &str| {
            let rest = path.strip_prefix(place)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
        };
        if let Some(rest) = below("/out") {
            ("the folder `/out`", out.as_ref(), rest)
        } else if let Some(rest) = below("/cache") {
            ("the folder `/cache`", cache.as_ref(), rest)
        } else {
            let rest = below("/workspace").unwrap_or(path);
            ("the workspace", workspace.as_ref(), rest)
        }
    }

    fn quota(&self, path: &str) -> Option<(&Root, &Quota)> {
        let (_, root, _) = self.place(path);
        root.and_then(|root| Some((root, &**root.quota.as_ref()?)))
    }

    /// Makes files and folders that cost so many bytes.
    fn making<T>(
        &self,
        path: &str,
        cost: u64,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.reserve(path, cost)?;
        let made = make();
        if cost > 0 && made.is_err() {
            // Which of them are there now is for the disk to say.
            self.count_anew();
        }
        made
    }

    /// Counts bytes that a file is about to grow by.
    fn reserve(&self, path: &str, bytes: u64) -> Result<(), Failure> {
        match self.quota(path) {
            Some((root, quota)) => quota.take(&root.dir, bytes),
            None => Ok(()),
        }
    }

    /// The right to change files of a folder that stays, until it is dropped: what is counted is what was there.
    fn turn(&self, path: &str) -> Option<MutexGuard<'_, ()>> {
        self.quota(path).map(|(_, quota)| quota.turn())
    }

    /// Takes back from the count what is gone.
    fn give_back(&self, path: &str, bytes: u64) {
        if let Some((_, quota)) = self.quota(path) {
            quota.give_back(bytes);
        }
    }

    /// Counts anew when something is written next: something else than we wrote here.
    pub(crate) fn count_anew(&self) {
        if let Some(quota) = self.0.cache.as_ref().and_then(|root| root.quota.as_ref()) {
            quota.forget();
        }
    }

    fn look(&self, path: &str) -> Result<FileInfo, Failure> {
        let (root, below) = self.find(path, Want::Read)?;
        let metadata = root.dir.symlink_metadata(name(&below));
        let metadata = metadata.map_err(|error| failure(path, &error))?;
        let kind = kind(metadata.file_type());
        let micros = metadata.mtime().saturating_mul(1_000_000) + metadata.mtime_nsec() / 1_000;
        Ok(FileInfo {
            kind,
            size: if kind == "file" { metadata.len() } else { 0 },
            modified: u64::try_from(micros).unwrap_or(0),
            mode: metadata.mode() & 0o7777,
        })
    }

    fn read_part(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let file = self.open_file(path)?;
        let length = u64::from(length);
        if length > MOST_READ {
            let message = format!("at most {} MiB are read at once", MOST_READ >> 20);
            return Err(Failure::new(FailureKind::Permanent, "limit.body", message));
        }
        let size = file
            .metadata()
            .map_err(|error| failure(path, &error))?
            .len();
        let mut bytes = vec![0; length.min(size.saturating_sub(offset)) as usize];
        let read = read_all_at(&file, &mut bytes, offset);
        bytes.truncate(read.map_err(|error| failure(path, &error))?);
        Ok(bytes)
    }

    fn write_part(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let _turn = self.turn(path);
        let file = if offset == 0 {
            self.open_or_make(path)?
        } else {
            let (root, below) = self.find(path, Want::Write)?;
            root.open_to_write(path, &below, false)?
        };
        let size = file
            .metadata()
            .map_err(|error| failure(path, &error))?
            .len();
        if offset > size {
            let message = format!(
                "{} has {size} bytes: the next one is at {size}",
                shown(path)
            );
            return Err(Failure::invalid("fs.offset", message));
        }
        let end = offset.saturating_add(bytes.len() as u64);
        // Before anything is cut off: what finds no room leaves the file as it was.
        self.reserve(path, end.saturating_sub(size))?;
        let begin = || if offset == 0 { file.set_len(0) } else { Ok(()) };
        let written = begin().and_then(|()| file.write_all_at(bytes, offset));
        written.map_err(|error| {
            // How much of it is there is for the disk to say.
            self.count_anew();
            failure(path, &error)
        })?;
        if offset == 0 {
            self.give_back(path, size.saturating_sub(end));
        }
        Ok(())
    }

    fn digest_part(
        &self,
        path: &str,
        (offset, length): (u64, Option<u64>),
        algorithm: &str,
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, Failure> {
        let mut sum = Sum::new(algorithm)?;
        let OpenPart { file, length } = self.open_part(path, offset, length)?;
        let (mut at, end) = (offset, offset + length);
        let mut piece = vec![0; PIECE];
        while at < end && !stop.load(Ordering::Relaxed) {
            let wanted = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
            let read = file.read_at(&mut piece[..wanted], at);
            let read = read.map_err(|error| failure(path, &error))?;
            if read == 0 {
                let message = format!("{} became shorter while it was read", shown(path));
                return Err(Failure::transient("fs.changed", message));
            }
            sum.update(&piece[..read]);
            at += read as u64;
        }
        Ok(sum.finish())
    }

    fn search(
        &self,
        patterns: &[String],
        after: Option<String>,
        limit: u32,
        stop: &AtomicBool,
    ) -> Result<Vec<String>, Failure> {
        let (root, _) = self.find("", Want::Read)?;
        let patterns = Patterns::parse(patterns)
            .map_err(|(_, fault)| Failure::invalid("fs.pattern", fault.message))?;
        let mut search = Search {
            patterns,
            after,
            most: limit.min(MOST_FOUND) as usize,
            found: Vec::new(),
            root: &root.dir,
            stop,
        };
        if search.most > 0 {
            search.walk(&root.dir, "", 0)?;
        }
        Ok(search.found)
    }
}

impl Root {
    fn make_parents(&self, below: &WorkspacePath) -> io::Result<()> {
        match below.as_str().rsplit_once('/') {
            Some((parent, _)) => match self.dir.create_dir_all(parent) {
                // A link that leads out is there too; what it is must be said.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.dir.open_dir(parent).map(drop)
                }
                other => other,
            },
            None => Ok(()),
        }
    }

    fn open_to_write(
        &self,
        path: &str,
        below: &WorkspacePath,
        is_new: bool,
    ) -> Result<File, Failure> {
        let mut options = OpenOptions::new();
        // What it is is looked at before anything is cut off.
        options
            .write(true)
            .create(is_new)
            .truncate(false)
            .custom_flags(libc::O_NONBLOCK);
        let file = self.dir.open_with(name(below), &options);
        let file = file.map_err(|error| failure(path, &error))?.into_std();
        self.is_open_to_plugins(path, &file)?;
        must_be_file(path, &file)?;
        Ok(file)
    }

    /// Refuses what a link led to and a path could not have named.
    fn is_open_to_plugins(&self, path: &str, opened: &impl AsFd) -> Result<(), Failure> {
        match git::holds(&self.dir, opened) {
            Ok(false) => Ok(()),
            Ok(true) => Err(of_git(path)),
            Err(error) => Err(failure(path, &error)),
        }
    }
}

fn of_git(path: &str) -> Failure {
    let message = format!(
        "{} is git's own and no part of the workspace; a command of git may look there, if it is granted",
        shown(path)
    );
    Failure::denied(FILES, message)
}

/// A file that is not there yet; dropping it leaves nothing behind.
pub(crate) struct Draft {
    folders: Folders,
    path: String,
    dir: Dir,
    draft: String,
    file_name: String,
    file: File,
    /// How many bytes of it are counted, and where the next one goes.
    written: u64,
}

impl Draft {
    /// Adds bytes.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<Self, Failure> {
        let at = self.written;
        self.folders.reserve(&self.path, bytes.len() as u64)?;
        self.written += bytes.len() as u64;
        self.file
            .write_all_at(bytes, at)
            .map_err(|error| failure(&self.path, &error))?;
        Ok(self)
    }

    /// Puts it in its place.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let folders = self.folders.clone();
        let _turn = folders.turn(&self.path);
        let replaced = self.dir.symlink_metadata(&self.file_name).ok();
        let replaced = replaced.filter(|metadata| metadata.is_file());
        self.dir
            .rename(&self.draft, &self.dir, &self.file_name)
            .map_err(|error| failure(&self.path, &error))?;
        self.draft.clear();
        let replaced = replaced.map_or(0, |metadata| metadata.len() + ENTRY);
        self.folders.give_back(&self.path, replaced);
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.draft.is_empty() {
            // What cannot be removed stays, and counts; nobody is left to be told.
            if self.dir.remove_file(&self.draft).is_ok() {
                self.folders.give_back(&self.path, self.written + ENTRY);
            }
        }
    }
}

/// A walk through the workspace in the order of the bytes of paths.
struct Search<'a> {
    patterns: Patterns,
    after: Option<String>,
    most: usize,
    found: Vec<String>,
    root: &'a Dir,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// Looks into a folder; `prefix` is its path with a `/`. Says whether to go on.
    fn walk(&mut self, dir: &Dir, prefix: &str, depth: usize) -> Result<bool, Failure> {
        for (path, kind) in entries(dir, prefix)? {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let own = &path[prefix.len()..];
            if git::is_it(own) {
                continue;
            }
            if kind.is_dir() {
                if depth < DEEPEST && self.wants_folder(&path) {
                    let inner = match dir.open_dir(own) {
                        Ok(inner) => inner,
                        Err(error) if is_passed_over(&error) => continue,
                        Err(error) => return Err(failure(&path, &error)),
                    };
                    if !self.walk(&inner, &path, depth + 1)? {
                        return Ok(false);
                    }
                }
            } else if self.wants_file(&path) {
                // A link is what it points to, as for the step's own tools; one that points out of the workspace is nothing. It is
                // followed from the root: from its own folder, each way up would lead out.
                let is_file = kind.is_file()
                    || self
                        .root
                        .metadata(&path)
                        .is_ok_and(|metadata| metadata.is_file());
                if is_file {
                    self.found.push(path);
                }
                if self.found.len() >= self.most {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn wants_folder(&self, path: &str) -> bool {
        let is_before = self
            .after
            .as_deref()
            .is_some_and(|after| path < after && !after.starts_with(path));
        !is_before && self.patterns.may_be_below(path)
    }

    fn wants_file(&self, path: &str) -> bool {
        let is_before = self.after.as_deref().is_some_and(|after| path <= after);
        !is_before && WorkspacePath::parse(path).is_ok_and(|path| self.patterns.matches(&path))
    }
}

/// What is in a folder, in the order in which paths come: a folder's own name ends with `/`, and so comes after `name-`, before `name0`.
fn entries(dir: &Dir, prefix: &str) -> Result<Vec<(String, FileType)>, Failure> {
    let read = || {
        let mut all = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            // Text is all that the contract can say.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry.file_type()?;
            let end = if kind.is_dir() { "/" } else { "" };
            all.push((format!("{prefix}{name}{end}"), kind));
        }
        all.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        Ok(all)
    };
    match read() {
        Err(error) if is_passed_over(&error) => Ok(Vec::new()),
        other => other.map_err(|error| failure(prefix, &error)),
    }
}

/// What is closed to us, or was taken away meanwhile.
fn is_passed_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A digest under way.
enum Sum {
    Of(Box<dyn md5::digest::DynDigest>),
    Crc32c(u32),
}

impl Sum {
    fn new(algorithm: &str) -> Result<Self, Failure> {
        Ok(match algorithm {
            "sha256" => Self::Of(Box::new(sha2::Sha256::new())),
            "sha512" => Self::Of(Box::new(sha2::Sha512::new())),
            "sha1" => Self::Of(Box::new(sha1::Sha1::new())),
            "md5" => Self::Of(Box::new(md5::Md5::new())),
            "crc32c" => Self::Crc32c(0),
            other => {
                let message = format!(
                    "{} is no digest: there are `sha256`, `sha512`, `sha1`, `md5` and `crc32c`",
                    shown(other)
                );
                return Err(Failure::invalid("fs.algorithm", message));
            }
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Of(digest) => digest.update(bytes),
            Self::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
        }
    }

    /// A checksum's bytes in the order in which numbers are written.
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Of(digest) => digest.finalize().into_vec(),
            Self::Crc32c(sum) => sum.to_be_bytes().to_vec(),
        }
    }
}

fn read_all_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn name(below: &WorkspacePath) -> &str {
    match below.as_str() {
        "" => ".",
        path => path,
    }
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "link"
    } else {
        "other"
    }
}

fn must_be_file(path: &str, file: &File) -> Result<(), Failure> {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(wrong_kind(path)),
        Err(error) => Err(failure(path, &error)),
    }
}

fn wrong_kind(path: &str) -> Failure {
    let message = format!("{} is not a file", shown(path));
    Failure::new(FailureKind::Permanent, "fs.wrong-kind", message)
}

/// What an error of the system means.
pub(crate) fn failure(path: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let code = match (error.kind(), error.raw_os_error()) {
        // Not the system's but cap-std's own: the path led out.
        (Kind::PermissionDenied, None) => {
            let message = format!("{} leads out of the plugin's folder", shown(path));
            return Failure::denied(FILES, message);
        }
        (Kind::NotFound, _) => "fs.not-found",
        (Kind::NotADirectory | Kind::IsADirectory, _)
        | (_, Some(libc::ELOOP | libc::ENXIO | libc::ENODEV)) => "fs.wrong-kind",
        (Kind::AlreadyExists | Kind::DirectoryNotEmpty, _) => "fs.exists",
        (Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge, _) => "fs.full",
        _ => "fs.failed",
    };
    Failure::new(
        FailureKind::Permanent,
        code,
        format!("{}: {error}", shown(path)),
    )
}

/// Ends the work of a thread when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Folders {
    fn until_dropped<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self, &AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<'static, T> {
        let folders = self.clone();
        let stop = Stop(Arc::default());
        let flag = Arc::clone(&stop.0);
        Box::pin(async move {
            let done = blocking(move || work(folders, &flag)).await;
            drop(stop);
            done
        })
    }
}

impl Files for Folders {
    fn glob(
        &self,
        patterns: Vec<String>,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<String>> {
        self.until_dropped(move |folders, stop| folders.search(&patterns, after, limit, stop))
    }

    fn stat(&self, path: String) -> Answer<'_, FileInfo> {
        self.until_dropped(move |folders, _| folders.look(&path))
    }

    fn read(&self, path: String, offset: u64, length: u32) -> Answer<'_, Vec<u8>> {
        self.until_dropped(move |folders, _| folders.read_part(&path, offset, length))
    }

    fn write(&self, path: String, offset: u64, bytes: Vec<u8>) -> Answer<'_, ()> {
        self.until_dropped(move |folders, _| folders.write_part(&path, offset, &bytes))
    }

    fn digest(
        &self,
        path: String,
        offset: u64,
        length: Option<u64>,
        algorithm: String,
    ) -> Answer<'_, Vec<u8>> {
        self.until_dropped(move |folders, stop| {
            folders.digest_part(&path, (offset, length), &algorithm, stop)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
