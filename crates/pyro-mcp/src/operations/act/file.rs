//! Files of running workspaces: listed, read, written, searched, moved, removed, patched.

use super::fields;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::workspace::files::ListOptions;
use pyro::workspace::files::PatchOptions;
use pyro::workspace::files::Range;
use pyro::workspace::files::ReadOptions;
use pyro::workspace::files::SearchOptions;
use pyro::workspace::files::WriteOptions;
use schemars::JsonSchema;
use serde::Deserialize;

/// Most bytes of one read: what is given back has to fit into a message.
const READ_BYTES_MAX: u64 = 4 << 20;

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<List>(),
        Operation::of::<Read>(),
        Operation::of::<Write>(),
        Operation::of::<Search>(),
        Operation::of::<Stat>(),
        Operation::of::<Move>(),
        Operation::of::<Delete>(),
        Operation::of::<Patch>(),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Directory, or one file; relative paths are below /workspace.
    #[serde(default = "default::workspace")]
    path: String,
    /// Everything below, too.
    #[serde(default)]
    recursive: bool,
    /// Only what one of these globs matches: "*.rs" by name, "src/**/*.rs" by path.
    #[serde(default)]
    glob: Vec<String>,
    /// Leave out what one of these globs matches, with everything below it.
    #[serde(default)]
    exclude: Vec<String>,
    /// Entries after which the page ends; next_cursor then says where to go on.
    #[serde(default = "default::list_limit")]
    limit: usize,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Workspace, by id or name.
    workspace_id: String,
    /// File; relative paths are below /workspace.
    path: String,
    /// Bytes after which the content is cut, up to 4 MiB.
    #[serde(default = "default::max_bytes")]
    max_bytes: u64,
    /// First byte.
    offset: Option<u64>,
    /// First line, from 1, instead of an offset.
    line_start: Option<u64>,
    /// How many lines.
    line_count: Option<u64>,
    /// Give the content in base64 even if it is text.
    #[serde(default)]
    base64: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// Workspace, by id or name.
    workspace_id: String,
    /// File; relative paths are below /workspace.
    path: String,
    /// The whole content.
    text: String,
    /// Permission bits in octal, such as "0755"; those of the file that is there, or 0644, without it.
    mode: Option<String>,
    /// Fail if there is something at the path already.
    #[serde(default)]
    create_new: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Regular expression, or plain text with fixed.
    pattern: String,
    /// Directory, or one file.
    #[serde(default = "default::workspace")]
    path: String,
    /// The pattern is plain text.
    #[serde(default)]
    fixed: bool,
    /// Letters match whatever their case.
    #[serde(default)]
    ignore_case: bool,
    /// Only files that one of these globs matches.
    #[serde(default)]
    glob: Vec<String>,
    /// Leave out what one of these globs matches, with everything below it.
    #[serde(default)]
    exclude: Vec<String>,
    /// Matching lines after which to stop.
    #[serde(default = "default::search_limit")]
    limit: u32,
    /// Lines around each match, for up to 200 matches.
    #[serde(default)]
    context: u32,
    /// Seconds after which it fails.
    #[serde(default = "default::search_seconds")]
    timeout_seconds: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stat {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Anything; a link is described itself.
    path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Move {
    /// Workspace, by id or name.
    workspace_id: String,
    /// What there is.
    path: String,
    /// The new path itself, not a directory to put it in.
    to: String,
    /// Replace a file that is there.
    #[serde(default)]
    replace: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Workspace, by id or name.
    workspace_id: String,
    /// File, link or directory.
    path: String,
    /// A directory, too, with everything in it.
    #[serde(default)]
    recursive: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Patch {
    /// Workspace, by id or name.
    workspace_id: String,
    /// The patch, as git or diff -u writes it.
    patch: String,
    /// Directory of the guest that the patch's paths are below.
    #[serde(default = "default::workspace")]
    directory: String,
    /// Components to take from the front of each name; found out without it.
    strip: Option<u8>,
    /// Take the patch back.
    #[serde(default)]
    reverse: bool,
    /// Lines of context that may be left out at either end of a hunk.
    #[serde(default)]
    fuzz: u8,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

impl Action for List {
    const NAME: &'static str = "workspace_file_list";
    const TITLE: &'static str = "List files";
    const DESCRIPTION: &'static str = "List a directory of a running workspace, in order of path; recursive lists everything \
        below. Example: {\"workspace_id\": \"fix\", \"path\": \"src\", \"recursive\": true, \"glob\": [\"*.py\"]}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str path:str recursive:bool count:int entries:list truncated:bool next_cursor:str? warnings:list",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        let options = ListOptions {
            recursive: self.recursive,
            include: given::globs(self.glob),
            exclude: given::globs(self.exclude),
            limit: self.limit,
            cursor: self.cursor,
        };
        Ok(with.find(&self.workspace_id)?.list_files(&path, &options).await?)
    }
}

impl Action for Read {
    const NAME: &'static str = "workspace_file_read";
    const TITLE: &'static str = "Read a file";
    const DESCRIPTION: &'static str = "Read a file of a running workspace, or a part of it by bytes or lines. Cut content says \
        truncated; next_offset or next_line says where to go on when there is more. Example: {\"workspace_id\": \"fix\", \"path\": \"main.c\", \
        \"line_start\": 100, \"line_count\": 50}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        fields::ENTRY,
        "workspace_id:str max_bytes:int content:str encoding:str content_bytes:int truncated:bool ~offset:int \
         ~next_offset:int? ~line_start:int ~line_count:int ~next_line:int?",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        if self.max_bytes > READ_BYTES_MAX {
            let text = format!("max_bytes may be {READ_BYTES_MAX} at most, not {}", self.max_bytes);
            return Err(OperationError::new(code::LIMIT_EXCEEDED, text).hint("read on with offset"));
        }
        let range = match (self.offset, self.line_start, self.line_count) {
            (offset, None, None) => Range::Bytes { offset: offset.unwrap_or(0), length: None },
            (None, start, count) => Range::Lines { start: start.unwrap_or(1).max(1), count },
            _ => return Err(OperationError::arguments("offset and lines exclude each other")),
        };
        let options = ReadOptions { range, bytes_max: self.max_bytes };
        let read = with.find(&self.workspace_id)?.read_file(&path, &options).await?;
        Ok(read.document(self.base64))
    }
}

impl Action for Write {
    const NAME: &'static str = "workspace_file_write";
    const TITLE: &'static str = "Write a file";
    const DESCRIPTION: &'static str = "Write a whole text file in a running workspace; missing directories are made. To change \
        a part of a file, workspace_patch_apply is better. Example: {\"workspace_id\": \"fix\", \"path\": \"run.sh\", \
        \"text\": \"#!/bin/sh\\necho hi\\n\", \"mode\": \"0755\"}.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str path:str bytes_written:int created:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        let mode = self.mode.as_deref().map(octal).transpose()?;
        let options = WriteOptions { mode, create_new: self.create_new, ..WriteOptions::default() };
        let mut content = self.text.as_bytes();
        Ok(with.find(&self.workspace_id)?.write_file(&path, &mut content, &options).await?)
    }
}

fn octal(text: &str) -> Result<u32, OperationError> {
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| OperationError::arguments(format!("mode '{text}' is not octal, as in 0755")))
}

impl Action for Search {
    const NAME: &'static str = "workspace_file_search";
    const TITLE: &'static str = "Search files";
    const DESCRIPTION: &'static str = "Search the text files of a running workspace for a pattern, line by line; quicker and \
        safer than grep by workspace_exec. Example: {\"workspace_id\": \"fix\", \"pattern\": \"TODO\", \"glob\": [\"*.rs\"]}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] =
        &["workspace_id:str path:str count:int matches:list files:int truncated:bool warnings:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        with.operations.rules().wait_seconds(self.timeout_seconds.into())?;
        let options = SearchOptions {
            pattern: self.pattern,
            fixed: self.fixed,
            ignore_case: self.ignore_case,
            include: given::globs(self.glob),
            exclude: given::globs(self.exclude),
            matches_max: self.limit,
            context: self.context,
            timeout_seconds: self.timeout_seconds,
        };
        Ok(with.find(&self.workspace_id)?.search_files(&path, &options).await?)
    }
}

impl Action for Stat {
    const NAME: &'static str = "workspace_file_stat";
    const TITLE: &'static str = "Describe a file";
    const DESCRIPTION: &'static str =
        "Describe one thing of a running workspace: kind, size, mode, owner, times, and where a link leads.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] =
        &[fields::ENTRY, "workspace_id:str link_target:str? inode:int ctime:num"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        Ok(with.find(&self.workspace_id)?.stat_file(&path).await?)
    }
}

impl Action for Move {
    const NAME: &'static str = "workspace_file_move";
    const TITLE: &'static str = "Rename a file";
    const DESCRIPTION: &'static str =
        "Rename a file or a directory of a running workspace, within one file system.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str path:str to:str moved:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let (from, to) = (given::guest_path(&self.path)?, given::guest_path(&self.to)?);
        Ok(with.find(&self.workspace_id)?.move_file(&from, &to, self.replace).await?)
    }
}

impl Action for Delete {
    const NAME: &'static str = "workspace_file_delete";
    const TITLE: &'static str = "Remove a file";
    const DESCRIPTION: &'static str = "Remove a file or a link of a running workspace, or with recursive a directory with everything in it.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str path:str deleted:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let path = given::guest_path(&self.path)?;
        Ok(with.find(&self.workspace_id)?.delete_file(&path, self.recursive).await?)
    }
}

impl Action for Patch {
    const NAME: &'static str = "workspace_patch_apply";
    const TITLE: &'static str = "Apply a patch";
    const DESCRIPTION: &'static str = "Apply a unified diff to files of a running workspace, all of it or nothing: edits, new, \
        deleted and renamed files. When it does not fit, nothing is changed and the error says where; read the file again \
        and write the hunk anew.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str directory:str changed:bool dry_run:bool total:int added:int modified:int deleted:int \
         renamed:int entries:list",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let options = PatchOptions {
            directory: given::guest_path(&self.directory)?,
            strip: self.strip,
            reverse: self.reverse,
            fuzz_max: self.fuzz,
            dry_run: self.dry_run,
        };
        Ok(with.find(&self.workspace_id)?.apply_patch(self.patch.as_bytes(), &options).await?)
    }
}
