use super::{Download, Upload};
use piper_plugin::{
    prelude::*,
    testing::{Answer, Fake, Request},
};
use test_case::test_case;

const BUCKET: &str = "https://s3.example/b";

fn fake() -> Fake {
    let fake = Fake::new();
    fake.config(json!({"url": BUCKET, "access-key": "AKID"}));
    fake.secret("secret-key", "secret");
    fake
}

fn upload(fake: &Fake, options: Value) -> Result<Verdict> {
    fake.run::<Upload, _>(options)
}

fn download(fake: &Fake, options: Value) -> Result<Verdict> {
    fake.run::<Download, _>(options)
}

/// Method, key and the part of the query that is not about the signature.
fn asked(request: &Request) -> String {
    let (url, query) = request.url.split_once('?').unwrap();
    let query: Vec<_> = query
        .split('&')
        .filter(|part| !part.starts_with("X-Amz-"))
        .collect();
    let key = url.strip_prefix(BUCKET).unwrap();
    format!("{} {key} {}", request.method, query.join("&"))
        .trim()
        .to_owned()
}

fn etag(name: &str) -> Answer {
    Answer {
        status: 200,
        headers: vec![("etag".into(), format!("\"{name}\""))],
        ..Answer::default()
    }
}

#[test]
fn small_files_go_whole_with_their_digest() {
    let fake = fake();
    fake.file("target/a/x y", "hello");
    fake.file("target/b", "");
    fake.answer("PUT https://s3.example/b/main/a/x%20y", 200, "");
    fake.answer("PUT https://s3.example/b/main/b", 200, "");
    let options = json!({"files": "target/**", "prefix": "main/", "strip": "target", "content-type": "text/plain"});
    let verdict = upload(&fake, options).unwrap();
    assert_eq!(verdict.status, Status::Passed);
    let requests = fake.requests();
    assert_eq!(requests[0].body, b"hello");
    assert_eq!(
        requests[0].header("content-md5"),
        Some("XUFAKrxLKna5cZ2REBfFkg==")
    );
    assert_eq!(requests[0].header("content-type"), Some("text/plain"));
    assert_eq!(requests[1].body, b"");
    assert_eq!(fake.output("files").as_deref(), Some("2"));
    assert_eq!(fake.output("bytes").as_deref(), Some("5"));
}

#[test]
fn what_the_store_refused_is_not_said_to_be_there() {
    let fake = fake();
    fake.file("a", "hello");
    fake.file("b", "hello");
    fake.answer("PUT https://s3.example/b/a", 200, "");
    fake.answer("PUT https://s3.example/b/b", 403, "");
    upload(&fake, json!({"files": "*"})).unwrap_err();
    assert_eq!(fake.stdout(), "a -> a (5 bytes)\n");
}

#[test]
fn large_files_go_in_parts_in_their_order() {
    let fake = fake();
    fake.file("big", vec![7; 12 << 20]);
    fake.answer(
        "POST https://s3.example/b/big",
        200,
        "<UploadId>i&amp;d</UploadId>",
    );
    for name in ["one", "two", "three"] {
        fake.reply("PUT https://s3.example/b/big", etag(name));
    }
    let verdict = upload(
        &fake,
        json!({"files": "big", "part-size": 5, "in-flight": 2}),
    )
    .unwrap();
    let requests = fake.requests();
    let asked: Vec<_> = requests.iter().map(asked).collect();
    assert_eq!(
        asked,
        [
            "POST /big uploads=",
            "PUT /big partNumber=1&uploadId=i%26d",
            "PUT /big partNumber=2&uploadId=i%26d",
            "PUT /big partNumber=3&uploadId=i%26d",
            "POST /big uploadId=i%26d",
        ]
    );
    // Piper prints what the step says of itself when it passed.
    assert_eq!(fake.stdout(), "big -> big (12582912 bytes)\n");
    assert_eq!(verdict.message, "uploaded 1 files, 12582912 bytes");
    let sizes: Vec<_> = requests.iter().map(|request| request.body.len()).collect();
    assert_eq!(sizes[1..4], [5 << 20, 5 << 20, 2 << 20]);
    let parts = requests[4].text();
    assert!(
        parts.contains("<Part><PartNumber>3</PartNumber><ETag>\"three\"</ETag></Part>"),
        "{parts}"
    );
}

#[test]
fn an_upload_that_fails_is_taken_back() {
    let fake = fake();
    fake.file("big", vec![7; 12 << 20]);
    fake.answer(
        "POST https://s3.example/b/big",
        200,
        "<UploadId>id</UploadId>",
    );
    fake.answer(
        "PUT https://s3.example/b/big",
        403,
        "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
    );
    fake.answer("DELETE https://s3.example/b/big", 204, "");
    let failure = upload(&fake, json!({"files": "big", "part-size": 5})).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(failure.message, "PUT big: the store says AccessDenied: no");
    assert_eq!(
        asked(fake.requests().last().unwrap()),
        "DELETE /big uploadId=id"
    );
}

#[test]
fn an_end_that_is_answered_with_an_error_is_none() {
    let fake = fake();
    fake.file("big", vec![7; 6 << 20]);
    fake.answer(
        "POST https://s3.example/b/big",
        200,
        "<UploadId>id</UploadId>",
    );
    fake.answer(
        "POST https://s3.example/b/big",
        200,
        "<Error><Code>InternalError</Code><Message>busy</Message></Error>",
    );
    fake.reply("PUT https://s3.example/b/big", etag("one"));
    fake.answer("DELETE https://s3.example/b/big", 204, "");
    let failure = upload(&fake, json!({"files": "big", "part-size": 5})).unwrap_err();
    assert!(failure.is_transient(), "{failure}");
    assert_eq!(
        fake.requests().len(),
        1 + 2 + 5 + 1,
        "it was tried five times and taken back"
    );
}

#[test]
fn what_may_pass_is_sent_again() {
    let fake = fake();
    fake.file("a", "hello");
    fake.answer(
        "PUT https://s3.example/b/a",
        503,
        "<Error><Code>SlowDown</Code><Message>slow</Message></Error>",
    );
    fake.fail(
        "PUT https://s3.example/b/a",
        Failure::transient("http.broken", "gone"),
    );
    fake.answer("PUT https://s3.example/b/a", 200, "");
    upload(&fake, json!({"files": "a"})).unwrap();
    assert_eq!(fake.requests().len(), 3);
}

#[test_case("SignatureDoesNotMatch", "secret-key")]
#[test_case("AuthorizationQueryParametersError", "region")]
#[test_case("PermanentRedirect", "url")]
#[test_case("RequestTimeTooSkewed", "clock")]
fn a_refusal_says_what_to_mend(code: &str, word: &str) {
    let fake = fake();
    fake.file("a", "hello");
    let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    fake.answer("PUT https://s3.example/b/a", 403, body);
    let failure = upload(&fake, json!({"files": "a"})).unwrap_err();
    assert!(failure.details["help"].as_str().unwrap().contains(word));
}

#[test_case(json!({"files": "nothing/*"}), "/options/files"; "no file")]
#[test_case(json!({"files": ["a", "nothing/*"]}), "/options/files/1"; "no file for one of two")]
#[test_case(json!({"files": "a", "strip": "target"}), "/options/strip"; "nothing to leave out")]
#[test_case(json!({"files": "a", "prefix": "../other"}), "/options/prefix"; "a prefix that leads up")]
#[test_case(json!({"files": "a", "prefix": "a//b"}), "/options/prefix"; "a prefix with a hole")]
fn a_mistake_is_pointed_at(options: Value, place: &str) {
    let fake = fake();
    fake.file("a", "hello");
    let failure = upload(&fake, options).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(failure.details["path"], place);
    assert_eq!(fake.requests(), []);
}

#[test]
fn there_may_be_nothing_to_upload() {
    let verdict = upload(&fake(), json!({"files": "nothing", "allow-missing": true})).unwrap();
    assert_eq!(verdict.status, Status::Skipped);
}

const PAGE: &str = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t=/</NextContinuationToken>\
    <Contents><Key>main/</Key></Contents><Contents><Key>main/a&amp;b</Key></Contents></ListBucketResult>";
const LAST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>main/c/d</Key></Contents></ListBucketResult>";

#[test]
fn all_below_a_prefix_comes_down_page_by_page() {
    let fake = fake();
    fake.answer("GET https://s3.example/b/", 200, PAGE);
    fake.answer("GET https://s3.example/b/", 200, LAST);
    fake.answer("GET https://s3.example/b/main/a%26b", 200, "1");
    fake.answer("GET https://s3.example/b/main/c/d", 200, "2");
    download(&fake, json!({"prefix": "main", "into": "deps/"})).unwrap();
    assert_eq!(fake.content("deps/a&b").as_deref(), Some(&b"1"[..]));
    assert_eq!(fake.content("deps/c/d").as_deref(), Some(&b"2"[..]));
    assert_eq!(
        asked(&fake.requests()[1]),
        "GET / continuation-token=t%3D%2F&list-type=2&prefix=main%2F"
    );
}

#[test_case("main/../../etc/passwd")]
#[test_case("main/a\\..\\b")]
#[test_case("main//etc/passwd")]
#[test_case("elsewhere/x")]
fn keys_of_others_lead_nowhere_else(key: &str) {
    let fake = fake();
    let page = format!("<Contents><Key>{key}</Key></Contents>");
    fake.answer("GET https://s3.example/b/", 200, page);
    let failure = download(&fake, json!({"prefix": "main"})).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(fake.requests().len(), 1, "nothing was asked for");
}

#[test]
fn an_object_that_is_not_there_is_said() {
    let fake = fake();
    fake.answer(
        "GET https://s3.example/b/a",
        404,
        "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>",
    );
    let failure = download(&fake, json!({"keys": "a"})).unwrap_err();
    assert_eq!(
        (&*failure.code, &*failure.message),
        ("http.404", "GET a: the store says NoSuchKey: none")
    );
    assert_eq!(fake.content("a"), None);
}

#[test]
fn an_empty_prefix_is_a_mistake_unless_it_may_be_empty() {
    let fake = fake();
    fake.answer("GET https://s3.example/b/", 200, "<ListBucketResult/>");
    let failure = download(&fake, json!({"prefix": "main"})).unwrap_err();
    assert_eq!(failure.code, "s3.no-objects");
    let verdict = download(&fake, json!({"prefix": "main", "allow-missing": true})).unwrap();
    assert_eq!(verdict.status, Status::Skipped);
}
