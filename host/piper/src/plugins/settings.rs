//! The configuration and the options of plugins, held against the JSON schemas that their authors wrote.
//!
//! A schema is a stranger's: what it cannot be used for is said, and it is never followed to another file or server.

use jsonschema::{Validator, error::ValidationErrorKind};
use piper_core::suggest;
use piper_plugin_host::kind::Kind;
use serde_json::{Map, Value};

/// How many mistakes are told of: behind the first few they are each other's consequences.
const MOST: usize = 20;

/// Something that a schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where, as a JSON pointer into what was checked.
    pub(crate) pointer: String,
    /// Whether the name there is wrong, not the value.
    pub(crate) is_name: bool,
    /// What is the matter, as the end of a sentence that begins with what is at the pointer: ` is not known`, `: 3 is no text`.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

/// Reads the section of the options' schemas, `{KIND: {NAME: schema}}`.
///
/// # Errors
///
/// When it has another shape: why. Nothing would be checked then, and nobody would notice.
pub(crate) fn schemas(text: &str) -> Result<Value, String> {
    let schemas: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    const SHAPE: &str = "they stand by kind and name, as in {\"step-runner\": {\"greet\": {…}}}";
    let kinds = schemas.as_object();
    let kinds = kinds.ok_or_else(|| format!("they are no JSON object; {SHAPE}"))?;
    // A kind that only a later piper knows may be beside those that are known.
    if !kinds.is_empty() && !kinds.keys().any(|key| is_kind(key)) {
        return Err(format!("{} is no kind of plugin; {SHAPE}", quoted(kinds)));
    }
    for (kind, types) in kinds.iter().filter(|(kind, _)| is_kind(kind)) {
        let types = types
            .as_object()
            .ok_or_else(|| format!("`{kind}` has no names; {SHAPE}"))?;
        for (name, schema) in types {
            if !schema.is_object() && !schema.is_boolean() {
                let keys = quoted(types);
                return Err(format!(
                    "{keys} of `{kind}` is the name of no schema; {SHAPE}"
                ));
            }
            if is_by_kind(schema) {
                return Err(format!(
                    "the one of `{kind}`, \"{name}\", is again one by kind: the file that `schema` names is the schema of `with` alone"
                ));
            }
        }
    }
    Ok(schemas)
}

/// Whether something that should be a schema has schemas by kind.
pub(crate) fn is_by_kind(schema: &Value) -> bool {
    let members = schema.as_object();
    members.is_some_and(|members| !members.is_empty() && members.keys().all(|key| is_kind(key)))
}

fn is_kind(word: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.name() == word)
}

/// The names of an object's members, as far as anybody wants to read them.
fn quoted(object: &Map<String, Value>) -> String {
    let names: Vec<_> = object
        .keys()
        .take(3)
        .map(|key| format!("`{key}`"))
        .collect();
    names.join(", ")
}

/// The schema of one kind's options: `schemas` is `{KIND: {NAME: schema}}`, in which a plugin with one type of a kind may leave the name empty.
pub(crate) fn of<'s>(schemas: &'s Value, kind: &str, name: &str) -> Option<&'s Value> {
    let kind = schemas.get(kind)?;
    kind.get(name).or_else(|| kind.get(""))
}

/// A schema, made ready: that takes as long as starting a process, and checking against it next to nothing.
#[derive(Debug)]
pub(crate) struct Schema {
    text: Value,
    validator: Validator,
}

impl Schema {
    /// Makes a schema ready.
    ///
    /// # Errors
    ///
    /// When it cannot be used: why.
    pub(crate) fn new(text: &Value) -> Result<Self, String> {
        // As the schema's own `$schema` says, and 2020-12 if it says nothing.
        let validator = jsonschema::validator_for(text).map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.clone(),
            validator,
        })
    }

    /// Puts defaults where nothing is, and returns what is wrong with the whole.
    pub(crate) fn check(&self, value: &mut Value) -> Vec<Mistake> {
        fill(&self.text, value);
        mistakes(&self.validator, &self.text, value)
    }
}

/// Fills in the defaults of members that are not there; those behind a `$ref` or an alternative are the plugin's own affair.
fn fill(schema: &Value, value: &mut Value) {
    let (Some(properties), Some(members)) = (
        schema.get("properties").and_then(Value::as_object),
        value.as_object_mut(),
    ) else {
        return;
    };
    for (name, schema) in properties {
        match (members.get_mut(name), schema.get("default")) {
            (Some(member), _) => fill(schema, member),
            (None, Some(default)) => _ = members.insert(name.clone(), default.clone()),
            (None, None) => {}
        }
    }
}

fn mistakes(validator: &Validator, schema: &Value, value: &Value) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for error in validator.iter_errors(value).take(MOST) {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = known(schema, &pointer);
                mistakes.extend(unexpected.iter().map(|name| Mistake {
                    pointer: format!("{pointer}/{}", piper_core::plugin::pointer_part(name)),
                    is_name: true,
                    message: " is not known".to_owned(),
                    help: unknown(name, &known),
                }));
            }
            ValidationErrorKind::Required { property } => mistakes.push(Mistake {
                pointer,
                is_name: false,
                message: format!(": `{}` is missing", property.as_str().unwrap_or_default()),
                help: None,
            }),
            _ => mistakes.push(Mistake {
                pointer,
                is_name: false,
                message: format!(": {error}"),
                help: None,
            }),
        }
    }
    mistakes
}

fn unknown(name: &str, known: &[&str]) -> Option<String> {
    match suggest::closest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known are `{}`", known.join("`, `"))),
    }
}

/// The names that a schema gives to the members of the object at this pointer.
fn known<'s>(schema: &'s Value, pointer: &str) -> Vec<&'s str> {
    let mut here = Some(schema);
    for part in pointer.split('/').skip(1) {
        here = here.and_then(|schema| schema.get("properties")?.get(part));
    }
    let properties = here.and_then(|schema| schema.get("properties")?.as_object());
    properties.map_or_else(Vec::new, |properties| {
        properties.keys().map(String::as_str).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use test_case::test_case;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["files"],
            "properties": {
                "files": { "type": "array", "items": { "type": "string" } },
                "max": { "type": "integer", "default": 3, "maximum": 9 },
                "more": { "type": "object", "properties": { "deep": { "default": true } }, "additionalProperties": false },
            },
        })
    }

    #[test_case(json!({}), None; "none")]
    #[test_case(json!({ "step-runner": { "": { "type": "object" }, "a": true } }), None; "by kind and name")]
    #[test_case(json!({ "step-runner": {}, "step-teleporter": 1 }), None; "beside a later kind")]
    #[test_case(json!([]), Some("no JSON object"); "a list")]
    #[test_case(json!({ "type": "object", "properties": {} }), Some("`properties`, `type` is no kind"); "a schema alone")]
    #[test_case(json!({ "step-runner": { "type": "object", "properties": {} } }), Some("of `step-runner` is the name of no schema"); "without a name")]
    #[test_case(json!({ "step-runner": 1 }), Some("`step-runner` has no names"); "no names")]
    #[test_case(json!({ "step-runner": { "greet": { "step-runner": { "": {} } } } }), Some("is again one by kind"); "twice by kind")]
    fn schemas_of_another_shape_are_refused(value: Value, why: Option<&str>) {
        match (schemas(&value.to_string()), why) {
            (Ok(read), None) => assert_eq!(read, value),
            (Err(said), Some(why)) => assert!(said.contains(why), "{said}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test_case(json!({ "files": [], "flies": 1 }), "/flies", " is not known", Some("did you mean `files`?"); "a slip")]
    #[test_case(json!({ "files": [], "zebra": 1 }), "/zebra", " is not known", Some("known are `files`, `max`, `more`"); "a stranger")]
    #[test_case(json!({ "files": [], "more": { "dep": 1 } }), "/more/dep", " is not known", Some("did you mean `deep`?"); "further down")]
    #[test_case(json!({}), "", ": `files` is missing", None; "a missing one")]
    #[test_case(json!({ "files": ["a", 1] }), "/files/1", ": 1 is not of type \"string\"", None; "another type")]
    #[test_case(json!({ "files": [], "max": 10 }), "/max", ": 10 is greater than the maximum of 9", None; "out of bounds")]
    fn a_mistake_is_told_with_its_place(
        mut value: Value,
        pointer: &str,
        message: &str,
        help: Option<&str>,
    ) {
        let expected = Mistake {
            pointer: pointer.to_owned(),
            is_name: message == " is not known",
            message: message.to_owned(),
            help: help.map(str::to_owned),
        };
        let schema = Schema::new(&schema()).unwrap();
        assert_eq!(schema.check(&mut value), [expected]);
    }

    #[test]
    fn defaults_are_filled_in_where_nothing_is() {
        let mut value = json!({ "files": [], "more": {} });
        let schema = Schema::new(&schema()).unwrap();
        assert_eq!(schema.check(&mut value), []);
        assert_eq!(
            value,
            json!({ "files": [], "max": 3, "more": { "deep": true } })
        );
    }

    #[test]
    fn a_schema_means_what_its_own_draft_says() {
        // A list of two items, each with its own schema: 2020-12 has another word for that.
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{ "type": "string" }, { "type": "integer" }],
        });
        let schema = Schema::new(&schema).unwrap();
        assert_eq!(schema.check(&mut json!(["a", 1])), []);
        let mistakes = schema.check(&mut json!(["a", "b"]));
        assert_eq!(mistakes[0].pointer, "/1");
    }

    #[test_case(json!({ "$schema": "https://example.com/dialect" }); "in a language that nobody knows")]
    #[test_case(json!({ "type": 3 }); "nonsense")]
    #[test_case(json!({ "$ref": "https://example.com/schema.json" }); "one that is elsewhere")]
    #[test_case(json!({ "$ref": "file:///etc/passwd" }); "one of this machine")]
    fn a_schema_that_cannot_be_used_is_refused(schema: Value) {
        assert!(Schema::new(&schema).is_err());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let check = |schema: &Value, mut value: Value| {
            Schema::new(schema).map(|schema| schema.check(&mut value))
        };
        let _ = check(&json!({ "$ref": "#" }), json!({ "a": 1 }));
        let pattern = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } });
        let many = format!("{}b", "a".repeat(100));
        let _ = check(&pattern, json!({ "a": many }));
    }

    #[test]
    fn options_are_those_of_a_kind_and_a_name() {
        let schemas =
            json!({ "step-runner": { "up": { "a": 1 }, "down": {} }, "notifier": { "": {} } });
        assert_eq!(of(&schemas, "step-runner", "up"), Some(&json!({ "a": 1 })));
        assert_eq!(of(&schemas, "step-runner", "left"), None);
        assert_eq!(of(&schemas, "notifier", "chat"), Some(&json!({})));
        assert_eq!(of(&schemas, "step-planner", ""), None);
    }
}
