//! One story that calls every tool, told by each client over each transport: `tests/clients/story.json`. It is a list of waves;
//! the calls of one wave do not depend on each other, and those of the next need what the wave before has made. Whoever tells
//! it says which calls it has made; this file holds what is common, and must not know a client.
//!
//! ```text
//!   {"tool": NAME, "arguments": {..}, "gives": {POINTER: WHAT}, "keep": {NAME: POINTER}}
//!
//!   "@NAME" at the beginning of a text is what was kept under NAME; "@root" is the server's folder of the host.
//!   WHAT is a value, or {"has": X}: a text with X in it, an object with X's members, a list with an element that has X.
//! ```

use crate::mcp_server;
use pyro_testkit::Sandbox;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

pub(crate) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/story.json");

/// A client that is a program, started anew for each call, is started so many times at once.
const AT_ONCE: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    arguments: Map<String, Value>,
    gives: BTreeMap<String, Value>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

/// Puts what the story needs on the host.
pub(crate) fn prepare(home: &Sandbox) {
    let project = mcp_server::root(home).join("project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("pushed.txt"), "pushed\n").unwrap();
}

/// Looks at what the story has left on the host, and that nothing else is left.
#[track_caller]
pub(crate) fn check(home: &Sandbox) {
    let root = mcp_server::root(home);
    assert_eq!(fs::read_to_string(root.join("exported.txt")).unwrap(), "pushed\n");
    assert_eq!(fs::read_to_string(root.join("pulled/x")).unwrap(), "x\n");
    assert!(fs::read(root.join("disk.ext4.zst")).unwrap().starts_with(b"\x28\xb5\x2f\xfd"));
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}

/// Tells the story by a function that makes one call, and fails when one of the tools that the server has was not called.
#[track_caller]
pub(crate) fn tell(home: &Sandbox, tools: &BTreeSet<String>, call: impl Fn(&str, &Value) -> Value + Sync) {
    let waves: Vec<Vec<Call>> = serde_json::from_slice(&fs::read(PATH).unwrap()).unwrap();
    let called: BTreeSet<String> = waves.iter().flatten().map(|call| call.tool.clone()).collect();
    assert_eq!(called, *tools, "the story and the server have different tools");
    let kept =
        Mutex::new(BTreeMap::from([("root".to_owned(), mcp_server::root(home).to_str().unwrap().into())]));
    for wave in &waves {
        let next = Mutex::new(wave.iter());
        let take = || next.lock().unwrap().next();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(wave.len()) {
                scope.spawn(|| {
                    while let Some(one) = take() {
                        one.make(&kept, &call);
                    }
                });
            }
        });
    }
}

impl Call {
    fn make(&self, kept: &Mutex<BTreeMap<String, Value>>, call: impl Fn(&str, &Value) -> Value) {
        let arguments = filled(&self.arguments.clone().into(), &kept.lock().unwrap());
        let document = call(&self.tool, &arguments);
        let found = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null);
        for (pointer, what) in &self.gives {
            let what = filled(what, &kept.lock().unwrap());
            let is_it = match what.get("has") {
                Some(part) => has(found(pointer), part),
                None => *found(pointer) == what,
            };
            assert!(is_it, "{}: {pointer} is not {what}: {document}", self.tool);
        }
        let new = self.keep.iter().map(|(name, pointer)| (name.clone(), found(pointer).clone()));
        kept.lock().unwrap().extend(new);
    }
}

/// The value with what was kept in the place of its names.
fn filled(value: &Value, kept: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            let Some(rest) = text.strip_prefix('@') else { return value.clone() };
            match rest.split_once('/') {
                Some((name, below)) => format!("{}/{below}", kept[name].as_str().unwrap()).into(),
                None => kept[rest].clone(),
            }
        }
        Value::Array(all) => all.iter().map(|one| filled(one, kept)).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, one)| (name.clone(), filled(one, kept))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn has(found: &Value, part: &Value) -> bool {
    match (found, part) {
        (Value::String(text), Value::String(part)) => text.contains(part),
        (Value::Array(all), _) => all.iter().any(|one| one == part || has(one, part)),
        (Value::Object(all), Value::Object(part)) => {
            part.iter().all(|(name, one)| all.get(name) == Some(one))
        }
        _ => false,
    }
}
