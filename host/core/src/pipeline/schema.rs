//! The JSON schema of the project file, made from the table of keys, so that editors complete and check the file.
//!
//! It says what a schema can say; cycles, unknown steps and undeclared parameters are for `piper check`.

use super::{
    decode::OF_PROCESSES,
    duration,
    keys::{self, Key, Kind, Table},
};
use crate::notify::Occasion;
use serde_json::{Map, Value, json};

/// The schema, in JSON Schema draft 2020-12.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for table in keys::TABLES {
        if !std::ptr::eq(table, &keys::FILE) {
            definitions.insert(table.id.to_owned(), table_schema(table));
        }
    }
    let mut schema = table_schema(&keys::FILE);
    let root = schema.as_object_mut().expect("a table is an object");
    root.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    root.insert("title".to_owned(), json!("piper.toml"));
    root.insert(
        "description".to_owned(),
        json!("A project that piper builds."),
    );
    root.insert("$defs".to_owned(), Value::Object(definitions));
    schema
}

fn table_schema(table: &Table) -> Value {
    let implemented = || table.keys.iter().filter(|key| key.since.is_some());
    let properties: Map<String, Value> = implemented()
        .map(|key| (key.name.to_owned(), key_schema(key)))
        .collect();
    let required: Vec<&str> = implemented()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let object = schema.as_object_mut().expect("it was made as an object");
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    if std::ptr::eq(table, &keys::STEP) {
        object.insert(
            "oneOf".to_owned(),
            json!([{ "required": ["run"] }, { "required": ["argv"] }, { "required": ["uses"] }]),
        );
        object.insert(
            "dependentSchemas".to_owned(),
            json!({
                "with": { "required": ["uses"] },
                "uses": { "not": { "anyOf": OF_PROCESSES.map(|key| json!({ "required": [key] })) } },
            }),
        );
    }
    if std::ptr::eq(table, &keys::REFERENCE) {
        object.insert("minProperties".to_owned(), json!(1));
        object.insert("maxProperties".to_owned(), json!(1));
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(key.kind);
    let object = schema
        .as_object_mut()
        .expect("the schema of a kind is an object");
    let doc = match key.default {
        Some(default) => format!("{} Default: {default}", key.doc),
        None => key.doc.to_owned(),
    };
    object.insert("description".to_owned(), json!(doc));
    schema
}

/// A whole value: what a person may write for a text.
fn scalar() -> Value {
    scalar_like(NO_NUL)
}

fn scalar_like(expression: &str) -> Value {
    json!({ "type": ["string", "integer", "boolean"], "pattern": whole(expression) })
}

const NO_NUL: &str = "[^\\u0000]*";
const SOME: &str = "[^\\u0000]+";
const NAME: &str = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}";
const PARAM_NAME: &str = "[A-Za-z0-9_][A-Za-z0-9_-]{0,63}";
const VARIABLE: &str = "(?!PIPER_)[^=\\u0000]+";
/// Neither empty nor absolute, nor up before down; what climbs out from farther below is for the parser.
const FOLDER: &str = "(?!/|(\\./+)*\\.\\.(/|$))[^\\u0000]+";

/// The whole of a text. To some validators `$` is a place before a last line feed, too.
fn whole(expression: &str) -> String {
    format!("^({expression})$(?!\\n)")
}

const USES_NAME: &str =
    "(?!self(/|$))[A-Za-z0-9][A-Za-z0-9_-]{0,63}(/[A-Za-z0-9][A-Za-z0-9_-]{0,63})?";
const USES_FILE: &str = "\\./(?!\\.\\./)(?!.*/\\.\\./)[^\\u0000]*\\.wasm";
const USES_URL: &str = "https://[^\\s/?#@][^\\s#]*";

/// Where a plugin is to be had.
fn source() -> Value {
    string_like(&format!("{USES_FILE}|{USES_URL}"))
}

fn text() -> Value {
    string_like("[^\\u0000]*[^\\s\\u0000][^\\u0000]*")
}

fn string_like(expression: &str) -> Value {
    json!({ "type": "string", "pattern": whole(expression) })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": items })
}

/// A list whose first element is a program.
fn command(program: &Value, arguments: &Value) -> Value {
    let mut list = list(arguments);
    list["prefixItems"] = json!([program]);
    list
}

fn named(names: &str, values: &Value) -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": whole(names) }, "additionalProperties": values })
}

fn reference_to(table: &Table) -> Value {
    json!({ "$ref": format!("#/$defs/{}", table.id) })
}

fn value() -> Value {
    value_like(NO_NUL)
}

fn value_like(expression: &str) -> Value {
    json!({ "anyOf": [scalar_like(expression), reference_to(&keys::REFERENCE)] })
}

fn kind_schema(kind: Kind) -> Value {
    let name = string_like(NAME);
    match kind {
        Kind::Text => text(),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration { zero } => {
            let positive = if zero { "" } else { "(?=.*[1-9])" };
            let expression = format!("{positive}{}", duration::pattern());
            let mut duration = string_like(&expression);
            duration["minLength"] = json!(2);
            duration
        }
        // Both spellings of a signal are taken; an editor need complete only one.
        Kind::OneOf(words) if words.contains(&"TERM") => {
            let words: Vec<String> = words
                .iter()
                .flat_map(|word| [(*word).to_owned(), format!("SIG{word}")])
                .collect();
            json!({ "enum": words })
        }
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Patterns => {
            json!({ "anyOf": [text(), list(&string_like(NO_NUL))] })
        }
        Kind::Argv => command(&string_like(SOME), &string_like(NO_NUL)),
        Kind::Values => command(&value_like(SOME), &value()),
        Kind::Value => value(),
        Kind::Folder => value_like(FOLDER),
        Kind::Scalar => scalar(),
        Kind::Choices => {
            let mut choices = list(&scalar());
            choices["uniqueItems"] = json!(true);
            choices
        }
        Kind::Env => named(VARIABLE, &value()),
        Kind::EnvPatterns => json!({
            "type": "array",
            "items": string_like("(?!PIPER_)[^=*\\u0000]+\\*?"),
        }),
        Kind::Secrets => json!({
            "type": "array",
            "uniqueItems": true,
            "items": string_like("(?!PIPER_)[A-Za-z_][A-Za-z0-9_]*"),
        }),
        Kind::StepNames => json!({ "type": "array", "uniqueItems": true, "items": name }),
        Kind::Slots => list(&json!({ "anyOf": [name, list(&name)] })),
        Kind::EnvironmentName | Kind::AxisName => name,
        Kind::ParamName => string_like(PARAM_NAME),
        Kind::Steps => named(
            NAME,
            &json!({ "anyOf": [text(), reference_to(&keys::STEP)] }),
        ),
        Kind::Pipelines => named(NAME, &reference_to(&keys::PIPELINE)),
        Kind::Environments => {
            let mut environments = named(NAME, &reference_to(&keys::ENVIRONMENT));
            environments["propertyNames"]["not"] = json!({ "enum": ["local", "clean"] });
            environments
        }
        Kind::Uses => string_like(&format!("{USES_NAME}|{USES_FILE}|{USES_URL}")),
        Kind::PluginSource => source(),
        Kind::Options | Kind::Config => json!({ "type": "object" }),
        Kind::Plugins => {
            let plugin = json!({ "anyOf": [source(), reference_to(&keys::PLUGIN)] });
            let mut plugins = named(NAME, &plugin);
            plugins["propertyNames"]["not"] = json!({ "const": "self" });
            plugins
        }
        Kind::Notify => named(NAME, &reference_to(&keys::NOTIFY)),
        Kind::Occasions => {
            let mut occasions = list(&json!({ "enum": Occasion::ALL.map(|(word, _)| word) }));
            occasions["uniqueItems"] = json!(true);
            occasions
        }
        Kind::PipelineNames => {
            let mut names = list(&name);
            names["uniqueItems"] = json!(true);
            names
        }
        Kind::Params => named(
            PARAM_NAME,
            &json!({ "anyOf": [scalar(), reference_to(&keys::PARAM)] }),
        ),
        Kind::Matrix => matrix(),
        Kind::Retry => {
            json!({ "anyOf": [kind_schema(keys::RETRY_MAX), reference_to(&keys::RETRY)] })
        }
        Kind::RetryOn => list(&string_like(
            "exit|exit:0*([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])|signal|timeout",
        )),
        Kind::When => {
            json!({ "anyOf": [{ "enum": keys::WHEN_STATUS }, reference_to(&keys::WHEN)] })
        }
        Kind::WhenParam => named(PARAM_NAME, &json!({ "anyOf": [scalar(), list(&scalar())] })),
        Kind::Version => json!({ "anyOf": [text(), reference_to(&keys::VERSION)] }),
        Kind::Project => reference_to(&keys::PROJECT),
        Kind::Unknown => json!({}),
    }
}

fn matrix() -> Value {
    let axis = kind_schema(Kind::Choices);
    let exclusion = json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": whole(NAME) },
        "additionalProperties": scalar(),
    });
    json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": whole(NAME) },
        "properties": {
            "exclude": {
                "type": "array",
                "description": "Combinations that are left out: cells that have all values of one of these.",
                "items": exclusion,
            },
        },
        "additionalProperties": axis,
        // Exclusions alone are no axis.
        "dependentSchemas": { "exclude": { "minProperties": 2 } },
    })
}
