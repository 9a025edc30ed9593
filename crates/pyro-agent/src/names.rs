//! What a request asked for, as messages call it: short, and without anything that acts on a terminal. This file must not
//! be used to find things.

use crate::tools;
use pyro_proto::exec::ExecSpec;
use pyro_proto::tool::Tool;

/// Bytes of a name that messages show.
const SHOWN_BYTES_MAX: usize = 200;

/// The things a start can fail at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) program: String,
    pub(crate) cwd: String,
    pub(crate) user: String,
}

impl Names {
    /// Those of a tool.
    pub(crate) fn of_tool(tool: &Tool) -> Self {
        Self { program: format!("the tool '{}'", tools::name(tool)), ..Self::default() }
    }

    /// Those of a request.
    pub(crate) fn of(spec: &ExecSpec) -> Self {
        Self {
            program: spec.argv.first().map_or_else(String::new, |program| shown(program.as_bytes())),
            cwd: spec.cwd.as_ref().map_or_else(|| "by default".to_owned(), |cwd| shown(cwd.as_bytes())),
            user: spec.user.as_ref().map_or_else(String::new, |user| shown(user.as_bytes())),
        }
    }
}

/// The beginning of a name as harmless text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
    text.chars().map(|each| if each.is_control() { char::REPLACEMENT_CHARACTER } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_act_on_a_terminal_or_fill_it() {
        assert_eq!(shown(b"a\x1b[2Jb\n\xff"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(shown(&[b'x'; 5000]).len(), SHOWN_BYTES_MAX);
    }
}
