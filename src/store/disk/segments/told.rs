//! Finding what gists say of entries that cannot be read.

use std::io;
use std::ops::Range;

use super::files::Files;
use super::format::{HEADER, Head, Header, KIND_GIST};
use super::gist;
use super::scan::Scanner;

/// A gist that was found: sequence and kind of its entry, and what it says.
pub(super) type Gist = (u64, u8, Vec<u8>);

/// Where blocks of gists are: in files, and one in the mark.
pub(super) struct Told {
    blocks: Vec<Block>,
    mark: Vec<u8>,
}

struct Block {
    sequences: Range<u64>,
    header: Header,
    position: u64,
    head: Head,
}

impl Told {
    /// Looks through files for blocks, each up to the sequence where it stops to count. It is done once,
    /// and only if something is damaged.
    pub fn find<F: Files>(
        files: &F,
        counting: impl Iterator<Item = (Header, u64)>,
        mark: Vec<u8>,
    ) -> io::Result<Self> {
        let mut blocks = Vec::new();
        for (header, end) in counting {
            let mut scanner = Scanner::open(files, &header)?;
            let mut next = scanner.resync(HEADER, header.first);
            while let Some((position, head)) = next.filter(|it| it.1.sequence <= end) {
                if head.kind == KIND_GIST {
                    let block = scanner.entry(position, head);
                    let first = gist::read(block).next().map_or(0, |it| it.0);
                    blocks.push(Block {
                        sequences: first..gist::end(block),
                        header,
                        position,
                        head,
                    });
                }
                next = scanner.resync(position + head.size(), head.sequence);
            }
        }
        Ok(Self { blocks, mark })
    }

    /// What is said of these entries, in their order.
    pub fn of<F: Files>(&self, files: &F, sequences: &Range<u64>) -> io::Result<Vec<Gist>> {
        let mut gists = Vec::new();
        let mut gather = |block: &[u8]| {
            let all = gist::read(block).filter(|it| sequences.contains(&it.0));
            gists.extend(all.map(|(sequence, kind, gist)| (sequence, kind, gist.to_vec())));
        };
        gather(&self.mark);
        for it in &self.blocks {
            if it.sequences.start < sequences.end && sequences.start < it.sequences.end {
                let mut scanner = Scanner::open(files, &it.header)?;
                gather(scanner.entry(it.position, it.head));
            }
        }
        gists.sort_unstable_by_key(|it| it.0);
        gists.dedup_by_key(|it| it.0);
        Ok(gists)
    }
}
