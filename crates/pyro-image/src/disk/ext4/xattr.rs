//! Extended attributes: behind the inode's own fields, and in one block beside it. It must not know what they mean.

use super::Ext4;
use super::Ext4Error;
use super::Inode;
use super::fields::le16;
use super::fields::le32;
use super::fields::u8_at;
use super::inode::BASE_BYTES;

const MAGIC: u32 = 0xea02_0000;
const BLOCK_HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 16;
/// How names begin, by the number they are stored with.
const PREFIXES: [&[u8]; 9] = [
    b"",
    b"user.",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"trusted.",
    b"lustre.",
    b"security.",
    b"system.",
    b"system.richacl",
];

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Its whole name, such as `trusted.overlay.opaque`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Ext4 {
    /// The extended attributes of an inode.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, Ext4Error> {
        let corrupt = |what| Ext4Error::Corrupt { inode: inode.number, what };
        let mut found = Vec::new();
        let (block, range) = self.inode_bytes(inode.number)?;
        let bytes = block.get(range).unwrap_or_default();
        let start = BASE_BYTES + usize::from(le16(bytes, BASE_BYTES));
        if bytes.len() > BASE_BYTES
            && let Some(body) = bytes.get(start..)
            && le32(body, 0) == MAGIC
        {
            // Values are counted from behind the magic number.
            parse(&body[4..], 0, &mut found).map_err(corrupt)?;
        }
        if inode.attributes_block != 0 {
            let block = self.blocks.get(inode.attributes_block)?;
            if le32(&block, 0) != MAGIC {
                return Err(corrupt("its block of attributes is none"));
            }
            parse(&block, BLOCK_HEADER_BYTES, &mut found).map_err(corrupt)?;
        }
        Ok(found)
    }
}

/// Adds the attributes whose entries begin at `at`; values are somewhere in `area`.
fn parse(area: &[u8], mut at: usize, found: &mut Vec<Xattr>) -> Result<(), &'static str> {
    while le32(area, at) != 0 {
        let entry = area.get(at..at + ENTRY_BYTES).ok_or("an attribute is cut")?;
        let (length, value_at) = (usize::from(u8_at(entry, 0)), usize::from(le16(entry, 2)));
        if le32(entry, 4) != 0 {
            return Err("an attribute has its value in another inode");
        }
        let prefix =
            *PREFIXES.get(usize::from(u8_at(entry, 1))).ok_or("an attribute has a name of no kind")?;
        let rest = area.get(at + ENTRY_BYTES..at + ENTRY_BYTES + length).ok_or("an attribute is cut")?;
        let value_length = usize::try_from(le32(entry, 8)).unwrap_or(usize::MAX);
        let value = value_at.checked_add(value_length).and_then(|end| area.get(value_at..end));
        let value = value.ok_or("an attribute's value is not where one can be")?.to_vec();
        found.push(Xattr { name: [prefix, rest].concat(), value });
        at += (ENTRY_BYTES + length).next_multiple_of(4);
    }
    Ok(())
}
