//! JSON whose keys stay in their order: somebody's configuration is to look as before but for one entry. This file must not know
//! any program.

use super::not_understood;
use crate::operations::OperationError;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Number;
use serde_json::Value;
use std::fmt;

/// A JSON document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<String> {
        if let Self::Text(text) = self { Some(text.clone()) } else { None }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(all) => Self::List(all.into_iter().map(Into::into).collect()),
            Value::Object(map) => {
                Self::Object(map.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(all) => serializer.collect_seq(all),
            Self::Object(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = all.next_element()? {
            list.push(one);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Json::Object(pairs))
    }
}

type Pairs = Vec<(String, Json)>;

fn read(text: &str) -> Result<Pairs, OperationError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match serde_json::from_str(text).map_err(|error| not_understood(&error.to_string()))? {
        Json::Object(pairs) => Ok(pairs),
        _ => Err(not_understood("it holds no JSON object")),
    }
}

fn write(pairs: Pairs) -> Result<String, OperationError> {
    let text = serde_json::to_string_pretty(&Json::Object(pairs));
    Ok(text.map_err(|error| not_understood(&error.to_string()))? + "\n")
}

/// The servers of a document; put into it if there are none.
fn servers<'a>(pairs: &'a mut Pairs, key: &str) -> Result<&'a mut Pairs, OperationError> {
    let at = pairs.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
        pairs.push((key.to_owned(), Json::Object(Vec::new())));
        pairs.len() - 1
    });
    match &mut pairs[at].1 {
        Json::Object(servers) => Ok(servers),
        _ => Err(not_understood(&format!("its {key} is no object"))),
    }
}

/// The text with this entry, in the place of one of the same name.
pub(super) fn set(text: &str, key: &str, name: &str, entry: Value) -> Result<String, OperationError> {
    let mut pairs = read(text)?;
    let servers = servers(&mut pairs, key)?;
    match servers.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = entry.into(),
        None => servers.push((name.to_owned(), entry.into())),
    }
    write(pairs)
}

/// The text without this entry; nothing if it is not in it.
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<Option<String>, OperationError> {
    let mut pairs = read(text)?;
    let servers = servers(&mut pairs, key)?;
    let count = servers.len();
    servers.retain(|(known, _)| known != name);
    if servers.len() == count { Ok(None) } else { write(pairs).map(Some) }
}

/// The entry of this name.
pub(super) fn get(text: &str, key: &str, name: &str) -> Result<Option<Json>, OperationError> {
    let mut pairs = read(text)?;
    let found = servers(&mut pairs, key)?.iter().find(|(known, _)| known == name);
    Ok(found.map(|(_, entry)| entry.clone()))
}
