//! Memory that is never swapped out, for keys.
//!
//! Keys live in slots of slabs: a slab is 64 KiB of memory of its own, locked (mlock), left out of
//! core dumps and of forked processes. A slab lives as long as the process; a slot is overwritten
//! when it is given back, and used again. Where the system refuses to lock, keys are kept all the
//! same: [`status`] says so, and whoever wants to know can tell.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit};
use zeroize::Zeroize as _;

/// The length of a key, in bytes.
pub const SLOT_BYTES: usize = 32;
const SLAB_BYTES: usize = 64 << 10;

type Slot = &'static mut [u8; SLOT_BYTES];

/// Lets all threads share one heap. With one for each (the GNU C library's default), memory that one
/// thread frees is of no use to another: rows that readers gathered stay with them while they are sealed
/// elsewhere, and a backup takes half as much memory again. Call it before there are threads.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library offers no other way, but for an environment variable")]
pub fn share_one_heap() {
    // SAFETY: sets a number that later allocations read; no other thread is there yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Other C libraries have one heap.
#[cfg(not(target_env = "gnu"))]
pub fn share_one_heap() {}

/// All slabs of this process.
struct Slabs {
    free: Vec<Slot>,
    locked_bytes: usize,
    unlocked_bytes: usize,
    refused: Option<io::Error>,
    whole_process: bool,
}

static SLABS: Mutex<Slabs> = Mutex::new(Slabs {
    free: Vec::new(),
    locked_bytes: 0,
    unlocked_bytes: 0,
    refused: None,
    whole_process: false,
});

fn slabs() -> MutexGuard<'static, Slabs> {
    SLABS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slabs {
    fn take(&mut self) -> Slot {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        self.grow();
        // Without a page to be had, the process ends at the next allocation anyway.
        self.free.pop().unwrap_or_else(|| Box::leak(Box::new([0; SLOT_BYTES])))
    }

    fn grow(&mut self) {
        let Ok(slab) = MmapMut::map_anon(SLAB_BYTES) else { return };
        // Refused by systems without these advices only; core dumps are off besides.
        let _ = slab.advise(Advice::DontDump);
        let _ = slab.advise(Advice::DontFork);
        match slab.lock() {
            Ok(()) => self.locked_bytes += SLAB_BYTES,
            Err(error) => {
                self.unlocked_bytes += SLAB_BYTES;
                self.refused = Some(error);
            }
        }
        let (slots, _) = Box::leak(Box::new(slab)).as_chunks_mut::<SLOT_BYTES>();
        self.free.extend(slots);
    }
}

/// 32 bytes in locked memory, zero at first, overwritten when dropped.
pub struct LockedBytes(Option<Slot>);

impl LockedBytes {
    /// A slot of zeros.
    #[must_use]
    pub fn zeroed() -> Self {
        Self(Some(slabs().take()))
    }
}

impl Deref for LockedBytes {
    type Target = [u8; SLOT_BYTES];

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &Self::Target {
        // Cannot fail: only `drop` takes the slot.
        self.0.as_deref().expect("a slot until it is dropped")
    }
}

impl DerefMut for LockedBytes {
    #[allow(clippy::expect_used)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        // Cannot fail: only `drop` takes the slot.
        self.0.as_deref_mut().expect("a slot until it is dropped")
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.zeroize();
            slabs().free.push(slot);
        }
    }
}

/// Whether secrets can reach the swap space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Memory for keys that the system keeps out of the swap space, in bytes.
    pub locked_bytes: usize,
    /// Memory for keys that it refused to lock, in bytes.
    pub unlocked_bytes: usize,
    /// What the system said when it refused.
    pub refused: Option<String>,
    /// How much this process may lock, in bytes; `None` when there is no limit.
    pub limit_bytes: Option<u64>,
    /// Whether all memory of this process is locked, rows included.
    pub whole_process: bool,
}

/// What holds now. Takes a slot first, so that there is something to tell of.
#[must_use]
pub fn status() -> Status {
    drop(LockedBytes::zeroed());
    let slabs = slabs();
    Status {
        locked_bytes: slabs.locked_bytes,
        unlocked_bytes: slabs.unlocked_bytes,
        refused: slabs.refused.as_ref().map(ToString::to_string),
        limit_bytes: rustix::process::getrlimit(Resource::Memlock).current,
        whole_process: slabs.whole_process,
    }
}

/// Takes for this process what the system allows: the highest limit of locked memory, and where
/// there is none, all memory locked as it comes into use. Once, at the start.
pub fn lock_what_is_allowed() {
    let limit = rustix::process::getrlimit(Resource::Memlock);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Refused, the limit stays what it was; `status` tells.
        let _ = rustix::process::setrlimit(Resource::Memlock, raised);
    }
    if limit.maximum.is_none() {
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        slabs().whole_process = rustix::mm::mlockall(flags).is_ok();
    }
}

/// How much of a stack [`scrub_stack`] overwrites, in bytes: less than any thread has, more than
/// the deepest calls into age and the ciphers take.
const SCRUBBED_BYTES: usize = 1 << 20;

/// Overwrites what calls that have returned left on this thread's stack below the caller. Ciphers
/// and decoders keep keys in variables there that nobody else can reach.
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "the stack is what it is about")]
pub fn scrub_stack() {
    // In the widest words there are: one write each, which in a debug build takes its time.
    let mut area = [0_u128; SCRUBBED_BYTES / size_of::<u128>()];
    area.zeroize();
    // Whoever compiles this must believe that somebody looks at it.
    std::hint::black_box(&mut area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_zero_again_when_it_is_given_back() {
        let mut secret = LockedBytes::zeroed();
        assert_eq!(*secret, [0; SLOT_BYTES]);
        secret.fill(7);
        assert_eq!(*secret, [7; SLOT_BYTES]);
        drop(secret);
        assert!(slabs().free.iter().all(|slot| **slot == [0; SLOT_BYTES]));
    }

    #[test]
    fn slots_never_overlap_and_slabs_grow() {
        let count = SLAB_BYTES / SLOT_BYTES + 10;
        let mut secrets: Vec<_> = (0..count).map(|_| LockedBytes::zeroed()).collect();
        for (number, secret) in secrets.iter_mut().enumerate() {
            secret[..8].copy_from_slice(&number.to_be_bytes());
        }
        for (number, secret) in secrets.iter().enumerate() {
            assert_eq!(secret[..8], number.to_be_bytes());
        }
        let status = status();
        assert!(status.locked_bytes + status.unlocked_bytes >= 2 * SLAB_BYTES, "{status:?}");
    }

    /// What the system itself says of the slabs.
    #[test]
    fn the_system_keeps_slabs_locked_and_out_of_dumps() {
        let secret = LockedBytes::zeroed();
        let status = status();
        if status.locked_bytes == 0 {
            assert!(status.refused.is_some(), "{status:?}");
            return;
        }
        let address = secret.as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            if let Some((from, rest)) = line.split_once('-')
                && let (Ok(from), Some(to)) =
                    (usize::from_str_radix(from, 16), rest.split(' ').next())
            {
                inside = (from..usize::from_str_radix(to, 16).unwrap()).contains(&address);
            }
            if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags:")) {
                for flag in ["lo", "dd", "dc"] {
                    assert!(flags.split(' ').any(|one| one == flag), "{flag} in {flags}");
                }
                return;
            }
        }
        panic!("the slot is in no mapping");
    }
}
