//! What a step's plugin points at in the code: from the item of a report to the event, and to a line of the log.
//!
//! The plugin may say anything. What is no annotation is nothing here, and what is too long is cut.

use crate::ui::sanitize::words;
use piper_core::wire::v1::{Annotation, Level};
use serde_json::{Map, Value};
use std::path::{Component, Path, PathBuf};

/// How long a message may be, in bytes.
const MESSAGE: usize = 4 << 10;
/// How long a title may be, in bytes.
const TITLE: usize = 256;
/// How long a path may be, in bytes.
const FILE: usize = 1 << 10;

/// Members that say where in a file.
const WHERE: [&str; 3] = ["line", "column", "end-line"];

/// Where a step works.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    /// The top of the project on this machine.
    pub(super) top: PathBuf,
    /// The folder below it that is the plugin's workspace, if that is not the top itself.
    pub(super) below: Option<String>,
}

/// Names the file that an item points at from the top of the project, where whoever reads it stands: the plugin knows only its
/// workspace. Takes away a place that is none, and says so.
pub(super) fn place(workspace: &Workspace, item: &mut Value) -> Option<String> {
    let item = item.as_object_mut()?;
    let why = match item.get_mut("file") {
        Some(Value::String(file)) => match placed(workspace, file) {
            Some(placed) => {
                *file = placed;
                return number(item);
            }
            None => format!("`{}` is no file below the workspace", words(file)),
        },
        Some(_) | None => {
            WHERE.iter().find(|key| item.contains_key(**key))?;
            "it says where in a file, and has no `file`".to_owned()
        }
    };
    item.remove("file");
    for key in WHERE {
        item.remove(key);
    }
    Some(format!("an annotation is shown without a place: {why}"))
}

/// Makes a notice of an item whose level is none, and says so.
pub(super) fn level(item: &mut Value) -> Option<String> {
    let level = item.get_mut("level")?;
    if matches!(level.as_str(), Some("error" | "warning" | "notice")) {
        return None;
    }
    let was = std::mem::replace(level, Value::from("notice"));
    Some(format!(
        "an annotation is shown as a notice: its `level` is {}, and not \"error\", \"warning\" or \"notice\"",
        words(&was.to_string())
    ))
}

/// Takes away the first number of a line or a column that is none, and all others with it.
fn number(item: &mut Map<String, Value>) -> Option<String> {
    let is_one = |value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.is_some_and(|number| number > 0)
    };
    let wrong = |key: &&&str| item.get(**key).is_some_and(|value| !is_one(value));
    let wrong = *WHERE.iter().find(wrong)?;
    for key in WHERE {
        item.remove(key);
    }
    Some(format!(
        "an annotation is shown without a line: its `{wrong}` is not a number from 1 on"
    ))
}

/// A path from the top of the project, unless it leads out of there. One from the root of the machine is of a tool that ran natively.
fn placed(workspace: &Workspace, file: &str) -> Option<String> {
    let mut below = workspace.below.as_deref();
    let inside = if let Some(rest) = file.strip_prefix("/workspace") {
        Path::new(rest.strip_prefix('/')?)
    } else if file.starts_with('/') {
        below = None;
        Path::new(file).strip_prefix(&workspace.top).ok()?
    } else {
        Path::new(file)
    };
    // It is shown in one line, before what the annotation says.
    if file.chars().any(char::is_control) || inside.file_name().is_none() {
        return None;
    }
    let mut placed = PathBuf::new();
    for part in Path::new(below.unwrap_or_default())
        .join(inside)
        .components()
    {
        match part {
            Component::CurDir => {}
            Component::ParentDir if placed.file_name().is_some() => _ = placed.pop(),
            Component::ParentDir => return None,
            part => placed.push(part),
        }
    }
    Some(placed.to_string_lossy().into_owned())
}

/// The annotation that an item of a report is; the host took it for an object.
pub(super) fn read(step: &str, r#try: u32, item: &Value) -> Option<Annotation> {
    let item = item.as_object()?;
    let text = |key: &str, most| Some(cut(item.get(key)?.as_str()?, most));
    // The SDK writes `end-line`; events have underlines.
    let number = |key: &str| u32::try_from(item.get(key)?.as_u64()?).ok();
    Some(Annotation {
        step: step.to_owned(),
        r#try,
        level: match item.get("level").and_then(Value::as_str) {
            Some("error") => Level::Error,
            Some("warning") => Level::Warning,
            Some(_) | None => Level::Notice,
        },
        message: text("message", MESSAGE).unwrap_or_default(),
        // It stands in one line, before the message.
        title: item
            .get("title")
            .and_then(Value::as_str)
            .map(|title| cut(&words(title), TITLE)),
        file: text("file", FILE),
        line: number("line"),
        column: number("column"),
        end_line: number("end-line"),
    })
}

/// A text of at most so many bytes.
fn cut(text: &str, most: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    format!(
        "{}{CUT}",
        &text[..text.floor_char_boundary(most - CUT.len())]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use test_case::test_case;

    #[test]
    fn what_is_missing_or_of_another_type_is_left_out() {
        let item = json!({ "level": "praise", "message": 7, "file": "a.rs", "line": -1, "column": 2, "end-line": 3 });
        let annotation = read("a", 2, &item).unwrap();
        let expected = Annotation {
            step: "a".to_owned(),
            r#try: 2,
            level: Level::Notice,
            message: String::new(),
            title: None,
            file: Some("a.rs".to_owned()),
            line: None,
            column: Some(2),
            end_line: Some(3),
        };
        assert_eq!(annotation, expected);
        assert_eq!(read("a", 1, &json!([1])), None);
    }

    fn workspace(below: Option<&str>) -> Workspace {
        Workspace {
            top: "/home/me/hello".into(),
            below: below.map(str::to_owned),
        }
    }

    #[test_case(None, "./src//a.rs", "src/a.rs")]
    #[test_case(Some("docs"), "a.rs", "docs/a.rs")]
    #[test_case(Some("docs"), "../src/./a.rs", "src/a.rs")]
    #[test_case(Some("docs"), "/workspace/a.rs", "docs/a.rs"; "from its own root")]
    #[test_case(Some("docs"), "/home/me/hello/src/a.rs", "src/a.rs"; "from the root of the machine")]
    fn files_are_named_from_the_top(below: Option<&str>, file: &str, expected: &str) {
        let mut item = json!({ "file": file });
        assert_eq!(place(&workspace(below), &mut item), None);
        assert_eq!(item["file"], expected);
    }

    #[test_case(json!({ "file": "../../a.rs", "line": 3, "title": "t" }), "`../../a.rs` is no file below the workspace"; "above")]
    #[test_case(json!({ "file": "src/../../a.rs", "title": "t" }), "is no file below the workspace"; "above by way of a folder")]
    #[test_case(json!({ "file": "/workspace/../a.rs", "title": "t" }), "is no file below the workspace"; "above its own root")]
    #[test_case(json!({ "file": "/../a.rs", "title": "t" }), "is no file below the workspace"; "above the root of all")]
    #[test_case(json!({ "file": "a.rs\nb.rs:3: error: forged", "line": 3, "title": "t" }), "is no file below the workspace"; "two lines")]
    #[test_case(json!({ "file": "/etc/passwd", "line": 1, "title": "t" }), "`/etc/passwd` is no file below the workspace"; "elsewhere")]
    #[test_case(json!({ "file": "/home/me/hello/../a.rs", "title": "t" }), "is no file below the workspace"; "above the top, from the root of the machine")]
    #[test_case(json!({ "file": "", "title": "t" }), "`` is no file"; "nothing")]
    #[test_case(json!({ "file": ".", "title": "t" }), "`.` is no file"; "the workspace itself")]
    #[test_case(json!({ "file": "/workspace", "title": "t" }), "`/workspace` is no file"; "the workspace by its name")]
    #[test_case(json!({ "line": 3, "title": "t" }), "it says where in a file, and has no `file`"; "a line of no file")]
    #[test_case(json!({ "file": 7, "column": 3, "title": "t" }), "has no `file`"; "a file that is no text")]
    fn a_place_that_is_none_is_taken_away_and_told(mut item: Value, why: &str) {
        let told = place(&workspace(None), &mut item).unwrap();
        assert!(told.contains(why), "{told}");
        assert_eq!(item, json!({ "title": "t" }));
    }

    #[test_case(json!({ "level": "praise" }), Some("its `level` is \"praise\", and not"); "a word that is none")]
    #[test_case(json!({ "level": 3 }), Some("its `level` is 3, and not"); "a number")]
    #[test_case(json!({ "level": "notice" }), None; "a level")]
    fn a_level_that_is_none_is_a_notice_and_told(mut item: Value, why: Option<&str>) {
        let told = level(&mut item);
        assert_eq!(told.is_some(), why.is_some());
        assert!(told.unwrap_or_default().contains(why.unwrap_or_default()));
        assert_eq!(item, json!({ "level": "notice" }));
    }

    #[test]
    fn a_title_is_one_line_whatever_the_plugin_says() {
        let item = json!({ "title": "t\n\u{1b}[1Aa.rs:1: error: forged\u{202e}" });
        let title = read("a", 1, &item).unwrap().title.unwrap();
        assert!(title.starts_with("t "), "{title:?}");
        assert!(!title.contains(['\n', '\u{1b}', '\u{202e}']), "{title:?}");
    }

    #[test]
    fn an_annotation_without_a_level_is_a_notice() {
        assert_eq!(level(&mut json!({ "message": "m" })), None);
        assert_eq!(read("a", 1, &json!({})).unwrap().level, Level::Notice);
    }

    #[test_case(json!(0); "the line before the first")]
    #[test_case(json!(-3); "a negative one")]
    #[test_case(json!(1.5); "half a line")]
    #[test_case(json!("7"); "a text")]
    #[test_case(json!(99_999_999_999_999_u64); "too many")]
    fn a_line_that_is_none_is_taken_away_and_told(line: Value) {
        let mut item = json!({ "file": "a.rs", "line": line, "column": 3 });
        let told = place(&workspace(None), &mut item).unwrap();
        assert!(
            told.contains("its `line` is not a number from 1 on"),
            "{told}"
        );
        assert_eq!(item, json!({ "file": "a.rs" }));
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_it_may_be(text in "[aé🦀]{0,12}", most in 3_usize..20) {
            let cut = cut(&text, most);
            prop_assert!(cut.len() <= most);
            prop_assert!(cut == text || cut.ends_with('…') && text.starts_with(cut.trim_end_matches('…')));
        }
    }
}
