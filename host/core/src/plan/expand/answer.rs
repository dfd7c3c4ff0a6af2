//! The text that a planner answers, read strictly: JSON leaves more open than a plan may.
//!
//! What the steps say is not looked at here.

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// What is asked of a planner.
#[derive(Deserialize)]
pub(super) struct Answer {
    /// By name, in their order.
    #[serde(deserialize_with = "each_once")]
    pub(super) steps: IndexMap<String, serde_json::Value>,
}

impl Answer {
    /// Reads what a planner said; the error says what it is instead, in words of JSON.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        use serde_json::Value;
        let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match whole.get("steps") {
            Some(Value::Object(_)) => {}
            Some(steps) => return Err(format!("its `steps` is {}", type_of(steps))),
            None if whole.is_object() => return Err("it has no `steps`".to_owned()),
            None => return Err(format!("it is {}", type_of(&whole))),
        }
        // From the text once more, because a `Value` has forgotten what stood twice.
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// What a value is, as those who write JSON say.
fn type_of(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The steps of an answer, in their order. No key stands twice, here or below: JSON leaves open what is meant then, and one of two steps
/// would be lost.
fn each_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<IndexMap<String, serde_json::Value>, D::Error> {
    struct Steps;

    impl<'de> Visitor<'de> for Steps {
        type Value = IndexMap<String, serde_json::Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            entries(map)
        }
    }

    from.deserialize_map(Steps)
}

/// The entries of a map none of whose keys stands twice.
fn entries<'de, A: MapAccess<'de>>(
    mut map: A,
) -> Result<IndexMap<String, serde_json::Value>, A::Error> {
    let mut entries = IndexMap::new();
    while let Some((name, Once(value))) = map.next_entry::<String, Once>()? {
        if entries.contains_key(&name) {
            return Err(A::Error::custom(format!("{name:?} stands twice")));
        }
        entries.insert(name, value);
    }
    Ok(entries)
}

/// A value in which no key stands twice.
struct Once(serde_json::Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = serde_json::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Self::Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Self::Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Self::Value::Object(entries(map)?.into_iter().collect()))
    }
}
