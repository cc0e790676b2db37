//! How much of a backup is in memory at once: many threads read it, and the restore's pod is a guest on a small machine.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

/// Whoever waits goes on after this: rather too much memory than a restore that stands still.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts what is lent.
pub(crate) struct Room {
    all: usize,
    lent: Mutex<usize>,
    returned: Condvar,
}

/// A place for some bytes; given back when it is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    size: usize,
}

struct Lent {
    bytes: Bytes,
    _place: Place,
}

impl Room {
    /// Room for so many bytes.
    pub(crate) fn of(all: usize) -> Arc<Self> {
        Arc::new(Room {
            all,
            lent: Mutex::default(),
            returned: Condvar::new(),
        })
    }

    /// Waits until there is room. One that is larger than all there is gets in when it is alone.
    pub(crate) fn take(self: &Arc<Self>, size: usize) -> Place {
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |lent: &mut usize| *lent > 0 && lent.saturating_add(size) > self.all;
        let (mut lent, _) = self
            .returned
            .wait_timeout_while(lent, LONGEST, full)
            .unwrap_or_else(PoisonError::into_inner);
        *lent = lent.saturating_add(size);
        Place {
            room: self.clone(),
            size,
        }
    }
}

impl Place {
    /// The bytes hold their place as long as anybody holds them.
    pub(crate) fn filled(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Lent { bytes, _place: self })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lent = self.room.lent.lock().unwrap_or_else(PoisonError::into_inner);
        *lent = lent.saturating_sub(self.size);
        self.room.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn no_more_is_lent_than_there_is_and_everybody_comes_in() {
        let (room, now, most) = (Room::of(64 << 20), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    let bytes = room.take(40 << 20).filled(Bytes::from_static(b"piece"));
                    let held = now.fetch_add(40 << 20, Ordering::SeqCst) + (40 << 20);
                    most.fetch_max(held, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(40 << 20, Ordering::SeqCst);
                    assert_eq!(&bytes[..], b"piece");
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 40 << 20);
        assert_eq!(*room.lent.lock().unwrap(), 0);
    }

    #[test]
    fn one_that_is_larger_than_all_gets_in_alone() {
        let room = Room::of(10);
        drop(room.take(20));
        assert_eq!(*room.lent.lock().unwrap(), 0);
    }
}
