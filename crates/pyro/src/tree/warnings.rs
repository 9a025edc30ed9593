//! What was left out or changed under way: the first few for people to read, and how many there were. This file must not
//! know what they are about.

/// Most warnings whose text is kept; of the rest only the number is.
pub const WARNINGS_MAX: usize = 100;

/// Warnings of one piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    list: Vec<String>,
    count: u64,
}

impl Warnings {
    /// Takes one more.
    pub fn add(&mut self, text: impl Into<String>) {
        self.count += 1;
        if self.list.len() < WARNINGS_MAX {
            self.list.push(text.into());
        }
    }

    /// Takes all of another's.
    pub fn absorb(&mut self, other: Self) {
        let unlisted = other.count - other.list.len() as u64;
        other.list.into_iter().for_each(|text| self.add(text));
        self.count += unlisted;
    }

    /// The first [`WARNINGS_MAX`] of them.
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// How many there were, listed or not.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether there were none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_kept() {
        let mut many = Warnings::default();
        (0..150).for_each(|n| many.add(n.to_string()));
        let mut all = Warnings::default();
        all.add("first");
        all.absorb(many);
        assert_eq!((all.count(), all.list().len()), (151, WARNINGS_MAX));
        assert_eq!(all.list()[0], "first");
        assert!(!all.is_empty());
    }
}
