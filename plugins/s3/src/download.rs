//! Downloads objects into the workspace.

use crate::{
    Config, folder, is_path,
    store::{Content, Wanted, element, elements},
};
use piper_plugin::{prelude::*, settings::OneOrMore};
use std::collections::VecDeque;

/// Downloads objects.
#[settings]
pub(crate) struct Download {
    /// The folder in the bucket.
    #[setting(default = "")]
    prefix: String,
    /// The objects, as they are called below the prefix. Without it, all that are there.
    keys: Option<OneOrMore>,
    /// The folder of the workspace that they go to.
    #[setting(default = "")]
    into: String,
    /// How many requests are under way at once.
    #[setting(default = 4, min = 1, max = 8)]
    in_flight: u32,
    /// Nothing below the prefix is no mistake.
    #[setting(default = false)]
    allow_missing: bool,
}

impl StepRunner<Config> for Download {
    fn run(&self, step: &Step<Config>) -> Result<Verdict> {
        let config = &step.config;
        let prefix = folder(&self.prefix)?;
        let keys = match &self.keys {
            Some(keys) => keys.0.clone(),
            None => listed(config, &prefix)?,
        };
        if keys.is_empty() && !self.allow_missing {
            return Err(Failure::invalid(
                "s3.no-objects",
                format_args!("there is nothing below `{prefix}` in the bucket"),
            )
            .at("/options/prefix")
            .help("if it may be empty: `allow-missing = true`"));
        }
        let mut under_way = VecDeque::new();
        let mut finish = |(key, path, exchange): (String, String, crate::store::UnderWay)| {
            exchange.finish(config)?;
            step.print(format_args!("{key} -> {path}\n"));
            Ok::<_, Failure>(())
        };
        for name in &keys {
            if under_way.len() >= self.in_flight as usize
                && let Some(oldest) = under_way.pop_front()
            {
                finish(oldest)?;
            }
            let key = format!("{prefix}{name}");
            let path = self.path(name)?;
            let wanted = Wanted {
                method: "GET",
                key: key.clone(),
                content: Content::SaveTo(path.clone()),
                ..Wanted::default()
            };
            under_way.push_back((key, path, wanted.start(config)));
        }
        under_way.into_iter().try_for_each(&mut finish)?;
        step.output("files", keys.len())?;
        Ok(match keys.len() {
            0 => Verdict::skipped("there was nothing to download"),
            count => Verdict::passed().because(format_args!("downloaded {count} files")),
        })
    }
}

impl Download {
    /// Where an object goes. Whoever can write to the bucket chooses its keys, so each must be a path.
    fn path(&self, name: &str) -> Result<String> {
        if !is_path(name) {
            return Err(Failure::permanent(
                "s3.key",
                format_args!("the object `{name}` cannot be a file: its key is no path"),
            ));
        }
        Ok(match self.into.trim_end_matches('/') {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        })
    }
}

/// The objects below a prefix, by what follows it.
fn listed(config: &Config, prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut next = None;
    loop {
        let mut query = vec![("list-type", "2".to_owned()), ("prefix", prefix.to_owned())];
        query.extend(next.take().map(|token| ("continuation-token", token)));
        let page = Wanted {
            method: "GET",
            query,
            ..Wanted::default()
        };
        let page = page.send(config)?;
        let page = page.text()?;
        for key in elements(page, "Key") {
            let name = key.strip_prefix(prefix).ok_or_else(|| {
                Failure::permanent(
                    "s3.answer",
                    format_args!("the store listed `{key}`, which is not below `{prefix}`"),
                )
            })?;
            // What consoles make for a folder.
            if !name.is_empty() && !name.ends_with('/') {
                names.push(name.to_owned());
            }
        }
        if element(page, "IsTruncated").as_deref() != Some("true") {
            return Ok(names);
        }
        let token = element(page, "NextContinuationToken");
        next = Some(token.ok_or_else(|| {
            Failure::permanent("s3.answer", "the store listed a page and named no next one")
        })?);
    }
}
