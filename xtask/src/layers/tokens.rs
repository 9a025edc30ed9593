//! A Rust file as the tokens that ship: no comments, no strings, nothing under `#[cfg(test)]`. It must not know rules.

use proc_macro2::TokenStream;
use proc_macro2::TokenTree;
use std::iter::Peekable;
use std::str::FromStr;

/// One token, with what is inside of brackets following its opening one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) tokens: Vec<Token>,
    /// Names of modules in files of their own that exist for tests alone.
    pub(super) test_modules: Vec<String>,
    /// The line at which the file stops being Rust.
    pub(super) broken_at: Option<usize>,
}

/// Scans a file's text.
pub(super) fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    match TokenStream::from_str(text) {
        Ok(stream) => walk(stream, &mut scan),
        Err(error) => scan.broken_at = Some(error.span().start().line),
    }
    scan
}

fn walk(stream: TokenStream, scan: &mut Scan) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if is_test_attribute(&tree, trees.peek()) {
            scan.test_modules.extend(skip_item(&mut trees));
            continue;
        }
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                scan.tokens.push(Token { text: "{".to_owned(), line });
                walk(group.stream(), scan);
                scan.tokens.push(Token { text: "}".to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Ident(ident) => scan.tokens.push(Token { text: ident.to_string(), line }),
            TokenTree::Punct(punct) => scan.tokens.push(Token { text: punct.as_char().to_string(), line }),
            TokenTree::Literal(_) => {}
        }
    }
}

/// Whether `#` and what follows it is `[cfg(test)]`, or a `cfg` of which `test` is a necessary part.
fn is_test_attribute(hash: &TokenTree, next: Option<&TokenTree>) -> bool {
    let (TokenTree::Punct(hash), Some(TokenTree::Group(attribute))) = (hash, next) else { return false };
    let mut parts = attribute.stream().into_iter();
    let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(condition))) = (parts.next(), parts.next())
    else {
        return false;
    };
    hash.as_char() == '#' && name == "cfg" && requires_test(condition.stream())
}

/// `test` itself, or `all(...)` of conditions one of which is `test`.
fn requires_test(condition: TokenStream) -> bool {
    let mut trees = condition.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let TokenTree::Ident(ident) = tree else { continue };
        match trees.peek() {
            Some(TokenTree::Group(inner)) if ident == "all" && requires_test(inner.stream()) => return true,
            Some(TokenTree::Group(_)) => {}
            _ if ident == "test" => return true,
            _ => {}
        }
    }
    false
}

/// Skips the item an attribute belongs to, and returns its name if it is a module in a file of its own.
fn skip_item(trees: &mut Peekable<impl Iterator<Item = TokenTree>>) -> Option<String> {
    let mut words = Vec::new();
    for tree in trees {
        match tree {
            TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace => return None,
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Ident(ident) => words.push(ident.to_string()),
            _ => {}
        }
    }
    let at = words.iter().position(|word| word == "mod")?;
    words.into_iter().nth(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        scan(text).tokens.into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_tests_are_not_there() {
        assert_eq!(words("fn a() { /* b */ c(\"d\", 'e', 1) } // f"), "fn a { } { c { , , } }");
        assert_eq!(words("#[cfg(test)] mod t { fn a() {} } fn b() {}"), "fn b { } { }");
        assert_eq!(words("#[cfg(all(unix, test))] fn a() {} c"), "c");
        assert_eq!(words("#[cfg(test)] use a::b; c"), "c");
    }

    #[test]
    fn code_for_everything_but_tests_is_there() {
        assert!(words("#[cfg(not(test))] fn a() {}").ends_with("fn a { } { }"));
        assert!(words("#[cfg(any(test, unix))] fn a() {}").ends_with("fn a { } { }"));
    }

    #[test]
    fn test_modules_in_their_own_files_are_named() {
        assert_eq!(scan("#[cfg(test)]\n#[path = \"x.rs\"]\npub(crate) mod proofs;").test_modules, ["proofs"]);
        assert!(scan("#[cfg(test)] mod inline {}").test_modules.is_empty());
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let lines: Vec<_> = scan("a\n\n// b\nc").tokens.into_iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 4]);
        assert!(scan("fn (").broken_at.is_some());
    }
}
