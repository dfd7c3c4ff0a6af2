use super::*;
use serde_json::{Value, json};
use test_case::test_case;

/// Where results go.
#[settings]
struct Upload {
    /// The "bucket".
    #[setting(pattern = "[a-z]+")]
    bucket: String,
    /// How many at once.
    #[setting(default = 4, min = 1, max = 8)]
    in_flight: u32,
    #[setting(default = -1.5, min = -2)]
    offset: f64,
    #[setting(default = "eu\\west\n")]
    region: String,
    #[setting(default)]
    access: Access,
    only: Option<Vec<u8>>,
    #[setting(name = "type")]
    kind: Access,
    tags: Option<BTreeMap<String, Nested>>,
}

#[settings]
#[derive(Default, PartialEq)]
enum Access {
    #[default]
    Private,
    PublicRead,
    #[setting(name = "PUBLIC")]
    Open,
}

#[settings]
struct Nested {
    r#try: bool,
}

fn schema_of<T: Setting>() -> Value {
    serde_json::from_str(&schema::<T>()).unwrap()
}

#[test]
fn a_schema_says_what_the_type_does() {
    let access = json!(["private", "public-read", "PUBLIC"]);
    assert_eq!(
        schema_of::<Upload>(),
        json!({
            "title": "Where results go.",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "bucket": {"description": "The \"bucket\".", "pattern": "[a-z]+", "type": "string"},
                "in-flight": {"description": "How many at once.", "default": 4, "type": "integer", "minimum": 1, "maximum": 8},
                "offset": {"default": -1.5, "type": "number", "minimum": -2},
                "region": {"default": "eu\\west\n", "type": "string"},
                "access": {"enum": access},
                "only": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
                "type": {"enum": access},
                "tags": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {"try": {"type": "boolean"}},
                        "required": ["try"],
                    },
                },
            },
            "required": ["bucket", "type"],
        })
    );
}

#[test]
fn no_member_of_a_schema_is_said_twice() {
    // The parser of above keeps the last of two and says nothing.
    for member in ["minimum", "maximum", "default", "type"] {
        let in_flight = schema::<Upload>();
        let (_, rest) = in_flight.split_once("\"in-flight\":{").unwrap();
        let (in_flight, _) = rest.split_once('}').unwrap();
        assert_eq!(
            in_flight.matches(&format!("\"{member}\":")).count(),
            1,
            "{member}"
        );
    }
}

#[test_case(json!({"bucket": "b", "type": "PUBLIC"}), true; "what is required")]
#[test_case(json!({"bucket": "b", "type": "private", "only": [0, 255], "tags": {"a": {"try": true}}}), true; "all of it")]
#[test_case(json!({"type": "private"}), false; "no bucket")]
#[test_case(json!({"bucket": "b", "type": "Private"}), false; "a word that is none")]
#[test_case(json!({"bucket": "b", "type": "private", "buckets": 1}), false; "a key that nobody has")]
#[test_case(json!({"bucket": "b", "type": "private", "in_flight": 1}), false; "a key as Rust writes it")]
#[test_case(json!({"bucket": "b", "type": "private", "only": [256]}), false; "a number that is too large")]
#[test_case(json!({"bucket": "b", "type": "private", "tags": {"a": {}}}), false; "something missing further in")]
fn schema_and_type_agree(settings: Value, is_good: bool) {
    let validator = jsonschema::validator_for(&schema_of::<Upload>()).unwrap();
    assert_eq!(validator.is_valid(&settings), is_good, "the schema");
    let read = read::<Upload>(&settings.to_string(), "/options");
    assert_eq!(read.is_ok(), is_good, "{read:?}");
}

#[test]
fn what_is_not_given_is_the_default() {
    let upload: Upload = read(r#"{"bucket": "b", "type": "public-read"}"#, "/options").unwrap();
    assert_eq!(
        (upload.in_flight, upload.offset, upload.region.as_str()),
        (4, -1.5, "eu\\west\n")
    );
    assert_eq!(
        (upload.access, upload.kind),
        (Access::Private, Access::PublicRead)
    );
}

#[test]
fn a_mistake_is_told_at_its_place() {
    let failure = read::<Upload>("{}", "/config").unwrap_err();
    assert_eq!(failure.details["path"], "/config");
    assert!(failure.message.contains("bucket"), "{failure}");
}

#[test_case("{}", true; "an empty object")]
#[test_case(r#"{"a": 1}"#, false; "something")]
#[test_case("null", true; "nothing")]
fn no_settings_are_an_empty_object(json: &str, is_good: bool) {
    assert_eq!(read::<()>(json, "/options").is_ok(), is_good);
}

#[test]
fn several_schemas_are_one_object() {
    const BOTH: Schema = Schema::Join(&[
        Schema::Text("{"),
        Schema::Object(&[("a", <Nested as Setting>::SCHEMA), ("b", Schema::Text(""))]),
        Schema::Text("}"),
    ]);
    const RENDERED: [u8; length(&BOTH)] = render(&BOTH);
    let both: Value = serde_json::from_slice(&RENDERED).unwrap();
    assert_eq!(both["a"], schema_of::<Nested>());
    assert_eq!(both["b"], json!({}));
}

#[test_case(r#"{"files": "a"}"#, &["a"]; "one")]
#[test_case(r#"{"files": ["a", "b"]}"#, &["a", "b"]; "two")]
fn one_text_is_a_list_of_one(json: &str, expected: &[&str]) {
    #[settings]
    struct Files {
        files: OneOrMore,
    }
    assert_eq!(read::<Files>(json, "").unwrap().files.0, expected);
    let schema = serde_json::from_str(&schema::<Files>()).unwrap();
    let json: Value = serde_json::from_str(json).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
}

#[test_case(&["b/*.xml", "*/x.xml"], &[], &["a/x.xml", "b/x.xml", "b/y.xml"]; "each path once and in order")]
#[test_case(&["c/*", "a/*"], &["/options/files/0"], &["a/x.xml"]; "one of two matches nothing")]
#[test_case(&["c/*"], &["/options/files"], &[]; "the only one matches nothing")]
fn patterns_become_paths(patterns: &[&str], missed: &[&str], expected: &[&str]) {
    let fake = crate::testing::Fake::new();
    for path in ["b/y.xml", "b/x.xml", "a/x.xml"] {
        fake.file(path, "");
    }
    let patterns = OneOrMore(patterns.iter().map(ToString::to_string).collect());
    let told = std::cell::RefCell::new(Vec::new());
    let paths = patterns.paths("files", |mistake| {
        told.borrow_mut().push(mistake.details["path"].clone());
        Ok(())
    });
    assert!(paths.unwrap().iter().eq(expected));
    assert_eq!(told.into_inner(), missed);
}

#[settings]
struct Lists {
    #[setting(default = ["a/**", "b"])]
    files: Vec<String>,
    #[setting(default = [1, 2])]
    numbers: Vec<u8>,
    #[setting(default = "src/**")]
    one: OneOrMore,
    #[setting(default = ["c", "d"])]
    more: OneOrMore,
    #[setting(default = [])]
    none: Vec<u32>,
}

#[test]
fn a_default_may_be_a_list() {
    let lists: Lists = read("{}", "/options").unwrap();
    assert_eq!(lists.files, ["a/**", "b"]);
    assert_eq!(lists.numbers, [1, 2]);
    assert_eq!((&lists.one).into_iter().collect::<Vec<_>>(), ["src/**"]);
    assert_eq!(lists.more.0, ["c", "d"]);
    assert_eq!(lists.none, [0; 0]);
    let schema = schema_of::<Lists>();
    let default = |name: &str| schema["properties"][name]["default"].clone();
    assert_eq!(default("files"), json!(["a/**", "b"]));
    assert_eq!(default("numbers"), json!([1, 2]));
    assert_eq!(default("one"), json!("src/**"));
}
