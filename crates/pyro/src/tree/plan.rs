//! What a push has to send and delete, from what is on the host, what is in the guest, and what is known from before. Pure:
//! this file must not read files or talk to guests.

use super::cache::Digest;
use super::manifest::HostEntry;
use super::manifest::HostManifest;
use super::pushed::PushedManifest;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::collections::HashSet;

/// What a push will do. A dry run shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPlan {
    /// What to send, in an order that can be sent: folders before what is in them, files before their hard links.
    pub send: Vec<TreePath>,
    /// What to delete in the guest, with everything below it; before anything is sent.
    pub delete: Vec<TreePath>,
    /// Files whose digest only the guest knows: see [`PushPlan::resolve`].
    pub need_guest_hash: Vec<TreePath>,
    /// Folders of the guest that would have to go for a file of the host, and hold what must not be deleted.
    pub conflicts: Vec<TreePath>,
    /// Entries that are in the guest as they are on the host.
    pub unchanged: u64,
    /// Bytes of the files in `send`.
    pub bytes: u64,
}

/// What is to be done with one entry.
enum Verdict {
    Send,
    Unchanged,
    AskGuest,
}

/// Plans a push. `guest_scan` must be complete: whatever it leaves out would be lost with its folder. With `mirror`, what is
/// only in the guest is deleted, unless `excluded` (path, whether it is a folder).
pub fn plan(
    host: &HostManifest,
    guest_scan: &[Entry],
    pushed: &PushedManifest,
    mirror: bool,
    excluded: &dyn Fn(&TreePath, bool) -> bool,
) -> PushPlan {
    let guest: HashMap<&TreePath, &Entry> = guest_scan.iter().map(|entry| (&entry.path, entry)).collect();
    let protected = protected(guest_scan, excluded);
    let mut plan = PushPlan::default();
    let mut send = HashSet::new();
    for entry in host.entries() {
        let path = &entry.entry.path;
        match verdict(entry, guest.get(path).copied(), pushed) {
            Verdict::Send if entry.entry.kind != EntryKind::Directory && protected.contains(path) => {
                plan.conflicts.push(path.clone());
            }
            Verdict::Send => drop(send.insert(path.clone())),
            Verdict::Unchanged => plan.unchanged += 1,
            Verdict::AskGuest => plan.need_guest_hash.push(path.clone()),
        }
    }
    if mirror {
        plan.delete = deletions(host, guest_scan, &protected, excluded);
    }
    plan.set_send(host, send);
    plan
}

impl PushPlan {
    /// Decides what was left to the guest's digests; a file without one is gone and is sent.
    pub fn resolve(&mut self, host: &HostManifest, guest: &HashMap<TreePath, [u8; 32]>) {
        let mut send: HashSet<TreePath> = self.send.drain(..).collect();
        for path in std::mem::take(&mut self.need_guest_hash) {
            let expected = host.get(&path).and_then(|entry| entry.sha256);
            if expected.is_some() && guest.get(&path) == expected.as_ref() {
                self.unchanged += 1;
            } else {
                send.insert(path);
            }
        }
        self.set_send(host, send);
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.send.is_empty() && self.delete.is_empty() && self.need_guest_hash.is_empty()
    }

    /// Sets what is sent, in the host's order. The names of one file go together: a name that is sent alone would become a
    /// file of its own.
    fn set_send(&mut self, host: &HostManifest, mut send: HashSet<TreePath>) {
        let links = || host.entries().iter().filter(|entry| entry.entry.kind == EntryKind::HardLink);
        let target = |link: &HostEntry| TreePath::new(&link.entry.target[..]).ok();
        let touched: HashSet<TreePath> = links()
            .filter_map(|link| Some((link, target(link)?)))
            .filter(|(link, target)| send.contains(&link.entry.path) || send.contains(target))
            .map(|(_, target)| target)
            .collect();
        for link in links() {
            if target(link).is_some_and(|target| touched.contains(&target))
                && send.insert(link.entry.path.clone())
            {
                self.forget(&link.entry.path);
            }
        }
        for target in touched {
            if send.insert(target.clone()) {
                self.forget(&target);
            }
        }
        let sent = || host.entries().iter().filter(|entry| send.contains(&entry.entry.path));
        self.bytes =
            sent().filter(|sent| sent.entry.kind == EntryKind::File).map(|sent| sent.entry.size_bytes).sum();
        self.send = sent().map(|entry| entry.entry.path.clone()).collect();
    }

    /// A path that is sent after all was counted elsewhere before.
    fn forget(&mut self, path: &TreePath) {
        let asked = self.need_guest_hash.len();
        self.need_guest_hash.retain(|asked| asked != path);
        if self.need_guest_hash.len() == asked {
            self.unchanged = self.unchanged.saturating_sub(1);
        }
    }
}

fn verdict(host: &HostEntry, guest: Option<&Entry>, pushed: &PushedManifest) -> Verdict {
    let entry = &host.entry;
    let Some(guest) = guest.filter(|guest| guest.kind == entry.kind) else { return Verdict::Send };
    let same = match entry.kind {
        // A folder's time changes with what is in it, which is compared for itself.
        EntryKind::Directory => guest.mode == entry.mode,
        EntryKind::Symlink | EntryKind::HardLink => guest.target == entry.target,
        EntryKind::File => {
            guest.size_bytes == entry.size_bytes && guest.mode == entry.mode && guest.mtime == entry.mtime
        }
        EntryKind::Special => true,
    };
    if !same {
        return Verdict::Send;
    }
    if entry.kind != EntryKind::File {
        return Verdict::Unchanged;
    }
    match (pushed.digest(guest), host.sha256) {
        (Some(there), Some(here)) => compare(there, here),
        _ => Verdict::AskGuest,
    }
}

fn compare(there: Digest, here: Digest) -> Verdict {
    if there == here { Verdict::Unchanged } else { Verdict::Send }
}

/// Folders of the guest that hold something excluded: they cannot be deleted as a whole.
fn protected(guest_scan: &[Entry], excluded: &dyn Fn(&TreePath, bool) -> bool) -> HashSet<TreePath> {
    let mut protected = HashSet::new();
    for entry in guest_scan {
        if entry.path.is_root() || !excluded(&entry.path, entry.kind == EntryKind::Directory) {
            continue;
        }
        let mut above = entry.path.parent();
        while let Some(folder) = above {
            above = folder.parent();
            if !protected.insert(folder) {
                break;
            }
        }
    }
    protected
}

fn deletions(
    host: &HostManifest,
    guest_scan: &[Entry],
    protected: &HashSet<TreePath>,
    excluded: &dyn Fn(&TreePath, bool) -> bool,
) -> Vec<TreePath> {
    let mut delete: Vec<TreePath> = Vec::new();
    let mut gone: HashSet<TreePath> = HashSet::new();
    for entry in guest_scan {
        let path = &entry.path;
        let Some(parent) = path.parent() else { continue };
        let replaced =
            |folder: &TreePath| host.get(folder).is_some_and(|host| host.entry.kind != EntryKind::Directory);
        let folder = entry.kind == EntryKind::Directory;
        // Everything below a file of the host goes when that file is put there.
        if gone.contains(&parent) || replaced(&parent) {
            gone.insert(path.clone());
        } else if host.get(path).is_none() && !excluded(path, folder) && !protected.contains(path) {
            gone.insert(path.clone());
            delete.push(path.clone());
        }
    }
    delete
}

#[cfg(test)]
mod tests;
