//! The stories of `tests/stories/stories.json`: what is asked for, step by step, and what must hold of each answer. A face of the
//! product (the command line, MCP, Python) carries the steps out. This file must not know any face, and no operation.
//!
//! ```text
//!   a step    {"call": OPERATION, "with": ARGUMENTS, ...}
//!     holds     what must be at a place of the answer: "a.b", "a.0.b", or "a.*.b" for the list of all; a value, or
//!               {"contains": x} for a text with x in it or a list with x among its items
//!     keep      names for what is at places of the answer; "${name}" stands for it in later steps
//!     refused   the code of the error that must come instead of an answer
//!     again     asked again until it holds: for what another process does in its own time
//! ```
//!
//! `${seed}` is a folder with the story's files, `${out}` one in which nothing but what the story says must be at its end.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::path::Path;

/// How often a step is asked again before it has failed. Whatever is asked again waits by itself.
const ASKED_MAX: usize = 200;

const TABLE: &str = include_str!("../../../tests/stories/stories.json");

/// One face of the product.
pub trait Face {
    /// Carries an operation out: its answer, or the code of its failure.
    fn call(&mut self, operation: &str, arguments: &Map<String, Value>) -> Result<Value, String>;
}

/// One story.
#[derive(Clone, Debug)]
pub struct Story {
    told: Value,
}

impl Story {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let table: Value = serde_json::from_str(TABLE).unwrap();
        assert_eq!(table["schema"], 1);
        table["stories"].as_array().unwrap().iter().map(|told| Self { told: told.clone() }).collect()
    }

    /// The one of this name.
    pub fn named(name: &str) -> Self {
        Self::all().into_iter().find(|story| story.name() == name).unwrap()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.told["name"].as_str().unwrap()
    }

    /// Has a face tell it, with files below `folder`.
    ///
    /// # Errors
    /// The first step that did not go as the story says, and what came instead.
    pub fn run(&self, face: &mut impl Face, folder: &Path) -> Result<(), String> {
        let (seed, out) = (folder.join("seed"), folder.join("out"));
        fs::create_dir_all(&out).unwrap();
        for (path, text) in self.told["seed"].as_object().unwrap() {
            let path = seed.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.as_str().unwrap()).unwrap();
        }
        let mut kept = Map::new();
        kept.insert("seed".to_owned(), json!(seed));
        kept.insert("out".to_owned(), json!(out));
        for (number, step) in self.told["steps"].as_array().unwrap().iter().enumerate() {
            let failed = |why| format!("{}, step {number}, {}: {why}", self.name(), step["call"]);
            carry_out(step, face, &mut kept).map_err(failed)?;
        }
        let (wanted, there) = (&self.told["exported"], exported(&out));
        if *wanted == there { Ok(()) } else { Err(format!("{}: exported {there}", self.name())) }
    }
}

fn carry_out(step: &Value, face: &mut impl Face, kept: &mut Map<String, Value>) -> Result<(), String> {
    let (operation, arguments) = (step["call"].as_str().unwrap(), filled(&step["with"], kept));
    let mut asked = 0;
    loop {
        let answer = face.call(operation, arguments.as_object().unwrap());
        asked += 1;
        match checked(step, answer, kept) {
            Err(_) if step["again"] == true && asked < ASKED_MAX => {}
            Err(why) => return Err(why),
            Ok(answer) => {
                for (name, place) in step["keep"].as_object().into_iter().flatten() {
                    kept.insert(name.clone(), at(&answer, place.as_str().unwrap()));
                }
                return Ok(());
            }
        }
    }
}

/// The answer, if it is as the step says.
fn checked(step: &Value, answer: Result<Value, String>, kept: &Map<String, Value>) -> Result<Value, String> {
    match (answer, step["refused"].as_str()) {
        (Err(code), Some(wanted)) if code == wanted => Ok(Value::Null),
        (Err(code), _) => Err(format!("refused with {code}")),
        (Ok(answer), Some(wanted)) => Err(format!("not refused with {wanted}: {answer}")),
        (Ok(answer), None) => {
            for (place, wanted) in step["holds"].as_object().unwrap() {
                let (wanted, there) = (filled(wanted, kept), at(&answer, place));
                if !holds(&wanted, &there) {
                    return Err(format!("{place} is {there}, not {wanted}: {answer}"));
                }
            }
            Ok(answer)
        }
    }
}

fn holds(wanted: &Value, there: &Value) -> bool {
    let Some(part) = wanted.get("contains") else { return wanted == there };
    match there {
        Value::String(text) => text.contains(part.as_str().unwrap()),
        Value::Array(all) => all.contains(part),
        _ => false,
    }
}

/// What is at a place of an answer; null where nothing is.
fn at(answer: &Value, place: &str) -> Value {
    let Some((first, rest)) = place.split_once('.').or((!place.is_empty()).then_some((place, ""))) else {
        return answer.clone();
    };
    match (answer, first) {
        (Value::Array(all), "*") => all.iter().map(|one| at(one, rest)).collect(),
        (Value::Array(all), index) => index
            .parse()
            .ok()
            .and_then(|index: usize| all.get(index))
            .map_or(Value::Null, |one| at(one, rest)),
        _ => answer.get(first).map_or(Value::Null, |one| at(one, rest)),
    }
}

/// The value with what was kept in the place of its names. A text that is nothing but a name becomes what was kept itself.
fn filled(value: &Value, kept: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => filled_text(text, kept),
        Value::Array(all) => all.iter().map(|one| filled(one, kept)).collect(),
        Value::Object(map) => map.iter().map(|(name, one)| (name.clone(), filled(one, kept))).collect(),
        other => other.clone(),
    }
}

fn filled_text(text: &str, kept: &Map<String, Value>) -> Value {
    let mut filled = text.to_owned();
    for (name, value) in kept {
        let marker = format!("${{{name}}}");
        if text == marker {
            return value.clone();
        }
        if let Value::String(value) = value {
            filled = filled.replace(&marker, value);
        }
    }
    assert!(!filled.contains("${"), "nothing was kept for {filled}");
    Value::String(filled)
}

/// The files of a folder with what is in them.
fn exported(folder: &Path) -> Value {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), json!(fs::read_to_string(entry.path()).unwrap()))
        })
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as a table says.
    struct Scripted(Vec<Result<Value, String>>);

    impl Face for Scripted {
        fn call(&mut self, _: &str, _: &Map<String, Value>) -> Result<Value, String> {
            if self.0.is_empty() { Ok(json!({})) } else { self.0.remove(0) }
        }
    }

    fn run(story: &Value, answers: Vec<Result<Value, String>>) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        Story { told: story.clone() }.run(&mut Scripted(answers), folder.path())
    }

    fn short() -> Value {
        json!({
            "name": "short", "seed": {}, "exported": {},
            "steps": [
                { "call": "make", "with": {}, "keep": { "id": "made.0.id" }, "holds": { "made.*.id": [7] } },
                { "call": "use", "with": { "id": "${id}" }, "holds": { "id": "${id}", "text": { "contains": "b" } } },
                { "call": "use", "with": {}, "refused": "gone" },
            ],
        })
    }

    #[test]
    fn a_story_goes_only_as_it_is_told() {
        let right = || {
            vec![
                Ok(json!({ "made": [{ "id": 7 }] })),
                Ok(json!({ "id": 7, "text": "abc" })),
                Err("gone".to_owned()),
            ]
        };
        assert_eq!(run(&short(), right()), Ok(()));
        let wrong = [
            (0, Ok(json!({ "made": [] }))),
            (0, Err("gone".to_owned())),
            (1, Ok(json!({ "id": "7", "text": "abc" }))),
            (1, Ok(json!({ "id": 7, "text": "acc" }))),
            (1, Ok(json!({ "id": 7 }))),
            (2, Ok(json!({}))),
            (2, Err("other".to_owned())),
        ];
        for (step, answer) in wrong {
            let mut answers = right();
            answers[step] = answer;
            let why = run(&short(), answers).unwrap_err();
            assert!(why.contains(&format!("step {step}")), "{why}");
        }
        let mut more = short();
        more["exported"] = json!({ "report.txt": "x" });
        assert!(run(&more, right()).unwrap_err().contains("exported {}"));
    }

    #[test]
    fn what_takes_its_time_is_asked_again() {
        let mut story = short();
        story["steps"][0]["again"] = json!(true);
        let late = vec![
            Ok(json!({ "made": [] })),
            Ok(json!({ "made": [{ "id": 7 }] })),
            Ok(json!({ "id": 7, "text": "b" })),
            Err("gone".to_owned()),
        ];
        assert_eq!(run(&story, late), Ok(()));
    }

    /// A face that does nothing gets through no story.
    #[test]
    fn every_story_asks_for_something() {
        for story in Story::all() {
            assert!(run(&story.told, Vec::new()).is_err(), "{}", story.name());
            let holds = |step: &Value| step["holds"].is_object() || step["refused"].is_string();
            assert!(story.told["steps"].as_array().unwrap().iter().all(holds), "{}", story.name());
        }
    }
}
