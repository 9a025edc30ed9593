//! The reference pages that are lists: environment variables and error codes. It must not add entries of its own.

use pyro_cli::EnvVar;

/// Every environment variable the program reads.
pub(super) fn environment_variables(variables: &[EnvVar]) -> String {
    let rows = variables.iter().map(|variable| (variable.name, variable.meaning));
    list("Environment variables", "Every environment variable that `pyro` reads.", rows)
}

/// Every error code the program gives out.
pub(super) fn error_codes(codes: &[(&str, &str)]) -> String {
    let mut sorted = codes.to_vec();
    sorted.sort_unstable();
    let intro = "The `code` of an error is stable: it is never renamed, nor given another meaning.";
    list("Error codes", intro, sorted.into_iter())
}

fn list<'a>(title: &str, intro: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut page = format!("# {title}\n\n{intro}\n\n");
    for (name, meaning) in rows {
        page.push_str("- `");
        page.push_str(name);
        page.push_str("`: ");
        page.push_str(meaning.trim());
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_in_order() {
        let page = error_codes(&[("b_code", " Second."), ("a_code", " First.")]);
        assert!(page.ends_with("\n- `a_code`: First.\n- `b_code`: Second.\n"), "{page}");
    }
}
