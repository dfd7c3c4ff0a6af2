use super::File;
use piper_plugin::{
    prelude::*,
    testing::{Fake, batch},
};
use proptest::prelude::*;

const PATH: &str = "/out/log.ndjson";

fn write(fake: &Fake, batches: Vec<Batch>) {
    let mut sink = fake.open_sink::<File, _>(json!({})).unwrap();
    assert_eq!(fake.write(&mut sink, batches).unwrap(), Receipt::all());
    sink.close().unwrap();
}

fn lines(fake: &Fake) -> Vec<Value> {
    let content = fake.content(PATH).expect("it was written");
    assert!(content.ends_with(b"\n"));
    let lines = content.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

#[test]
fn a_line_says_what_pipers_own_events_say() {
    let fake = Fake::new();
    let batch = Batch {
        facts: r#"{"project": "hello", "pipeline": "test", "later": [1]}"#.into(),
        ..batch("bcdf", 7, &["one"])
    };
    write(&fake, vec![batch]);
    assert_eq!(
        lines(&fake),
        [json!({
            "at": "1970-01-01T00:00:07.000000Z", "build": "bcdf", "attempt": 1, "line": 7, "project": "hello",
            "pipeline": "test", "step": "build", "try": 1, "stream": "stdout", "text": "one",
        })]
    );
}

#[test]
fn marks_and_bytes_that_are_no_text_come_through() {
    let fake = Fake::new();
    let batch = Batch {
        text: vec![0xff, b'a'],
        ends: vec![2],
        marks: vec![0b10_1111],
        ..batch("b", 0, &["x"])
    };
    write(&fake, vec![batch]);
    let line = &lines(&fake)[0];
    assert_eq!(line["stream"], "stderr");
    assert_eq!(line["base64"], "/2E=");
    assert_eq!(line.get("text"), None);
    for mark in ["continues", "no_eol", "cut", "after_gap"] {
        assert_eq!(line[mark], true, "{mark}");
    }
}

#[test]
fn it_goes_on_where_the_file_ends() {
    let fake = Fake::new();
    write(&fake, vec![batch("a", 0, &["one", "two"])]);
    write(
        &fake,
        vec![batch("a", 2, &["three"]), batch("b", 0, &["four"])],
    );
    let texts: Vec<_> = lines(&fake)
        .iter()
        .map(|line| line["text"].clone())
        .collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

#[test]
fn a_line_that_a_crash_cut_off_spoils_no_other() {
    let fake = Fake::new();
    fake.file(PATH, "{\"at\":\"1970");
    write(&fake, vec![batch("a", 0, &["one"])]);
    assert_eq!(lines(&fake).len(), 1);
}

#[test]
fn a_file_that_was_rotated_away_is_begun_anew() {
    let fake = Fake::new();
    let mut sink = fake.open_sink::<File, _>(json!({})).unwrap();
    fake.write(&mut sink, vec![batch("a", 0, &["one"])])
        .unwrap();
    fake.file(PATH, "");
    fake.write(&mut sink, vec![batch("a", 1, &["two"])])
        .unwrap();
    assert_eq!(lines(&fake)[0]["text"], "two");
}

#[test]
fn a_folder_that_is_no_plugins_is_refused_before_it_is_opened() {
    let fake = Fake::new();
    fake.config(json!({"path": "/etc/log"}));
    let failure = fake.open_sink::<File, _>(json!({})).unwrap_err();
    assert_eq!(failure.code, "settings");
}

proptest! {
    #[test]
    fn whatever_was_printed_is_one_line_of_json(line in prop::collection::vec(any::<u8>(), 0..40)) {
        let fake = Fake::new();
        let ends = vec![u32::try_from(line.len()).unwrap()];
        write(&fake, vec![Batch { text: line.clone(), ends, ..batch("b", 0, &["x"]) }]);
        let written = lines(&fake);
        prop_assert_eq!(written.len(), 1);
        match written[0]["text"].as_str() {
            Some(text) => prop_assert_eq!(text.as_bytes(), &line),
            None => prop_assert_eq!(written[0]["base64"].as_str(), Some(&*encode::base64(&line))),
        }
    }
}
