//! Who a command runs as, from the guest's own `/etc/passwd` and `/etc/group`. Parsed here because a static program must
//! not load the C library's name services. Pure but for [`read_bounded`]; this file must not change any identity.

use crate::names::shown;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Most bytes of a user database that are looked at.
const DATABASE_BYTES_MAX: u64 = 1024 * 1024;

/// Most supplementary groups a command gets (the kernel takes 65536).
const GROUPS_MAX: usize = 1024;

/// The identity of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) name: Vec<u8>,
    pub(crate) home: Vec<u8>,
    pub(crate) shell: Vec<u8>,
}

/// Why a user cannot be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("the user {0} does not exist")]
    NoSuchUser(String),
    #[error("the group {0} does not exist")]
    NoSuchGroup(String),
}

/// The two databases as bytes; empty where the guest has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Databases {
    pub(crate) passwd: Vec<u8>,
    pub(crate) group: Vec<u8>,
}

impl Databases {
    /// Reads the guest's.
    pub(crate) fn read() -> Self {
        Self { group: read_bounded("/etc/group"), ..Self::read_users() }
    }

    /// Reads the guest's users without its groups, which not every question needs.
    pub(crate) fn read_users() -> Self {
        Self { passwd: read_bounded("/etc/passwd"), group: Vec::new() }
    }

    /// The user with this number, from the database or made up.
    pub(crate) fn by_uid(&self, uid: u32) -> User {
        self.find(|entry| entry.uid == uid).unwrap_or_else(|| unlisted(uid))
    }

    /// Resolves `NAME`, `UID`, `NAME:GROUP` or `UID:GID`.
    pub(crate) fn resolve(&self, spec: &str) -> Result<User, UserError> {
        let (who, group) = spec.split_once(':').map_or((spec, None), |(who, group)| (who, Some(group)));
        let named = self.find(|entry| entry.name == who.as_bytes());
        let mut user = match (named, number(who.as_bytes())) {
            (Some(user), _) => user,
            (None, Some(uid)) => self.by_uid(uid),
            (None, None) => return Err(UserError::NoSuchUser(shown(who.as_bytes()))),
        };
        match group {
            Some(group) => {
                user.gid = self.gid(group)?;
                user.groups = vec![user.gid];
            }
            None => user.groups = self.groups_of(&user),
        }
        Ok(user)
    }

    fn find(&self, wanted: impl Fn(&User) -> bool) -> Option<User> {
        let entries = lines(&self.passwd).filter_map(parse_passwd);
        entries.into_iter().find(wanted)
    }

    fn gid(&self, group: &str) -> Result<u32, UserError> {
        let named = lines(&self.group).filter_map(parse_group).find(|entry| entry.0 == group.as_bytes());
        let gid = named.map(|entry| entry.1).or_else(|| number(group.as_bytes()));
        gid.ok_or_else(|| UserError::NoSuchGroup(shown(group.as_bytes())))
    }

    fn groups_of(&self, user: &User) -> Vec<u32> {
        let member_of =
            |members: &[u8]| members.split(|byte| *byte == b',').any(|member| member == user.name);
        let others = lines(&self.group)
            .filter_map(parse_group)
            .filter(|(_, gid, members)| *gid != user.gid && member_of(members))
            .map(|(_, gid, _)| gid);
        [user.gid].into_iter().chain(others).take(GROUPS_MAX).collect()
    }
}

fn unlisted(uid: u32) -> User {
    let (name, home): (Vec<u8>, &[u8]) =
        if uid == 0 { (b"root".to_vec(), b"/root") } else { (uid.to_string().into_bytes(), b"/") };
    User { uid, gid: 0, groups: vec![0], name, home: home.to_vec(), shell: b"/bin/sh".to_vec() }
}

fn lines(database: &[u8]) -> impl Iterator<Item = &[u8]> {
    database.split(|byte| *byte == b'\n')
}

fn parse_passwd(line: &[u8]) -> Option<User> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_vec();
    let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
    let or = |field: &[u8], default: &[u8]| if field.is_empty() { default.to_vec() } else { field.to_vec() };
    let home = or(fields.nth(1)?, b"/");
    let shell = or(fields.next().unwrap_or_default(), b"/bin/sh");
    Some(User { uid, gid, groups: vec![gid], name, home, shell })
}

fn parse_group(line: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = number(fields.nth(1)?)?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

/// A user or group number; the highest means "no change" to the kernel and is none.
fn number(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = plain.then_some(digits).and_then(|digits| str::from_utf8(digits).ok())?;
    text.parse().ok().filter(|number| *number != u32::MAX)
}

/// The beginning of a small file; empty when it cannot be read.
pub(crate) fn read_bounded(path: impl AsRef<Path>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before a failure is still a valid prefix.
        let _ = file.take(DATABASE_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases() -> Databases {
        Databases {
            passwd: b"root:x:0:0:root:/root:/bin/bash\n+junk\nbad:x:no:0::/:\ngit:x:104:110:,,,:/home/git:\n"
                .to_vec(),
            group: b"root:x:0:\nsudo:x:27:alice,git\ngit:x:110:\nx:y\n".to_vec(),
        }
    }

    #[test]
    fn names_numbers_and_groups_are_resolved() {
        let databases = databases();
        let git = databases.resolve("git").unwrap();
        assert_eq!((git.uid, git.gid, git.groups.as_slice()), (104, 110, &[110, 27][..]));
        assert_eq!((git.home.as_slice(), git.shell.as_slice()), (&b"/home/git"[..], &b"/bin/sh"[..]));
        assert_eq!(databases.resolve("104").unwrap(), git);
        assert_eq!(databases.resolve("git:sudo").unwrap().groups, [27]);
        let nobody = databases.resolve("5000:6000").unwrap();
        assert_eq!((nobody.uid, nobody.gid, nobody.name.as_slice()), (5000, 6000, &b"5000"[..]));
    }

    #[test]
    fn unknown_names_are_errors() {
        let databases = databases();
        assert_eq!(databases.resolve("eve"), Err(UserError::NoSuchUser("eve".into())));
        assert_eq!(databases.resolve("bad"), Err(UserError::NoSuchUser("bad".into())));
        assert_eq!(databases.resolve("git:eve"), Err(UserError::NoSuchGroup("eve".into())));
        assert_eq!(databases.resolve("4294967295"), Err(UserError::NoSuchUser("4294967295".into())));
        assert_eq!(databases.resolve(""), Err(UserError::NoSuchUser(String::new())));
    }

    #[test]
    fn a_guest_without_databases_has_a_root() {
        let root = Databases::default().by_uid(0);
        assert_eq!((root.name.as_slice(), root.home.as_slice()), (&b"root"[..], &b"/root"[..]));
    }
}
