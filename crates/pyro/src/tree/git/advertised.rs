//! What a repository says it has: its branches, tags and other names, as `git ls-remote --symref` prints them. This file must
//! not run git.

use std::collections::BTreeMap;

/// Where git looks for a name, a branch before a tag as `git clone --branch` does.
const PLACES: [(&str, &str); 6] = [
    ("refs/heads/", ""),
    ("refs/tags/", ""),
    ("", ""),
    ("refs/", ""),
    ("refs/remotes/", ""),
    ("refs/remotes/", "/HEAD"),
];

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Advertised {
    ids: BTreeMap<String, String>,
    /// The whole name of the branch that is checked out; it may have no commit yet.
    head: Option<String>,
}

impl Advertised {
    /// Lines that cannot be understood are passed over: there is no more to a repository than what is understood.
    pub(super) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match value.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" => all.head = Some(target.to_owned()),
                Some(_) => {}
                None if is_id(value) => drop(all.ids.insert(name.to_owned(), value.to_owned())),
                None => {}
            }
        }
        all
    }

    /// The id of what is checked out.
    pub(super) fn head(&self) -> Option<&str> {
        self.ids.get("HEAD").map(String::as_str)
    }

    /// The branch that is checked out, unless it has no commit.
    pub(super) fn head_branch(&self) -> Option<&str> {
        let name = self.head.as_deref().filter(|name| self.ids.contains_key(*name))?;
        name.strip_prefix("refs/heads/")
    }

    /// Whether there is a branch of this name.
    pub(super) fn has_branch(&self, name: &str) -> bool {
        self.ids.contains_key(&format!("refs/heads/{name}"))
    }

    /// The id of what a name stands for.
    pub(super) fn id(&self, name: &str) -> Option<&str> {
        let mut places = PLACES.iter().map(|(before, after)| format!("{before}{name}{after}"));
        places.find_map(|place| self.ids.get(&place)).map(String::as_str)
    }

    /// The format of its objects, as `git init` wants it.
    pub(super) fn object_format(&self) -> &'static str {
        let first = self.ids.values().next();
        if first.is_some_and(|id| id.len() == 64) { "sha256" } else { "sha1" }
    }
}

/// Whether this is the whole id of an object.
pub(super) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_as_git_does() {
        let id = |digit: &str| digit.repeat(40);
        let names = ["HEAD", "refs/heads/x", "refs/tags/x", "refs/tags/v1", "refs/remotes/origin/y"];
        let lines = names.iter().zip(["1", "1", "2", "3", "4"]);
        let lines: String = lines.map(|(name, digit)| format!("{}\t{name}\n", id(digit))).collect();
        let all = Advertised::parse(&format!("ref: refs/heads/x\tHEAD\nnonsense\n-x\tHEAD\n{lines}"));
        assert_eq!((all.head(), all.head_branch()), (Some(&*id("1")), Some("x")));
        let found = |name: &str| all.id(name).map(|id| id[..1].to_owned()).unwrap_or_default();
        let cases = [("x", "1"), ("v1", "3"), ("tags/x", "2"), ("origin/y", "4"), ("HEAD", "1"), ("y", "")];
        for (name, expected) in cases {
            assert_eq!(found(name), expected, "{name}");
        }
        assert!(all.has_branch("x") && !all.has_branch("v1"));
        assert_eq!(all.object_format(), "sha1");
        assert_eq!(Advertised::parse(&format!("{}\tHEAD", "a".repeat(64))).object_format(), "sha256");
        let unborn = Advertised::parse("ref: refs/heads/x\tHEAD\n");
        assert_eq!((unborn.head(), unborn.head_branch()), (None, None));
    }
}
