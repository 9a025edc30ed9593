//! Secrets on a disk, for those who want them to outlive the host's memory: each value encrypted by itself, with a key that is not
//! below the state folder, and bound to its workspace and name. One that is removed goes without the key. This file must not
//! write a value as it is, nor a key that took the place of another.
//!
//! ```text
//!   secrets.json   {"schema": 1, "secrets": {NAME: {"nonce", "sealed"}}}     XChaCha20-Poly1305, all in base64
//!   secrets.key    32 random bytes, for its owner alone, made with the first secret
//! ```

use super::error::StoreError;
use super::folder::Folder;
use super::folder::read_json;
use super::folder::write_json;
use crate::code;
use crate::code::Coded;
use crate::config::Config;
use crate::secret::SecretName;
use crate::secret::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::Key;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::XNonce;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::aead::KeyInit as _;
use chacha20poly1305::aead::Payload;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The version of the document's shape.
const SCHEMA: u32 = 1;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why secrets cannot be kept, or read back.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Nobody said where the key is to be.
    #[error("there is no folder for the key that secrets are kept with")]
    NoPlace,
    /// The key is not there, and there are secrets that need it.
    #[error("the key {path}, which the secrets of the workspace {workspace} are kept with, is not there", path = .path.display())]
    KeyMissing {
        /// Where it ought to be.
        path: PathBuf,
        /// The workspace.
        workspace: String,
    },
    /// The file is no key, or others may read it.
    #[error("{path} cannot be the key that secrets are kept with: {reason}", path = .path.display())]
    KeyInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key does not open a secret.
    #[error(
        "the key {path} does not open the secret {name} of the workspace {workspace}: it is another key, or the secret is damaged",
        path = .path.display()
    )]
    KeyWrong {
        /// The key.
        path: PathBuf,
        /// The workspace.
        workspace: String,
        /// The secret.
        name: String,
    },
    /// A file could not be made, read or written.
    #[error("{operation} {path}", path = .path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The document could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for SealError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoPlace => code::HOME_MISSING,
            Self::KeyMissing { .. } => code::SECRETS_KEY_MISSING,
            Self::KeyInvalid { .. } | Self::KeyWrong { .. } => code::SECRETS_KEY_WRONG,
            Self::File { .. } => code::STATE_IO,
            Self::Store(error) => error.code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let again = "put the right key back; if it is lost, 'pyro workspace secret remove' forgets the secrets, and they can be set again";
        let hint = match self {
            Self::NoPlace => "set HOME, or XDG_CONFIG_HOME, to an absolute path",
            Self::KeyMissing { .. } | Self::KeyWrong { .. } => again,
            Self::KeyInvalid { .. } => "it must be 32 bytes that only you can read: chmod 600",
            Self::File { .. } => "check the free space and the owner of the folder",
            Self::Store(error) => return error.hints(),
        };
        vec![hint.to_owned()]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    secrets: BTreeMap<SecretName, Secret>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Secret {
    nonce: String,
    sealed: String,
}

/// The secrets of one workspace that are kept on a disk.
#[derive(Debug)]
pub(super) struct Sealed {
    document: PathBuf,
    key: Option<PathBuf>,
    workspace: String,
}

impl Sealed {
    /// The secrets of a workspace.
    pub(super) fn of(config: &Config, folder: &Folder) -> Self {
        Self {
            document: folder.path().join("secrets.json"),
            key: config.secrets_key.clone(),
            workspace: folder.id().to_string(),
        }
    }

    /// Keeps values, in place of older ones: all or none. The first makes the key.
    pub(super) fn put<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a SecretName, &'a SecretValue)>,
    ) -> Result<(), SealError> {
        let mut document = self.load()?;
        let key = if document.secrets.is_empty() { self.make_key()? } else { self.key()? };
        // What this key does not open would be lost to whoever has only this key.
        if let Some((name, secret)) = document.secrets.first_key_value() {
            self.open(&key, name, secret)?;
        }
        for (name, value) in values {
            document.secrets.insert(name.clone(), self.seal(&key, name, value)?);
        }
        Ok(write_json(&self.document, &document, true)?)
    }

    /// The values that are kept.
    pub(super) fn all(&self) -> Result<BTreeMap<SecretName, SecretValue>, SealError> {
        let document = self.load()?;
        if document.secrets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let key = self.key()?;
        let open =
            |(name, secret): (&SecretName, &Secret)| Ok((name.clone(), self.open(&key, name, secret)?));
        document.secrets.iter().map(open).collect()
    }

    /// Forgets a value. The key is not needed.
    pub(super) fn remove(&self, name: &SecretName) -> Result<(), SealError> {
        let mut document = self.load()?;
        if document.secrets.remove(name).is_some() {
            write_json(&self.document, &document, true)?;
        }
        Ok(())
    }

    fn load(&self) -> Result<Document, SealError> {
        let document: Option<Document> = read_json(&self.document)?;
        match document {
            Some(document) if document.schema != SCHEMA => {
                Err(StoreError::Newer { path: self.document.clone(), schema: document.schema }.into())
            }
            Some(document) => Ok(document),
            None => Ok(Document { schema: SCHEMA, secrets: BTreeMap::new() }),
        }
    }

    /// What a secret is bound to: it cannot be passed off as another's.
    fn bound(&self, name: &SecretName) -> Vec<u8> {
        format!("pyro:secret:{SCHEMA}:{}:{name}", self.workspace).into_bytes()
    }

    fn seal(&self, key: &Cipher, name: &SecretName, value: &SecretValue) -> Result<Secret, SealError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let payload = Payload { msg: value.expose().as_bytes(), aad: &self.bound(name) };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::KeyInvalid {
            path: key.path.clone(),
            reason: "it does not encrypt".to_owned(),
        })?;
        Ok(Secret { nonce: STANDARD.encode(nonce), sealed: STANDARD.encode(sealed) })
    }

    fn open(&self, key: &Cipher, name: &SecretName, secret: &Secret) -> Result<SecretValue, SealError> {
        let opened = || {
            let nonce: [u8; NONCE_BYTES] = STANDARD.decode(&secret.nonce).ok()?.try_into().ok()?;
            let sealed = STANDARD.decode(&secret.sealed).ok()?;
            let payload = Payload { msg: &sealed, aad: &self.bound(name) };
            let bytes = key.cipher.decrypt(&XNonce::from(nonce), payload).ok()?;
            SecretValue::from_bytes(bytes).ok()
        };
        opened().ok_or_else(|| SealError::KeyWrong {
            path: key.path.clone(),
            workspace: self.workspace.clone(),
            name: name.to_string(),
        })
    }

    fn key_path(&self) -> Result<&Path, SealError> {
        self.key.as_deref().ok_or(SealError::NoPlace)
    }

    fn key(&self) -> Result<Cipher, SealError> {
        let path = self.key_path()?;
        match Cipher::load(path) {
            Err(SealError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(SealError::KeyMissing { path: path.to_owned(), workspace: self.workspace.clone() })
            }
            loaded => loaded,
        }
    }

    /// The key, made if there is none.
    fn make_key(&self) -> Result<Cipher, SealError> {
        let path = self.key_path()?;
        match Cipher::load(path) {
            Err(SealError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(|source| failed("making", path, source))?;
                Cipher::load(path)
            }
            loaded => loaded,
        }
    }
}

/// A key that was read.
struct Cipher {
    path: PathBuf,
    cipher: XChaCha20Poly1305,
}

impl Cipher {
    fn load(path: &Path) -> Result<Self, SealError> {
        let invalid =
            |reason: &str| SealError::KeyInvalid { path: path.to_owned(), reason: reason.to_owned() };
        let mut file = File::open(path).map_err(|source| failed("opening", path, source))?;
        let found = file.metadata().map_err(|source| failed("looking at", path, source))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(invalid("others than its owner may use it"));
        }
        if found.len() != KEY_BYTES as u64 {
            return Err(invalid("it has not 32 bytes"));
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        file.read_exact(&mut *bytes).map_err(|source| failed("reading", path, source))?;
        let cipher = XChaCha20Poly1305::new(<&Key>::from(&*bytes));
        Ok(Self { path: path.to_owned(), cipher })
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> SealError {
    SealError::File { operation, path: path.to_owned(), source }
}

/// Makes a key, whole and on the disk, unless somebody else is quicker.
fn make(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let thread = std::thread::current().id();
    let aside = path.with_extension(format!("new-{}-{thread:?}", std::process::id()));
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let bytes = Zeroizing::new(random_bytes::<KEY_BYTES>()?);
    let written = file.write_all(&*bytes).and_then(|()| file.sync_all());
    let put = written.and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(folder)?.sync_all(),
    });
    fs::remove_file(&aside)?;
    put
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    random_bytes().map_err(|source| StoreError::Random(source).into())
}

fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("w")).unwrap();
            Self { dir }
        }

        fn key(&self) -> PathBuf {
            self.dir.path().join("config/secrets.key")
        }

        fn sealed(&self, workspace: &str) -> Sealed {
            Sealed {
                document: self.dir.path().join("w/secrets.json"),
                key: Some(self.key()),
                workspace: workspace.to_owned(),
            }
        }
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    fn value(text: &str) -> SecretValue {
        SecretValue::new(text.to_owned()).unwrap()
    }

    fn put(sealed: &Sealed, secrets: &[(&str, &str)]) -> Result<(), &'static str> {
        let secrets: Vec<_> = secrets.iter().map(|(key, text)| (name(key), value(text))).collect();
        sealed.put(secrets.iter().map(|(key, value)| (key, value))).map_err(|error| error.code())
    }

    fn all(sealed: &Sealed) -> Result<Vec<(String, String)>, &'static str> {
        let all = sealed.all().map_err(|error| error.code())?;
        Ok(all.iter().map(|(name, value)| (name.to_string(), value.expose().to_owned())).collect())
    }

    fn pairs(secrets: &[(&str, &str)]) -> Vec<(String, String)> {
        secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_kept_comes_back_and_is_nowhere_as_it_is() {
        let place = Place::new();
        let sealed = place.sealed("a");
        assert_eq!(all(&sealed), Ok(vec![]));
        assert!(!place.key().exists());
        put(&sealed, &[("A", "swordfish"), ("B", "hunter2")]).unwrap();
        put(&sealed, &[("A", "changed")]).unwrap();
        assert_eq!(all(&sealed), Ok(pairs(&[("A", "changed"), ("B", "hunter2")])));
        let text = fs::read_to_string(&sealed.document).unwrap();
        assert!(!text.contains("changed") && !text.contains("hunter2"), "{text}");
        for path in [&sealed.document, &place.key()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        }
        assert_eq!(fs::read_dir(place.key().parent().unwrap()).unwrap().count(), 1);
        sealed.remove(&name("A")).unwrap();
        sealed.remove(&name("NONE")).unwrap();
        assert_eq!(all(&sealed), Ok(pairs(&[("B", "hunter2")])));
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let place = Place::new();
        let sealed = place.sealed("a");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..8 {
            put(&sealed, &[("A", "swordfish")]).unwrap();
            assert!(seen.insert(sealed.load().unwrap().secrets[&name("A")].sealed.clone()));
        }
    }

    #[test]
    fn a_secret_is_bound_to_its_workspace_and_name() {
        let place = Place::new();
        let sealed = place.sealed("a");
        put(&sealed, &[("A", "swordfish"), ("B", "hunter2")]).unwrap();
        assert_eq!(all(&place.sealed("b")), Err(code::SECRETS_KEY_WRONG));
        let mut document = sealed.load().unwrap();
        let (a, b) = (document.secrets[&name("A")].clone(), document.secrets[&name("B")].clone());
        document.secrets.extend([(name("A"), b), (name("B"), a)]);
        write_json(&sealed.document, &document, false).unwrap();
        assert_eq!(all(&sealed), Err(code::SECRETS_KEY_WRONG));
    }

    #[test]
    fn without_the_right_key_nothing_is_read_and_nothing_lost() {
        let place = Place::new();
        let sealed = place.sealed("a");
        put(&sealed, &[("A", "swordfish")]).unwrap();
        let (before, key) = (fs::read(&sealed.document).unwrap(), fs::read(place.key()).unwrap());
        fs::remove_file(place.key()).unwrap();
        assert_eq!(all(&sealed), Err(code::SECRETS_KEY_MISSING));
        assert_eq!(put(&sealed, &[("B", "hunter2")]), Err(code::SECRETS_KEY_MISSING));
        assert!(!place.key().exists(), "a new key would stand in the old one's way");
        let set = |bytes: &[u8], mode| {
            let _ = fs::remove_file(place.key());
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(place.key()).unwrap();
            file.write_all(bytes).unwrap();
        };
        for (bytes, mode) in [(&[7; 32][..], 0o600), (&key[..31], 0o600), (&key[..], 0o640)] {
            set(bytes, mode);
            assert_eq!(all(&sealed), Err(code::SECRETS_KEY_WRONG));
            assert_eq!(put(&sealed, &[("B", "hunter2")]), Err(code::SECRETS_KEY_WRONG));
        }
        assert_eq!(fs::read(&sealed.document).unwrap(), before);
        set(&key, 0o600);
        assert_eq!(all(&sealed), Ok(pairs(&[("A", "swordfish")])));
        // What is given up can go without any key.
        fs::remove_file(place.key()).unwrap();
        sealed.remove(&name("A")).unwrap();
        put(&sealed, &[("B", "hunter2")]).unwrap();
        assert_eq!(all(&sealed), Ok(pairs(&[("B", "hunter2")])));
    }

    /// As the first release that has it wrote it.
    #[test]
    fn an_old_document_is_read() {
        let place = Place::new();
        let sealed = place.sealed("0123456789ab");
        fs::create_dir_all(place.key().parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.key()).unwrap();
        file.write_all(&(0..32).collect::<Vec<u8>>()).unwrap();
        fs::write(&sealed.document, include_str!("sealed/schema-1.json")).unwrap();
        assert_eq!(all(&sealed), Ok(pairs(&[("TOKEN", "swordfish")])));
        fs::write(&sealed.document, r#"{"schema": 2, "secrets": {}}"#).unwrap();
        assert_eq!(all(&sealed), Err(code::DOCUMENT_INVALID));
    }
}
