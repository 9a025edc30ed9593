//! Folders, read from the first block to the last: the hashed ones look like others to who does so. And links, whose targets
//! are never followed. It must not know paths.

use super::Ext4;
use super::Ext4Error;
use super::FileKind;
use super::Inode;
use super::fields::le16;
use super::fields::le32;
use super::fields::u8_at;
use std::collections::HashSet;

/// Longest target of a link, in bytes.
const TARGET_BYTES_MAX: usize = 4095;
/// A target shorter than this is in the inode itself.
const TARGET_BYTES_INLINE: usize = 60;
const ENTRY_HEADER_BYTES: usize = 8;
/// Most bytes of a folder: twenty million names.
const FOLDER_BYTES_MAX: u64 = 1 << 30;
/// Most bytes that the names of one folder may take in memory, and what each takes beside its own, about.
const NAMES_BYTES_MAX: usize = 512 << 20;
const NAME_BYTES: usize = 64;

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: at least one byte, neither a slash nor zero among them, and neither `.` nor `..`.
    pub name: Vec<u8>,
    /// Whose name it is.
    pub inode: u32,
}

impl Ext4 {
    /// What is in a folder, in the order it is stored.
    ///
    /// # Errors
    /// [`Ext4Error`]; a name that is there twice is an error too, so that what is read is bounded by what is stored.
    pub fn list(&self, folder: &Inode) -> Result<Vec<DirEntry>, Ext4Error> {
        self.list_within(folder, NAMES_BYTES_MAX)
    }

    fn list_within(&self, folder: &Inode, names_bytes_max: usize) -> Result<Vec<DirEntry>, Ext4Error> {
        let corrupt = |what| Ext4Error::Corrupt { inode: folder.number, what };
        let mut found: Vec<DirEntry> = Vec::new();
        let (mut names, mut bytes) = (HashSet::new(), 0);
        self.each_block(folder, |block| {
            let before = found.len();
            parse(block, &mut |name, inode| found.push(DirEntry { name: name.to_vec(), inode }))
                .map_err(corrupt)?;
            bytes += found[before..].iter().map(|entry| 2 * entry.name.len() + NAME_BYTES).sum::<usize>();
            if bytes > names_bytes_max {
                return Err(Ext4Error::Unsupported {
                    inode: folder.number,
                    what: "more names than can be listed",
                });
            }
            if found[before..].iter().all(|entry| names.insert(entry.name.clone())) {
                Ok(false)
            } else {
                Err(corrupt("a folder has a name twice"))
            }
        })?;
        Ok(found)
    }

    /// Whose name `name` is in a folder.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn find(&self, folder: &Inode, name: &[u8]) -> Result<Option<u32>, Ext4Error> {
        let mut found = None;
        self.each_block(folder, |block| {
            parse(block, &mut |there, inode| {
                if there == name {
                    found = Some(inode);
                }
            })
            .map_err(|what| Ext4Error::Corrupt { inode: folder.number, what })?;
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    /// Gives each block of a folder to `take`, until that says it has enough. None comes twice, so that it ends with what is
    /// stored.
    fn each_block(
        &self,
        folder: &Inode,
        mut take: impl FnMut(&[u8]) -> Result<bool, Ext4Error>,
    ) -> Result<(), Ext4Error> {
        if folder.kind != FileKind::Directory {
            return Err(Ext4Error::Kind { inode: folder.number, wanted: "folder" });
        }
        let blocks = folder.size_bytes.div_ceil(self.superblock.block_bytes as u64);
        if blocks > self.blocks.count() {
            return Err(Ext4Error::Corrupt {
                inode: folder.number,
                what: "a folder is larger than its disk",
            });
        }
        if folder.size_bytes > FOLDER_BYTES_MAX {
            return Err(Ext4Error::Unsupported { inode: folder.number, what: "more names than can be read" });
        }
        let mut places = HashSet::new();
        for logical in 0..blocks {
            let (Some(place), _) = self.map(folder, logical)? else {
                return Err(Ext4Error::Corrupt { inode: folder.number, what: "a folder has a hole" });
            };
            if !places.insert(place) {
                return Err(Ext4Error::Corrupt { inode: folder.number, what: "a folder has a block twice" });
            }
            if take(&self.blocks.get(place)?)? {
                break;
            }
        }
        Ok(())
    }

    /// What a link says.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn read_link(&self, link: &Inode) -> Result<Vec<u8>, Ext4Error> {
        if link.kind != FileKind::Symlink {
            return Err(Ext4Error::Kind { inode: link.number, wanted: "symbolic link" });
        }
        let corrupt = |what| Ext4Error::Corrupt { inode: link.number, what };
        let length = usize::try_from(link.size_bytes).unwrap_or(usize::MAX);
        if length == 0 || length > TARGET_BYTES_MAX {
            return Err(corrupt("a link's target has a length that none has"));
        }
        let target = if length < TARGET_BYTES_INLINE && !link.has_extents {
            link.block[..length].to_vec()
        } else {
            let mut target = vec![0; length];
            self.read_content(link, &mut target, 0)?;
            target
        };
        if target.contains(&0) { Err(corrupt("a link's target has a zero byte")) } else { Ok(target) }
    }
}

/// Tells the names of one block.
fn parse(block: &[u8], found: &mut dyn FnMut(&[u8], u32)) -> Result<(), &'static str> {
    let mut rest = block;
    while !rest.is_empty() {
        let (length, name_length) = (usize::from(le16(rest, 4)), usize::from(u8_at(rest, 6)));
        if length < ENTRY_HEADER_BYTES || !length.is_multiple_of(4) || length > rest.len() {
            return Err("an entry of a folder has a length that none has");
        }
        let (entry, after) = rest.split_at(length);
        rest = after;
        // Entries without an inode: deleted ones, the nodes of the hash tree, the checksum at the block's end.
        let inode = le32(entry, 0);
        if inode == 0 {
            continue;
        }
        let name = entry.get(ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + name_length);
        let name = name.ok_or("a name is longer than its entry")?;
        if name.is_empty() || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err("a name is none");
        }
        if name != b"." && name != b".." {
            found(name, inode);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::process::Command;

    #[test]
    fn names_are_listed_within_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
        std::fs::create_dir(&tree).unwrap();
        for n in 0..100 {
            File::create(tree.join(format!("name{n:03}"))).unwrap();
        }
        let mut mkfs = Command::new("/sbin/mkfs.ext4");
        mkfs.args(["-q", "-F", "-O", "^has_journal,^resize_inode", "-d"]).arg(&tree).arg(&image).arg("2M");
        assert!(mkfs.output().unwrap().status.success());
        let fs = Ext4::open(Box::new(File::open(image).unwrap())).unwrap();
        let root = fs.root().unwrap();
        // A hundred names of seven bytes, and `lost+found`.
        let all = 100 * (2 * 7 + NAME_BYTES) + 2 * 10 + NAME_BYTES;
        assert_eq!(fs.list_within(&root, all).unwrap().len(), 101);
        assert!(matches!(fs.list_within(&root, all - 1), Err(Ext4Error::Unsupported { inode: 2, .. })));
    }
}
