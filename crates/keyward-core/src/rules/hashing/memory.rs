//! Memory for Argon2.

use std::fmt;
use std::sync::Arc;

use argon2::Block;
use memmap2::{MmapOptions, MmapRaw};

use super::Cost;
use crate::platform::{provide_pages, want_huge_pages};

/// Memory that Argon2 computes in.
///
/// It is reused, and requested in huge pages: 19 MiB are 4,864 pages of 4 KiB, and the system takes about as long to
/// provide that many as Argon2 takes to fill them. If there are no huge pages, only that time is lost.
///
/// When dropped, it goes back to the system, which clears pages before another process gets them (mmap(2)). Overwriting
/// it first would add a twentieth to the time of a verification, and it holds no part of the secret.
#[derive(Default)]
pub struct Memory(Option<Mapped>);

struct Mapped {
    map: Arc<MmapRaw>,
    /// The first byte of the blocks, at the start of a huge page.
    start: usize,
    /// The number of blocks.
    room: usize,
}

/// Bytes in a huge page.
const HUGE_PAGE: usize = 2 * 1024 * 1024;

impl Memory {
    /// Memory for hashes of `cost`. The system provides a page when it is first used, or when the [`Provision`] reaches
    /// it. If there is no room now, there may be later.
    pub fn for_cost(cost: Cost) -> Self {
        Self(Mapped::new(cost.memory_kib as usize))
    }

    /// Has the system provide all the memory for hashes of `cost` now, unless it is there. If there is no room now, there
    /// may be later.
    pub fn make_ready(&mut self, cost: Cost) {
        if self.0.as_ref().is_none_or(|mapped| mapped.room < cost.memory_kib as usize) {
            *self = Self::default();
            *self = Self::for_cost(cost);
            self.provision().provide();
        }
    }

    /// What can be done on another thread to have the pages provided sooner, while hashes are computed in them.
    pub fn provision(&self) -> Provision {
        Provision(self.0.as_ref().map(|mapped| (Arc::clone(&mapped.map), mapped.start, mapped.room * Block::SIZE)))
    }

    /// This many blocks, with anything in them; nothing if the system does not grant the memory.
    pub(super) fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        if self.0.as_ref().is_none_or(|mapped| mapped.room < count) {
            *self = Self::default();
            self.0 = Mapped::new(count);
        }
        self.0.as_mut().map(|mapped| mapped.lend(count))
    }
}

impl Mapped {
    fn new(room: usize) -> Option<Self> {
        // The last page is requested whole: a part of it would be given in small pages.
        let length = room.checked_mul(Block::SIZE)?.checked_next_multiple_of(HUGE_PAGE)?;
        let map = MmapRaw::from(MmapOptions::new().len(length.checked_add(HUGE_PAGE)?).map_anon().ok()?);
        // The offset may be unknown, according to its documentation.
        let start = Some(map.as_ptr().align_offset(HUGE_PAGE)).filter(|start| *start < HUGE_PAGE)?;
        want_huge_pages(&map, start, length);
        Some(Self { map: Arc::new(map), start, room })
    }

    /// The first `count` blocks, or all of them if there are fewer.
    fn lend(&mut self, count: usize) -> &mut [Block] {
        let count = count.min(self.room);
        #[expect(clippy::cast_ptr_alignment, reason = "`start` is at the start of a huge page")]
        let first = self.map.as_mut_ptr().wrapping_add(self.start).cast::<Block>();
        #[expect(unsafe_code, reason = "a Block has no safe conversion from bytes, and argon2 takes only Blocks")]
        // SAFETY: `new` mapped `room` blocks from `start` on, readable and writable, and aligned to a huge page. They stay
        // mapped as long as `map` exists, which `self` holds. A Block is 128 numbers of 64 bits, so that any bits are one,
        // and the system gave zeros. Nothing else reaches the blocks: the map is shared only with a `Provision`, which
        // asks the system for pages and neither reads nor writes what is in them, and `self` is borrowed exclusively.
        unsafe {
            std::slice::from_raw_parts_mut(first, count)
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory(…)")
    }
}

/// Has the system provide the pages of a [`Memory`].
#[derive(Debug)]
pub struct Provision(Option<(Arc<MmapRaw>, usize, usize)>);

impl Provision {
    /// Provides one huge page after another. Where the system cannot do this ahead, each page is provided when it is
    /// first used.
    pub fn provide(self) {
        let Some((map, start, length)) = self.0 else { return };
        let mut pages = (start..start + length).step_by(HUGE_PAGE);
        // The first that fails ends it.
        let _ = pages.all(|page| provide_pages(&map, page, HUGE_PAGE.min(start + length - page)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(memory_kib: u32) -> Memory {
        Memory::for_cost(Cost { memory_kib, passes: 1, lanes: 1 })
    }

    #[test]
    fn blocks_keep_what_is_written_while_their_pages_are_provided() {
        for kib in [1, 1_024, 2_047, 2_048, 2_049, 19_456] {
            let mut memory = memory(kib);
            let provision = memory.provision();
            let provider = std::thread::spawn(move || provision.provide());
            let blocks = memory.blocks(kib as usize).unwrap();
            assert_eq!(blocks.as_ptr().align_offset(HUGE_PAGE), 0);
            for (block, number) in blocks.iter_mut().zip(1..) {
                assert_eq!(block.as_ref(), [0; 128]);
                block.as_mut().fill(number);
            }
            provider.join().unwrap();
            let blocks = memory.blocks(kib as usize).unwrap();
            assert_eq!(blocks.len(), kib as usize);
            for (block, number) in blocks.iter().zip(1..) {
                assert_eq!(block.as_ref(), [number; 128]);
            }
        }
    }

    #[test]
    fn memory_that_is_ready_is_kept_for_what_fits_into_it() {
        let [small, large] = [1_024, 4_096].map(|memory_kib| Cost { memory_kib, passes: 1, lanes: 1 });
        let mut memory = Memory::default();
        for (cost, room) in [(small, 1_024), (large, 4_096), (small, 4_096)] {
            memory.make_ready(cost);
            assert_eq!(memory.0.as_ref().map(|mapped| mapped.room), Some(room));
        }
    }

    #[test]
    fn pages_may_be_provided_for_memory_that_is_gone_or_never_was() {
        let provision = memory(4_096).provision();
        provision.provide();
        Memory::default().provision().provide();
        assert!(Memory::default().blocks(usize::MAX / 2).is_none());
    }
}
