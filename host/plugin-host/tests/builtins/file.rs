use crate::kit::Granted;
use piper_plugin_host::kind::{Batch, StepRef};
use std::fs;

fn batch(first_seq: u64, lines: &[&str]) -> Batch {
    let mut batch = Batch {
        build: "bcdf".into(),
        attempt: 1,
        facts: r#"{"project": "hello"}"#.into(),
        first_seq,
        times: vec![1; lines.len()],
        step_of: vec![0; lines.len()],
        marks: vec![0; lines.len()],
        steps: vec![StepRef {
            path: "unit".into(),
            r#try: 1,
            more: "{}".into(),
        }],
        ..Batch::default()
    };
    for line in lines {
        batch.text.extend(line.bytes());
        batch.ends.push(batch.text.len() as u32);
    }
    batch
}

#[tokio::test]
async fn a_sink_appends_from_instance_to_instance() {
    let out = tempfile::tempdir().unwrap();
    let file = Granted::new("file", "allow.files = { out = true }", &[]);
    for (first, lines) in [(0, ["one", "two"]), (2, ["three", "four"])] {
        let mut sink = file.open_sink(out.path()).await.unwrap();
        let receipt = sink.write(vec![batch(first, &lines)]).await.unwrap();
        assert!(receipt.again.is_empty() && receipt.rejected.is_empty());
        sink.close().await.unwrap();
    }
    let text = fs::read_to_string(out.path().join("log.ndjson")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<_> = lines
        .map(|line| (line["line"].as_u64(), line["text"].clone()))
        .collect();
    let expected = ["one", "two", "three", "four"];
    assert_eq!(told.len(), 4);
    assert!(
        told.iter()
            .zip(0..)
            .zip(expected)
            .all(|(((line, text), seq), own)| *line == Some(seq) && text == own)
    );
}

#[tokio::test]
async fn a_sink_without_a_folder_says_so_when_it_is_opened() {
    let out = tempfile::tempdir().unwrap();
    let opened = Granted::new("file", "", &[]).open_sink(out.path()).await;
    assert_eq!(opened.err().unwrap().code(), "policy.fs");
}
