//! `files`.

use super::{Answered, ask};
use crate::{
    instance::Sandbox,
    wit::v0_1::piper::base::files::{Host, Info},
};

impl Host for Sandbox {
    async fn glob(
        &mut self,
        patterns: Vec<String>,
        after: Option<String>,
        limit: u32,
    ) -> Answered<Vec<String>> {
        ask!(self, files, "policy.fs", "files", |files| files
            .glob(patterns, after, limit))
    }

    async fn stat(&mut self, path: String) -> Answered<Info> {
        ask!(self, files, "policy.fs", "files", |files| async {
            let info = files.stat(path).await?;
            Ok(Info {
                kind: info.kind.to_owned(),
                size: info.size,
                modified: info.modified,
                mode: info.mode,
            })
        })
    }

    async fn read(&mut self, path: String, offset: u64, length: u32) -> Answered<Vec<u8>> {
        ask!(self, files, "policy.fs", "files", |files| files
            .read(path, offset, length))
    }

    async fn write(&mut self, path: String, offset: u64, bytes: Vec<u8>) -> Answered<()> {
        ask!(self, files, "policy.fs", "files", |files| files
            .write(path, offset, bytes))
    }

    async fn digest(
        &mut self,
        path: String,
        offset: u64,
        length: Option<u64>,
        algorithm: String,
    ) -> Answered<Vec<u8>> {
        ask!(self, files, "policy.fs", "files", |files| files
            .digest(path, offset, length, algorithm))
    }
}
