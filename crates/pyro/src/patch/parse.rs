//! Finds the files' patches among whatever surrounds them: mail headers, prose, diffstats, signatures. It must not
//! understand headers or hunks itself.

use super::binary;
use super::error::PatchError;
use super::header::Header;
use super::header::Subject;
use super::hunk;
use super::limits::Limits;
use super::model::Body;
use super::model::FilePatch;
use super::model::Operation;
use super::model::Patch;
use super::plain;
use super::reader::Reader;

/// How a patch is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Components to take from the front of each name, like `-p` of `git apply`; `None` finds out for each file whether
    /// there is a prefix.
    pub strip: Option<u8>,
    /// How large it may be.
    pub limits: Limits,
}

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    hunks: usize,
    lines: usize,
    binary_bytes: usize,
}

impl Budget {
    pub(super) fn take_hunk(&mut self, line: usize) -> Result<(), PatchError> {
        take(&mut self.hunks, 1, "hunks", self.limits.hunks_max, line)
    }

    pub(super) fn take_line(&mut self, line: usize) -> Result<(), PatchError> {
        take(&mut self.lines, 1, "lines in hunks", self.limits.lines_max, line)
    }

    pub(super) fn take_binary(&mut self, bytes: usize, line: usize) -> Result<(), PatchError> {
        let what = "bytes of binary content";
        take(&mut self.binary_bytes, bytes, what, self.limits.binary_bytes_max, line)
    }
}

fn take(
    used: &mut usize,
    more: usize,
    what: &'static str,
    most: usize,
    line: usize,
) -> Result<(), PatchError> {
    match used.checked_add(more).filter(|sum| *sum <= most) {
        Some(sum) => *used = sum,
        None => return Err(PatchError::TooLarge { what, most, line }),
    }
    Ok(())
}

pub(super) fn parse<'a>(bytes: &'a [u8], options: &ParseOptions) -> Result<Patch<'a>, PatchError> {
    let limits = options.limits;
    if bytes.len() > limits.patch_bytes_max {
        return Err(PatchError::TooLarge { what: "bytes", most: limits.patch_bytes_max, line: 1 });
    }
    let mut parser = Parser {
        reader: Reader::new(bytes, limits.line_bytes_max),
        strip: options.strip.map(usize::from),
        budget: Budget { limits, hunks: 0, lines: 0, binary_bytes: 0 },
        files: Vec::new(),
        section: 0,
    };
    parser.run()?;
    if parser.files.is_empty() {
        return Err(PatchError::Empty { bytes: bytes.len() });
    }
    Ok(Patch { files: parser.files })
}

struct Parser<'a> {
    reader: Reader<'a>,
    strip: Option<usize>,
    budget: Budget,
    files: Vec<FilePatch<'a>>,
    section: usize,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), PatchError> {
        let mut is_prose = false;
        while let Some(line) = self.reader.peek()? {
            // Git puts nothing between the files of one comparison, so whatever else stands there begins another.
            self.section += usize::from(is_prose && !self.files.is_empty());
            is_prose = false;
            if line.whole.starts_with(b"diff --git ") {
                is_prose = !self.git_file(line.number)?;
            } else if plain::is_next(&self.reader)? {
                self.plain_file(line.number)?;
            } else if hunk::counts(line.text()).is_some() {
                return Err(PatchError::HunkWithoutHeader { line: line.number });
            } else {
                is_prose = true;
                self.reader.next()?;
            }
        }
        Ok(())
    }

    /// Reads a file that begins with `diff --git`; whether it was one.
    fn git_file(&mut self, line: usize) -> Result<bool, PatchError> {
        let Some(header) = Header::read(&mut self.reader)? else { return Ok(false) };
        let subject = header.subject(self.strip)?;
        let body = match binary::read(&mut self.reader, &subject.new, &mut self.budget)? {
            Some(body) => body,
            None => self.text(&subject)?,
        };
        let modes_differ = header.old_mode != header.new_mode && header.old_mode.is_some();
        let mut file = self.file(subject, body, line);
        (file.old_mode, file.new_mode, file.ids) = (header.old_mode, header.new_mode, header.ids);
        if file.operation == Operation::Modify && file.body == Body::Unchanged && !modes_differ {
            let file = file.new_path.to_string();
            return Err(PatchError::Header { file, line, what: "is followed by no change" });
        }
        self.push(file)?;
        Ok(true)
    }

    fn plain_file(&mut self, line: usize) -> Result<(), PatchError> {
        let mut subject = plain::read(&mut self.reader, self.strip)?;
        let body = self.text(&subject)?;
        if let (Operation::Modify, Body::Text(hunks)) = (subject.operation, &body)
            && hunks.iter().all(|hunk| hunk.old_start == 0 && hunk.old_count == 0)
        {
            subject.operation = Operation::CreateOrModify;
        }
        let file = self.file(subject, body, line);
        self.push(file)
    }

    fn file(&self, subject: Subject, body: Body<'a>, line: usize) -> FilePatch<'a> {
        FilePatch {
            operation: subject.operation,
            old_path: subject.old,
            new_path: subject.new,
            old_mode: None,
            new_mode: None,
            ids: None,
            body,
            line,
            section: self.section,
        }
    }

    fn text(&mut self, subject: &Subject) -> Result<Body<'a>, PatchError> {
        let hunks = hunk::read_all(&mut self.reader, &subject.new, &mut self.budget)?;
        let wrong = |hunk: usize, what| {
            let file = subject.new.to_string();
            Err(PatchError::Hunk { file, hunk: hunk + 1, line: hunks[hunk].line, what })
        };
        let has_old = hunks.iter().position(|hunk| hunk.old_count > 0);
        let has_new = hunks.iter().position(|hunk| hunk.new_count > 0);
        match (subject.operation, has_old, has_new) {
            (Operation::Create, Some(hunk), _) => wrong(hunk, "needs lines of a file that is not there yet"),
            (Operation::Delete, _, Some(hunk)) => wrong(hunk, "leaves lines in a file that goes"),
            _ if hunks.is_empty() => Ok(Body::Unchanged),
            _ => Ok(Body::Text(hunks)),
        }
    }

    fn push(&mut self, file: FilePatch<'a>) -> Result<(), PatchError> {
        let (what, most) = ("files", self.budget.limits.files_max);
        if self.files.len() >= most {
            return Err(PatchError::TooLarge { what, most, line: file.line });
        }
        self.files.push(file);
        Ok(())
    }
}
