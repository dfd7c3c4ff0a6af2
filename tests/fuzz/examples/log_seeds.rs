//! Writes the seeds of `log_reader` into the folder that is its argument: small files, each with another part of the format.

use piper_core::{
    id::{BuildId, StepIx},
    log::Stream,
    time::Timestamp,
    wire::v1,
};
use piper_engine::logs::{self, LogOptions};
use std::{env, fs, path::Path, sync::Arc};

fn main() {
    let folder = env::args().nth(1).expect("the folder for the seeds");
    let folder = Path::new(&folder);
    let long = "the same again\n".repeat(200);
    write(&folder.join("finished"), &["one\n", "two\n", "no line end"]);
    write(&folder.join("compressed"), &[&long]);
    let whole = fs::read(folder.join("finished")).expect("the seed was written");
    fs::write(folder.join("dead"), &whole[..whole.len() - 100]).expect("the seed can be written");
    fs::write(folder.join("twice"), whole.repeat(2)).expect("the seed can be written");
}

fn write(path: &Path, texts: &[&str]) {
    let _ = fs::remove_file(path);
    let (mut writer, handle) = logs::start(LogOptions {
        file: Some(path.to_owned()),
        build: BuildId::from_random(7),
        attempt: 1,
        masker: None,
        warn: Arc::new(|message| panic!("{message}")),
    });
    handle.event(&warning("begins"));
    let sources = ["step", "step (os=linux)"].map(|label| writer.register(StepIx(0), 1, label));
    for (source, stream) in sources.into_iter().zip([Stream::Stdout, Stream::Stderr]) {
        for (at, text) in texts.iter().enumerate() {
            writer.append(source, stream, text.as_bytes(), Timestamp(at as u64));
        }
        writer.close(source, stream, Timestamp(9));
    }
    writer.publish();
    handle.event(&warning("ends"));
    drop(writer);
    handle.finish();
}

fn warning(message: &str) -> Vec<u8> {
    let line = v1::Line {
        v: 1,
        seq: 0,
        at: Timestamp(0).to_string(),
        build: BuildId::from_random(7).to_string(),
        attempt: 1,
        event: v1::Event::Warning {
            message: message.to_owned(),
        },
    };
    serde_json::to_vec(&line).expect("an event can be written")
}
