//! TOML that keeps its comments and its order. This file must not know any program.

use super::Entry;
use super::not_understood;
use crate::operations::OperationError;
use toml_edit::Array;
use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::Table;
use toml_edit::value;

fn read(text: &str) -> Result<DocumentMut, OperationError> {
    text.parse().map_err(|error: toml_edit::TomlError| not_understood(&error.to_string()))
}

/// The servers of a document; put into it if there are none.
fn servers<'a>(document: &'a mut DocumentMut, key: &str) -> Result<&'a mut Table, OperationError> {
    let empty = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let found = document.entry(key).or_insert_with(empty).as_table_mut();
    found.ok_or_else(|| not_understood(&format!("its {key} is no table")))
}

/// The text with this entry, in the place of one of the same name.
pub(super) fn set(text: &str, key: &str, name: &str, entry: &Entry) -> Result<String, OperationError> {
    let mut document = read(text)?;
    let mut table = Table::new();
    table.insert("command", value(&entry.command));
    table.insert("args", value(entry.arguments.iter().collect::<Array>()));
    let servers = servers(&mut document, key)?;
    if let Some(Item::Table(known)) = servers.get(name) {
        // What stands before it stays before it.
        *table.decor_mut() = known.decor().clone();
        table.set_position(known.position());
    }
    servers.insert(name, Item::Table(table));
    Ok(document.to_string())
}

/// The text without this entry; nothing if it is not in it.
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<Option<String>, OperationError> {
    let mut document = read(text)?;
    let removed = servers(&mut document, key)?.remove(name).is_some();
    Ok(removed.then(|| document.to_string()))
}

/// The entry of this name, if it is started as a program.
pub(super) fn get(text: &str, key: &str, name: &str) -> Result<Option<Entry>, OperationError> {
    let mut document = read(text)?;
    let Some(entry) = servers(&mut document, key)?.get(name) else { return Ok(None) };
    let Some(command) = entry.get("command").and_then(Item::as_str) else { return Ok(None) };
    let arguments = entry
        .get("args")
        .and_then(Item::as_array)
        .map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect());
    Ok(Some(Entry { command: command.to_owned(), arguments: arguments.unwrap_or_default() }))
}
