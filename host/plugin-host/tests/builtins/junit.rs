use crate::kit::Granted;
use piper_plugin_host::kind::Status;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

const GRANTED: &str = "allow.files = { workspace = \"read\" }";

#[tokio::test]
async fn a_real_report_points_into_the_workspace() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/junit/samples");
    let workspace = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = workspace.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let report = fs::read_to_string(samples.join("surefire.xml")).unwrap();
    file("core/target/surefire-reports/TEST-a.xml", &report);
    file("core/src/test/java/com/acme/CalcTest.java", "");
    let junit = Granted::new("junit", GRANTED, &[]);
    let options = json!({"files": "**/surefire-reports/*.xml"});
    let (verdict, told) = junit.run("", options, workspace.path()).await;
    assert_eq!(verdict.unwrap().status, Status::Failed);
    assert_eq!(told.output("tests").as_deref(), Some("5"));
    let places: Vec<_> = told
        .annotations()
        .iter()
        .map(|one| format!("{}:{}", one["file"].as_str().unwrap(), one["line"]))
        .collect();
    let java = "core/src/test/java/com/acme/CalcTest.java";
    assert_eq!(places, [format!("{java}:13"), format!("{java}:11")]);
}

/// Within the memory that any plugin has, of which this is four times as much.
#[tokio::test]
async fn a_report_of_half_a_gigabyte_is_read() {
    let workspace = tempfile::tempdir().unwrap();
    let mut file = BufWriter::new(File::create(workspace.path().join("big.xml")).unwrap());
    let line = "a line that a test printed &amp; that nobody reads\n".repeat(1 << 10);
    file.write_all(b"<testsuite><testcase name='a'><system-out>")
        .unwrap();
    for _ in 0..(512 << 20) / line.len() {
        file.write_all(line.as_bytes()).unwrap();
    }
    file.write_all(b"</system-out><failure message='no'/></testcase></testsuite>")
        .unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
    let junit = Granted::new("junit", GRANTED, &[]);
    let (verdict, told) = junit
        .run("", json!({"files": "big.xml"}), workspace.path())
        .await;
    assert_eq!(verdict.unwrap().message, "1 of 1 test failed: a");
    assert_eq!(told.output("failures").as_deref(), Some("1"));
}

#[tokio::test]
async fn without_a_grant_it_says_what_is_lacking() {
    let workspace = tempfile::tempdir().unwrap();
    let junit = Granted::new("junit", "", &[]);
    let (verdict, _) = junit
        .run("", json!({"files": "*.xml"}), workspace.path())
        .await;
    assert_eq!(verdict.unwrap_err().code(), "policy.fs");
}
