//! JSON schemas: of arguments, from the types that they are read into; of what is given back, from lists of fields. This file
//! must not know any operation.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// The schema of an operation's arguments, without references and without what says nothing to whoever fills it in.
pub(super) fn input<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    if let Value::Object(map) = &mut schema {
        map.remove("description");
        map.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// Takes out titles, number formats and defaults of null. A property may well be named `title`, and stays.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            map.remove("format");
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The schema of a document from lists of its fields, separated by blanks: `name:type`, with `?` behind the type when it may be
/// null and `~` before the name when it may be absent. Types are `str`, `int`, `num`, `bool`, `obj`, `list` and `any`.
pub(super) fn output(lists: &[&str]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in lists.iter().flat_map(|list| list.split_whitespace()) {
        let (name, kind) = field.split_once(':').unwrap_or((field, "any"));
        let (name, optional) = name.strip_prefix('~').map_or((name, false), |name| (name, true));
        if !optional {
            required.push(name);
        }
        properties.insert(name.to_owned(), type_of(kind));
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": true })
}

fn type_of(kind: &str) -> Value {
    let (kind, nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
    let name = match kind {
        "str" => "string",
        "int" => "integer",
        "num" => "number",
        "bool" => "boolean",
        "obj" => "object",
        "list" => "array",
        _ => return json!({}),
    };
    if nullable { json!({ "type": [name, "null"] }) } else { json!({ "type": name }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_fields_become_a_schema() {
        let schema = output(&["a:str b:int?", "~c:list d:any"]);
        assert_eq!(schema["properties"]["b"], json!({ "type": ["integer", "null"] }));
        assert_eq!(schema["properties"]["d"], json!({}));
        assert_eq!(schema["required"], json!(["a", "b", "d"]));
    }
}
