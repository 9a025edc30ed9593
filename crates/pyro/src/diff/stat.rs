//! `--stat` of what a comparison found, laid out as git does. It must not compare anything.

use super::summary::Diff;
use super::summary::DiffStatus;
use super::summary::FileDiff;
use super::summary::Shown;
use crate::patch::quote;

/// The narrowest graph, as in git.
const GRAPH_WIDTH_MIN: usize = 6;

/// One row before it is laid out.
struct Row {
    name: String,
    binary: Option<String>,
    added: usize,
    removed: usize,
}

/// Widths of the columns.
struct Widths {
    name: usize,
    number: usize,
    graph: usize,
    most: usize,
}

impl Diff {
    /// What `git diff --stat` prints on a terminal of `columns`: a row for each file and a line with the sums. Empty when
    /// nothing changed.
    pub fn stat(&self, columns: usize) -> String {
        if self.files.is_empty() {
            return String::new();
        }
        let rows: Vec<Row> = self.files.iter().map(Row::of).collect();
        let widths = Widths::of(&rows, columns);
        let mut text: String = rows.iter().map(|row| row.line(&widths)).collect();
        text.push_str(&sums(&self.files));
        text
    }
}

fn sums(files: &[FileDiff]) -> String {
    let added: usize = files.iter().map(|file| file.lines_added).sum();
    let removed: usize = files.iter().map(|file| file.lines_removed).sum();
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let sign = |number: usize, what: &str, sign: char| {
        format!(", {number} {what}{}({sign})", if number == 1 { "" } else { "s" })
    };
    let mut line = format!(" {} changed", count(files.len(), "file"));
    if added > 0 || removed == 0 {
        line.push_str(&sign(added, "insertion", '+'));
    }
    if removed > 0 || added == 0 {
        line.push_str(&sign(removed, "deletion", '-'));
    }
    line + "\n"
}

impl Row {
    fn of(file: &FileDiff) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&quote(bytes)).into_owned();
        let path = file.path.as_bytes();
        let name = match &file.from {
            Some(from) => move_name(&text(from.as_bytes()), &text(path)),
            None => text(path),
        };
        let is_binary = matches!(file.shown, Shown::Binary | Shown::Differs | Shown::LeftOut);
        let binary = is_binary.then(|| match file.status {
            DiffStatus::Renamed
                if file.old_size_bytes == file.new_size_bytes && file.similarity == Some(100) =>
            {
                "Bin".to_owned()
            }
            _ => format!("Bin {} -> {} bytes", file.old_size_bytes, file.new_size_bytes),
        });
        Self { name, binary, added: file.lines_added, removed: file.lines_removed }
    }

    fn line(&self, widths: &Widths) -> String {
        let name = shorten(&self.name, widths.name);
        let padding = " ".repeat(widths.name.saturating_sub(name.chars().count()));
        let number = widths.number;
        if let Some(binary) = &self.binary {
            let binary = binary.strip_prefix("Bin").unwrap_or(binary);
            return format!(" {name}{padding} | {:>number$}{binary}\n", "Bin");
        }
        let (added, removed) = self.graph(widths);
        let sum = self.added + self.removed;
        let space = if sum == 0 { "" } else { " " };
        let (added, removed) = ("+".repeat(added), "-".repeat(removed));
        format!(" {name}{padding} | {sum:>number$}{space}{added}{removed}\n")
    }

    /// How many signs stand for the lines: all of them if there is room, or as many in proportion.
    fn graph(&self, widths: &Widths) -> (usize, usize) {
        let (added, removed) = (self.added, self.removed);
        if widths.graph > widths.most {
            return (added, removed);
        }
        let scale = |number: usize| match number {
            0 => 0,
            number => 1 + number.saturating_mul(widths.graph - 1) / widths.most,
        };
        let mut total = scale(added + removed);
        if total < 2 && added > 0 && removed > 0 {
            total = 2;
        }
        if added < removed {
            (scale(added), total - scale(added))
        } else {
            (total - scale(removed), scale(removed))
        }
    }
}

impl Widths {
    /// Git gives the name what the graph leaves, but the graph at most three eighths when both are long.
    fn of(rows: &[Row], columns: usize) -> Self {
        let most_of = |value: fn(&Row) -> usize| rows.iter().map(value).max().unwrap_or(0);
        let most = most_of(|row| row.added + row.removed);
        let longest = most_of(|row| row.name.chars().count());
        let binary = most_of(|row| row.binary.as_ref().map_or(0, String::len));
        let has_binary = rows.iter().any(|row| row.binary.is_some());
        let number = most.to_string().len().max(if has_binary { 3 } else { 0 });
        let columns = columns.max(16 + 6 + number);
        let (mut graph, mut name) = (most.max(binary.saturating_sub(4)), longest);
        if name + number + 6 + graph > columns {
            if graph > (columns * 3 / 8).saturating_sub(number + 6) {
                graph = (columns * 3 / 8).saturating_sub(number + 6).max(GRAPH_WIDTH_MIN);
            }
            if name > columns - number - 6 - graph {
                name = columns - number - 6 - graph;
            } else {
                graph = columns - number - 6 - name;
            }
        }
        let graph = if most <= graph { usize::MAX } else { graph };
        Self { name, number, graph, most }
    }
}

/// The end of a name that is too long, from a slash if there is one.
fn shorten(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length - width.saturating_sub(3)).collect();
    let end = end.find('/').map_or(end.as_str(), |at| &end[at..]);
    format!("...{end}")
}

/// Both names, with what they share outside of braces.
fn move_name(from: &str, to: &str) -> String {
    if from.starts_with('"') || to.starts_with('"') {
        return format!("{from} => {to}");
    }
    let shared = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    let head = from.as_bytes()[..shared].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (from_rest, to_rest) = (&from.as_bytes()[head..], &to.as_bytes()[head..]);
    // The slash that ends the shared head may begin the shared tail.
    let (from_tail, to_tail) =
        (&from.as_bytes()[head.saturating_sub(1)..], &to.as_bytes()[head.saturating_sub(1)..]);
    let shared = from_tail.iter().rev().zip(to_tail.iter().rev()).take_while(|(a, b)| a == b).count();
    let tail_start = from_tail.len() - shared;
    let tail = from_tail[tail_start..].iter().position(|byte| *byte == b'/').map_or(0, |at| shared - at);
    if head == 0 && tail == 0 {
        return format!("{from} => {to}");
    }
    let cut = |rest: &[u8]| String::from_utf8_lossy(&rest[..rest.len().saturating_sub(tail)]).into_owned();
    let (from_middle, to_middle) = (cut(from_rest), cut(to_rest));
    format!("{}{{{from_middle} => {to_middle}}}{}", &from[..head], &from[from.len() - tail..])
}
