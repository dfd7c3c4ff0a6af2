//! Checks settings against their schema and fills defaults in, as the host does: as much of JSON Schema as `#[settings]` makes.

use crate::{
    failure::{Failure, Result},
    settings::{Setting, schema},
};
use regex_lite::Regex;
use serde_json::{Map, Value};

/// The settings with their defaults, or `invalid` at the first mistake.
pub(super) fn checked<T: Setting>(mut value: Value, at: &str) -> Result<Value> {
    let schema: Value = serde_json::from_str(&schema::<T>())
        .map_err(|error| Failure::from(error).while_doing("the settings have no proper schema"))?;
    check(&mut value, &schema, at)?;
    Ok(value)
}

fn wrong<T>(at: &str, message: String) -> Result<T> {
    Err(Failure::invalid("settings", message).at(at))
}

fn check(value: &mut Value, schema: &Value, at: &str) -> Result<()> {
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return wrong(at, format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(wanted) = schema["type"].as_str()
        && !is_type(value, wanted)
    {
        return wrong(at, format!("{value} is no {wanted}"));
    }
    for (bound, is_beyond) in [
        (
            "minimum",
            (|value, bound| value < bound) as fn(f64, f64) -> bool,
        ),
        ("maximum", |value, bound| value > bound),
    ] {
        if let (Some(number), Some(limit)) = (value.as_f64(), schema[bound].as_f64())
            && is_beyond(number, limit)
        {
            return wrong(
                at,
                format!("{value} is beyond the {bound}, {}", schema[bound]),
            );
        }
    }
    if let (Some(text), Some(pattern)) = (value.as_str(), schema["pattern"].as_str()) {
        let regex = Regex::new(pattern).map_err(|error| {
            let message =
                format!("the pattern `{pattern}` is none that can be tried here: {error}");
            Failure::invalid("settings", message).at(at)
        })?;
        if !regex.is_match(text) {
            return wrong(at, format!("{value} does not match `{pattern}`"));
        }
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                check(item, &schema["items"], &format!("{at}/{index}"))?;
            }
            Ok(())
        }
        Value::Object(members) => object(members, schema, at),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn object(members: &mut Map<String, Value>, schema: &Value, at: &str) -> Result<()> {
    let nothing = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&nothing);
    for (name, property) in properties {
        if let Some(default) = property.get("default") {
            members.entry(name).or_insert_with(|| default.clone());
        }
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for name in required {
        if !members.contains_key(name) {
            return wrong(at, format!("`{name}` is missing"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}/{name}");
        match (properties.get(name), &schema["additionalProperties"]) {
            (Some(property), _) => check(member, property, &at)?,
            (None, Value::Bool(false)) => return wrong(&at, format!("there is no `{name}`")),
            (None, any) => check(member, any, &at)?,
        }
    }
    Ok(())
}

fn is_type(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted == "null",
        Value::Bool(_) => wanted == "boolean",
        Value::Number(number) => wanted == "number" || wanted == "integer" && !number.is_f64(),
        Value::String(_) => wanted == "string",
        Value::Array(_) => wanted == "array",
        Value::Object(_) => wanted == "object",
    }
}
