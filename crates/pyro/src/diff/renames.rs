//! Finds files that moved: first those whose content is the same, then those of which at least half is. It must not
//! render anything.

use super::entry::Entry;
use super::entry::Pair;
use super::entry::Side;
use super::entry::SideKind;
use super::options::DiffOptions;
use super::options::RENAME_BYTES_MAX;
use super::options::RENAME_PAIRS_MAX;
use super::options::RENAME_TOTAL_BYTES_MAX;
use super::options::SAME_LOOK_MAX;
use super::options::SIMILARITY_MIN;
use crate::patch::blob_id;
use pyro_proto::tree::TreePath;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;

/// A file that went or came.
struct Candidate<'p, 'a> {
    index: usize,
    path: &'p TreePath,
    side: Side<'a>,
    bytes: &'a [u8],
}

/// From the indices of files that came to those of files that they were, with the percentage that stayed.
type Moves = BTreeMap<usize, (usize, u8)>;

/// What is to be rendered, sorted by path.
pub(super) fn entries<'p, 'a>(pairs: &'p [Pair<'a>], options: &DiffOptions) -> Vec<Entry<'p, 'a>> {
    let moves = if options.renames { find(pairs, options) } else { Moves::new() };
    let gone: BTreeSet<usize> = moves.values().map(|(source, _)| *source).collect();
    let changed = |pair: &Pair<'_>| match (&pair.old, &pair.new) {
        (Some(old), Some(new)) => !old.is_same(new),
        (old, new) => old.is_some() || new.is_some(),
    };
    let mut entries: Vec<Entry<'p, 'a>> = Vec::new();
    for (index, pair) in
        pairs.iter().enumerate().filter(|(index, pair)| !gone.contains(index) && changed(pair))
    {
        let source = moves.get(&index).map(|(source, similarity)| (&pairs[*source], *similarity));
        let from = source.map_or(pair, |(from, _)| from);
        entries.push(Entry {
            old: from.old.map(|side| (&from.path, side)),
            new: pair.new.map(|side| (&pair.path, side)),
            similarity: source.map(|(_, similarity)| similarity),
        });
    }
    entries.sort_by_key(Entry::path);
    entries
}

fn find(pairs: &[Pair<'_>], options: &DiffOptions) -> Moves {
    let mut gone = candidates(pairs, |pair| pair.old.filter(|_| pair.new.is_none()));
    let mut came = candidates(pairs, |pair| pair.new.filter(|_| pair.old.is_none()));
    let mut moves = exact(&gone, &came);
    let used: BTreeSet<usize> = moves.values().map(|(source, _)| *source).collect();
    let is_comparable = |candidate: &Candidate<'_, '_>| {
        candidate.side.kind == SideKind::File && candidate.bytes.len() <= RENAME_BYTES_MAX
    };
    gone.retain(|candidate| is_comparable(candidate) && !used.contains(&candidate.index));
    came.retain(|candidate| is_comparable(candidate) && !moves.contains_key(&candidate.index));
    similar(&gone, &came, options.rename_lines_max, &mut moves);
    moves
}

/// Files with a content; an empty one could have come from anywhere.
fn candidates<'p, 'a>(
    pairs: &'p [Pair<'a>],
    side: impl Fn(&Pair<'a>) -> Option<Side<'a>>,
) -> Vec<Candidate<'p, 'a>> {
    let candidate = |(index, pair): (usize, &'p Pair<'a>)| {
        let side = side(pair)?;
        let bytes = side.content.bytes().filter(|bytes| !bytes.is_empty())?;
        Some(Candidate { index, path: &pair.path, side, bytes })
    };
    pairs.iter().enumerate().filter_map(candidate).collect()
}

fn name(path: &TreePath) -> Option<&[u8]> {
    path.components().last()
}

fn exact(gone: &[Candidate<'_, '_>], came: &[Candidate<'_, '_>]) -> Moves {
    let mut moves = Moves::new();
    if gone.is_empty() || came.is_empty() {
        return moves;
    }
    let key = |candidate: &Candidate<'_, '_>| (candidate.side.kind, blob_id(candidate.bytes));
    let mut sources: BTreeMap<_, VecDeque<&Candidate<'_, '_>>> = BTreeMap::new();
    let sizes: BTreeSet<usize> = came.iter().map(|candidate| candidate.bytes.len()).collect();
    for candidate in gone.iter().filter(|candidate| sizes.contains(&candidate.bytes.len())) {
        sources.entry(key(candidate)).or_default().push_back(candidate);
    }
    if sources.is_empty() {
        return moves;
    }
    for target in came {
        let Some(same) = sources.get_mut(&key(target)).filter(|same| !same.is_empty()) else { continue };
        let at = same
            .iter()
            .take(SAME_LOOK_MAX)
            .position(|source| name(source.path) == name(target.path))
            .unwrap_or(0);
        moves.extend(same.remove(at).map(|source| (target.index, (source.index, 100))));
    }
    moves
}

/// Compares what is left, each with each, as far as the budget reaches; the most similar go first.
fn similar(gone: &[Candidate<'_, '_>], came: &[Candidate<'_, '_>], lines_max: u64, moves: &mut Moves) {
    if gone.len().saturating_mul(came.len()) > RENAME_PAIRS_MAX {
        return;
    }
    let mut bytes_left = RENAME_TOTAL_BYTES_MAX;
    let prints = gone.iter().map_while(|source| {
        bytes_left = bytes_left.checked_sub(source.bytes.len())?;
        let is_alike = came.iter().any(|target| is_size_like(source, target));
        Some(is_alike.then(|| Fingerprint::of(source.bytes)))
    });
    let prints: Vec<Option<Fingerprint>> = prints.collect();
    let mut budget = lines_max;
    let mut scores = Vec::new();
    for target in came {
        let alike = gone.iter().zip(&prints).filter(|(source, _)| is_size_like(source, target));
        let mut alike = alike.filter_map(|(source, print)| Some((source, print.as_ref()?))).peekable();
        if alike.peek().is_none() || budget == 0 {
            continue;
        }
        let new = Fingerprint::of(target.bytes);
        for (source, old) in alike {
            budget = budget.saturating_sub(1 + old.cost() + new.cost());
            if budget == 0 {
                break;
            }
            let Some(score) = old.similarity(&new) else { continue };
            let is_renamed = name(source.path) != name(target.path);
            scores.push((Reverse(score), is_renamed, target.path, source.path, target.index, source.index));
        }
    }
    scores.sort_unstable();
    let mut used = BTreeSet::new();
    for (Reverse(score), _, _, _, target, source) in scores {
        if !moves.contains_key(&target) && used.insert(source) {
            // Only a content that is wholly the same is 100 % similar.
            moves.insert(target, (source, score.min(99)));
        }
    }
}

fn percent(part: usize, whole: usize) -> u64 {
    part as u64 * 100 / whole.max(1) as u64
}

/// Whether two contents can be similar at all.
fn is_size_like(a: &Candidate<'_, '_>, b: &Candidate<'_, '_>) -> bool {
    let (a, b) = (a.bytes.len(), b.bytes.len());
    percent(a.min(b), a.max(b)) >= SIMILARITY_MIN
}

/// The different lines of a content, or pieces of them, as sorted hashes, each with the bytes of all that have it.
struct Fingerprint {
    pieces: Vec<(u64, usize)>,
    bytes: usize,
}

impl Fingerprint {
    fn of(content: &[u8]) -> Self {
        let hash = |piece: &[u8]| {
            let mut hasher = DefaultHasher::new();
            piece.hash(&mut hasher);
            (hasher.finish(), piece.len())
        };
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        let mut pieces: Vec<_> = lines.flat_map(|line| line.chunks(64)).map(hash).collect();
        pieces.sort_unstable();
        pieces.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        pieces.shrink_to_fit();
        Self { pieces, bytes: content.len() }
    }

    fn cost(&self) -> u64 {
        u64::try_from(self.pieces.len()).unwrap_or(u64::MAX)
    }

    /// Percent of the larger content that both have, if that is enough.
    fn similarity(&self, other: &Self) -> Option<u8> {
        let (mut ours, mut theirs) = (self.pieces.iter().peekable(), other.pieces.iter().peekable());
        let mut common = 0;
        while let (Some((ours_hash, ours_bytes)), Some((theirs_hash, theirs_bytes))) =
            (ours.peek(), theirs.peek())
        {
            if ours_hash == theirs_hash {
                common += ours_bytes.min(theirs_bytes);
            }
            let (skip_ours, skip_theirs) = (ours_hash <= theirs_hash, theirs_hash <= ours_hash);
            ours.next_if(|_| skip_ours);
            theirs.next_if(|_| skip_theirs);
        }
        let score = percent(common, self.bytes.max(other.bytes));
        u8::try_from(score).ok().filter(|_| score >= SIMILARITY_MIN)
    }
}
