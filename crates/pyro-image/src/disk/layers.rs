//! A workspace's disk as its layers say it is: each overlay is asked, from the last to the first, and what none of them has
//! is zeros. This file must not write to a layer, and must not know what is on the disk.

use super::qcow2::Place;
use super::qcow2::Qcow2;
use super::qcow2::Qcow2Error;
use super::read_at::ReadAt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Most layers of one disk: each keeps a file open.
pub const LAYERS_MAX: usize = 512;

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerFormat {
    /// The disk's bytes.
    Raw,
    /// An overlay, made by [`super::create_overlay`].
    Qcow2,
}

/// Why a disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// There is no layer, or there are more than [`LAYERS_MAX`].
    #[error("a disk has between 1 and {LAYERS_MAX} layers, not {count}")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// A layer's file cannot be opened.
    #[error("opening the layer {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An overlay is no good.
    #[error("reading layer {index} of the disk")]
    Overlay {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        source: Qcow2Error,
    },
    /// A raw layer cannot be read.
    #[error("reading layer {index} of the disk at byte {offset}")]
    Raw {
        /// Which, from 0.
        index: usize,
        /// Where.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// More was asked for than there is.
    #[error("reading the disk at byte {offset}, beyond its {size_bytes} bytes")]
    Beyond {
        /// Where.
        offset: u64,
        /// What there is.
        size_bytes: u64,
    },
}

#[derive(Debug)]
enum Layer {
    Raw { file: File, size_bytes: u64 },
    Qcow2(Qcow2<File>),
}

/// Where a part of the disk is: in the file of a layer, or nowhere.
#[derive(Clone, Copy, Debug)]
enum Source {
    Zero,
    File { index: usize, at: u64 },
}

/// A disk of layers, open for reading.
#[derive(Debug)]
pub struct LayeredDisk {
    layers: Vec<Layer>,
    size_bytes: u64,
}

impl LayeredDisk {
    /// Opens the layers at these paths, the first at the bottom.
    ///
    /// # Errors
    /// [`LayersError::Count`], [`LayersError::Open`], [`LayersError::Overlay`], [`LayersError::Raw`].
    pub fn open(layers: &[(PathBuf, LayerFormat)]) -> Result<Self, LayersError> {
        check_count(layers.len())?;
        let open = |(path, format): &(PathBuf, LayerFormat)| match File::open(path) {
            Ok(file) => Ok((file, *format)),
            Err(source) => Err(LayersError::Open { path: path.clone(), source }),
        };
        Self::from_files(layers.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// The same of files that are open.
    ///
    /// # Errors
    /// [`LayersError::Count`], [`LayersError::Overlay`], [`LayersError::Raw`].
    pub fn from_files(files: Vec<(File, LayerFormat)>) -> Result<Self, LayersError> {
        check_count(files.len())?;
        let layers = files.into_iter().enumerate().map(|(index, (file, format))| match format {
            LayerFormat::Raw => match file.size_bytes() {
                Ok(size_bytes) => Ok(Layer::Raw { file, size_bytes }),
                Err(source) => Err(LayersError::Raw { index, offset: 0, source }),
            },
            LayerFormat::Qcow2 => {
                Qcow2::open(file).map(Layer::Qcow2).map_err(|source| LayersError::Overlay { index, source })
            }
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let size_bytes = layers.last().map_or(0, Layer::size_bytes);
        Ok(Self { layers, size_bytes })
    }

    /// Bytes of the disk, which is what its last layer says.
    pub const fn size(&self) -> u64 {
        self.size_bytes
    }

    /// Fills `buffer` with what is at byte `offset` of the disk.
    ///
    /// # Errors
    /// [`LayersError::Beyond`], [`LayersError::Overlay`], [`LayersError::Raw`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), LayersError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size_bytes) {
            return Err(LayersError::Beyond { offset, size_bytes: self.size_bytes });
        }
        let (mut rest, mut offset) = (buffer, offset);
        while !rest.is_empty() {
            let (source, run) = self.locate(offset)?;
            let length = usize::try_from(run).unwrap_or(usize::MAX).min(rest.len());
            let (piece, after) = rest.split_at_mut(length);
            self.read_piece(piece, source)?;
            (rest, offset) = (after, offset + length as u64);
        }
        Ok(())
    }

    fn read_piece(&self, piece: &mut [u8], source: Source) -> Result<(), LayersError> {
        let Source::File { index, at } = source else {
            piece.fill(0);
            return Ok(());
        };
        match self.layers.get(index) {
            Some(Layer::Raw { file, .. }) => ReadAt::read_exact_at(file, piece, at)
                .map_err(|source| LayersError::Raw { index, offset: at, source }),
            Some(Layer::Qcow2(overlay)) => {
                overlay.read_file(piece, at).map_err(|source| LayersError::Overlay { index, source })
            }
            None => Ok(()),
        }
    }

    /// Where byte `offset` is, and for how many bytes that holds.
    fn locate(&self, offset: u64) -> Result<(Source, u64), LayersError> {
        let mut run = self.size_bytes.saturating_sub(offset);
        for (index, layer) in self.layers.iter().enumerate().rev() {
            match layer {
                Layer::Raw { size_bytes, .. } => {
                    return Ok(match size_bytes.checked_sub(offset) {
                        Some(there) if there > 0 => (Source::File { index, at: offset }, run.min(there)),
                        _ => (Source::Zero, run),
                    });
                }
                Layer::Qcow2(overlay) => {
                    let located = overlay.locate(offset);
                    let (place, there) = located.map_err(|source| LayersError::Overlay { index, source })?;
                    run = run.min(there);
                    match place {
                        Place::Below => {}
                        Place::Zero => return Ok((Source::Zero, run)),
                        Place::Data(at) => return Ok((Source::File { index, at }, run)),
                    }
                }
            }
        }
        Ok((Source::Zero, run))
    }
}

impl Layer {
    const fn size_bytes(&self) -> u64 {
        match self {
            Self::Raw { size_bytes, .. } => *size_bytes,
            Self::Qcow2(overlay) => overlay.size_bytes(),
        }
    }
}

impl ReadAt for LayeredDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_at(buffer, offset).map_err(|error| match error {
            LayersError::Raw { source, .. } => source,
            LayersError::Beyond { .. } => io::ErrorKind::UnexpectedEof.into(),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }
}

fn check_count(count: usize) -> Result<(), LayersError> {
    if count == 0 || count > LAYERS_MAX { Err(LayersError::Count { count }) } else { Ok(()) }
}
