use super::*;
use piper_plugin::testing::Fake;
use test_case::test_case;

/// 2026-03-01T12:00:00Z.
const NOW: Timestamp = Timestamp(1_772_366_400_000_000);

fn config(url: &str, region: &str) -> Config {
    Config {
        url: url.into(),
        region: region.into(),
        access_key: "AKIDEXAMPLE".into(),
    }
}

fn get<'a>(key: &'a str, query: &'a [(&'a str, &'a str)]) -> Unsigned<'a> {
    Unsigned {
        method: "GET",
        key,
        query,
        content_md5: None,
    }
}

fn put_md5() -> Unsigned<'static> {
    Unsigned {
        method: "PUT",
        content_md5: Some("XUFAKrxLKna5cZ2REBfFkg=="),
        ..get("x", &[])
    }
}

fn post_uploads() -> Unsigned<'static> {
    Unsigned {
        method: "POST",
        ..get("x", &[("uploads", "")])
    }
}

// The signatures are those of botocore 1.x (`S3SigV4QueryAuth`) for the same requests.
#[test_case("https://s3.eu-central-1.amazonaws.com/results", "eu-central-1", get("a/b c+é~.txt", &[]),
    "733c25cd06b6282dfc0e2e34a5f6eccdceb1b06371f0e0ec9fe133712218aa65"; "path style and letters")]
#[test_case("https://results.s3.amazonaws.com", "us-east-1", put_md5(),
    "f4c046ae4b908fee71df2e083f6d68b8a2e6f913eab33685782972205fbf4a86"; "virtual host style and a digest")]
#[test_case("https://Results.S3.amazonaws.com:443/", "us-east-1", put_md5(),
    "f4c046ae4b908fee71df2e083f6d68b8a2e6f913eab33685782972205fbf4a86"; "a host written otherwise")]
#[test_case("http://127.0.0.1:9000/results", "us-east-1",
    get("", &[("list-type", "2"), ("prefix", "a b/"), ("continuation-token", "1+2=/&")]),
    "2e88c5b85597de1b775c87bfdc0680c1a0d70f7d7582834382a22ffc76cf52f8"; "a port and a query")]
#[test_case("http://127.0.0.1:9000/results", "us-east-1", post_uploads(),
    "b02991a51463c2bdf515464421e4499eaa21e770805eb5bb9aac03f0052da219"; "an empty value")]
fn a_signature_is_that_of_others(url: &str, region: &str, request: Unsigned<'_>, expected: &str) {
    let fake = Fake::new();
    fake.secret("secret-key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let signed = signed(&config(url, region), &request, NOW).unwrap();
    let (_, signature) = signed.rsplit_once("&X-Amz-Signature=").unwrap();
    assert_eq!(signature, expected, "{signed}");
}

#[test_case("results"; "no scheme")]
#[test_case("s3://results"; "another scheme")]
#[test_case("https:///results"; "no host")]
#[test_case("https://key@s3.example/results"; "a user")]
#[test_case("https://s3.example/results?a"; "a query")]
fn what_is_no_address_is_a_mistake(url: &str) {
    let failure = Place::of(url).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(failure.details["path"], "/config/url");
}

#[test]
fn without_the_key_nothing_is_signed() {
    let _fake = Fake::new();
    let failure = signed(&config("https://s3.example/b", "r"), &get("x", &[]), NOW).unwrap_err();
    assert_eq!(failure.code, "policy.secret");
}
