//! Uploads files: small ones whole, several at a time; large ones in parts, several at a time too.

use crate::{
    Config, folder, is_path,
    store::{Content, UnderWay, Wanted, element},
};
use piper_plugin::{
    files::{self, Digest},
    prelude::*,
    settings::OneOrMore,
};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write,
};

const MIB: u64 = 1 << 20;
/// How many parts a store takes.
const MOST_PARTS: u64 = 10_000;

/// Uploads files.
#[settings]
pub(crate) struct Upload {
    /// The files: a pattern of paths in the workspace, or several.
    files: OneOrMore,
    /// The folder in the bucket.
    #[setting(default = "")]
    prefix: String,
    /// The folder of the workspace whose name is not a part of keys: with `target/release`, `target/release/hello` becomes `hello`.
    #[setting(default = "")]
    strip: String,
    /// The type that all of them are stored with; without it, the store's own.
    content_type: Option<String>,
    /// How large a part of a large file is, in MiB. What is not larger goes whole.
    #[setting(default = 64, min = 5, max = 5_120)]
    part_size: u64,
    /// How many requests are under way at once.
    #[setting(default = 4, min = 1, max = 8)]
    in_flight: u32,
    /// A pattern that matches no file is no mistake.
    #[setting(default = false)]
    allow_missing: bool,
}

impl StepRunner<Config> for Upload {
    fn run(&self, step: &Step<Config>) -> Result<Verdict> {
        let prefix = folder(&self.prefix)?;
        let mut queue = Queue {
            step,
            most: self.in_flight as usize,
            under_way: VecDeque::new(),
        };
        let (mut count, mut bytes) = (0_u64, 0_u64);
        for path in self.paths()? {
            let key = format!("{prefix}{}", self.key(&path)?);
            let size = files::stat(&path)?.size;
            let file = File {
                path: &path,
                key: &key,
                size,
            };
            match size > self.part_size * MIB {
                true => {
                    queue.empty()?;
                    self.in_parts(&mut queue, &file)?;
                    step.print(file.arrived());
                }
                false => self.whole(&mut queue, &file)?,
            }
            count += 1;
            bytes += size;
        }
        queue.empty()?;
        step.output("files", count)?;
        step.output("bytes", bytes)?;
        Ok(match count {
            0 => Verdict::skipped("there was nothing to upload"),
            _ => Verdict::passed().because(format_args!("uploaded {count} files, {bytes} bytes")),
        })
    }
}

/// A file on its way.
struct File<'a> {
    path: &'a str,
    key: &'a str,
    size: u64,
}

impl File<'_> {
    /// What is printed of it once the store has it.
    fn arrived(&self) -> String {
        let Self { path, key, size } = self;
        format!("{path} -> {key} ({size} bytes)\n")
    }
}

/// Requests under way, the oldest first, each with what is printed once its answer is there.
struct Queue<'a> {
    step: &'a Step<Config>,
    most: usize,
    under_way: VecDeque<(UnderWay, String)>,
}

impl Queue<'_> {
    /// Sends a request; returns the answer of an older one if it had to wait for it.
    fn push(&mut self, wanted: Wanted, done: String) -> Result<Option<http::Response>> {
        let answer = match self.under_way.len() < self.most {
            true => None,
            false => self.pop()?,
        };
        let under_way = wanted.start(&self.step.config);
        self.under_way.push_back((under_way, done));
        Ok(answer)
    }

    fn pop(&mut self) -> Result<Option<http::Response>> {
        let Some((oldest, done)) = self.under_way.pop_front() else {
            return Ok(None);
        };
        let answer = oldest.finish(&self.step.config)?;
        self.step.print(done);
        Ok(Some(answer))
    }

    /// Waits for all of them.
    fn empty(&mut self) -> Result<()> {
        while self.pop()?.is_some() {}
        Ok(())
    }
}

impl Upload {
    fn paths(&self) -> Result<BTreeSet<String>> {
        self.files
            .paths("files", |mistake| match self.allow_missing {
                true => Ok(()),
                false => Err(mistake.help("if it may be missing: `allow-missing = true`")),
            })
    }

    /// The key of a file, without the prefix.
    fn key<'a>(&self, path: &'a str) -> Result<&'a str> {
        let strip = self.strip.trim_end_matches('/');
        let rest = match strip {
            "" => Some(path),
            _ => path
                .strip_prefix(strip)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        let key = rest.ok_or_else(|| {
            Failure::invalid(
                "s3.strip",
                format_args!("`{path}` is not below `{strip}`, whose name is to be left out"),
            )
            .at("/options/strip")
        })?;
        match is_path(key) {
            true => Ok(key),
            false => Err(Failure::permanent(
                "s3.key",
                format_args!("`{key}` cannot be a key: it has a backslash or a control character"),
            )),
        }
    }

    fn whole(&self, queue: &mut Queue<'_>, file: &File<'_>) -> Result<()> {
        let wanted = Wanted {
            method: "PUT",
            key: file.key.to_owned(),
            content: part(file, 0, file.size),
            content_md5: Some(md5(file, 0, file.size)?),
            content_type: self.content_type.clone(),
            ..Wanted::default()
        };
        queue.push(wanted, file.arrived()).map(drop)
    }

    fn in_parts(&self, queue: &mut Queue<'_>, file: &File<'_>) -> Result<()> {
        let config = &queue.step.config;
        let begun = Wanted {
            method: "POST",
            key: file.key.to_owned(),
            query: vec![("uploads", String::new())],
            content_type: self.content_type.clone(),
            ..Wanted::default()
        };
        let answer = begun.send(config)?;
        let id = element(answer.text()?, "UploadId").ok_or_else(|| {
            Failure::permanent("s3.answer", "the store named no id for the upload")
        })?;
        let done = self
            .parts(queue, file, &id)
            .and_then(|etags| finish(config, file, &id, &etags));
        if done.is_err() {
            // Those under way would come after the end.
            queue.under_way.clear();
            // What is begun and not ended costs as long as nobody removes it.
            let aborted = Wanted {
                method: "DELETE",
                key: file.key.to_owned(),
                query: vec![("uploadId", id)],
                ..Wanted::default()
            };
            if let Err(failure) = aborted.send_once(config) {
                warn!(
                    "the parts of {} that were uploaded stay in the store: {failure}",
                    file.key
                );
            }
        }
        done
    }

    /// Uploads the parts, and returns what the store calls each.
    fn parts(&self, queue: &mut Queue<'_>, file: &File<'_>, id: &str) -> Result<Vec<String>> {
        let length = part_length(file.size, self.part_size * MIB);
        let mut etags = Vec::new();
        let mut add = |answer: Option<http::Response>| {
            let Some(answer) = answer else {
                return Ok(false);
            };
            let etag = answer.header("etag").ok_or_else(|| {
                Failure::permanent("s3.answer", "the store named no `etag` for a part")
            })?;
            etags.push(etag.to_owned());
            Ok::<_, Failure>(true)
        };
        let mut offset = 0;
        let mut number = 0;
        while offset < file.size {
            let length = length.min(file.size - offset);
            number += 1;
            let wanted = Wanted {
                method: "PUT",
                key: file.key.to_owned(),
                query: vec![
                    ("partNumber", number.to_string()),
                    ("uploadId", id.to_owned()),
                ],
                content: part(file, offset, length),
                content_md5: Some(md5(file, offset, length)?),
                ..Wanted::default()
            };
            // A part alone is nothing that anybody could fetch.
            add(queue.push(wanted, String::new())?)?;
            offset += length;
        }
        while add(queue.pop()?)? {}
        Ok(etags)
    }
}

/// How large parts are: whole mebibytes, as asked for unless there would be too many.
fn part_length(size: u64, wanted: u64) -> u64 {
    wanted.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB))
}

fn part(file: &File<'_>, offset: u64, length: u64) -> Content {
    Content::Part {
        path: file.path.to_owned(),
        offset,
        length,
    }
}

/// The MD5 as `content-md5` has it: the store compares what arrives.
fn md5(file: &File<'_>, offset: u64, length: u64) -> Result<String> {
    let digest = files::digest_part(file.path, offset, length, Digest::Md5)?;
    Ok(encode::base64(digest))
}

fn finish(config: &Config, file: &File<'_>, id: &str, etags: &[String]) -> Result<()> {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (etag, number) in etags.iter().zip(1..) {
        let etag = etag.replace('&', "&amp;").replace('<', "&lt;");
        let _ = write!(
            text,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        );
    }
    text.push_str("</CompleteMultipartUpload>");
    let ended = Wanted {
        method: "POST",
        key: file.key.to_owned(),
        query: vec![("uploadId", id.to_owned())],
        content: Content::Text(text),
        content_type: Some("application/xml".to_owned()),
        ..Wanted::default()
    };
    ended.send(config).map(drop)
}
