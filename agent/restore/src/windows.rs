//! Folders of a backup, read ahead. A repository keeps thousands of them in one pack, each a few hundred bytes, and asks for them one
//! after the other: far from the store that is a round trip for each.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use rustic_core::Id;

/// What is read at once. It bounds what a folder that lies alone costs, too.
const SIZE: u64 = 1 << 20;
/// How many are kept: 32 MiB.
const KEPT: usize = 32;

type Place = (Id, u64);
type Window = Arc<Mutex<Option<Bytes>>>;

#[derive(Default)]
struct Held {
    windows: BTreeMap<Place, Window>,
    order: VecDeque<Place>,
}

/// Aligned pieces of packs that were read already.
#[derive(Default)]
pub(crate) struct Windows(Mutex<Held>);

impl Windows {
    /// The bytes of a pack from `offset` on, fewer where it ends before. `fetch` reads from the store, and may answer with fewer, too.
    pub(crate) fn read<E>(
        &self,
        pack: &Id,
        offset: u64,
        length: u64,
        fetch: impl Fn(u64, u64) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let end = offset.saturating_add(length);
        let (first, last) = (offset / SIZE, end.saturating_sub(1) / SIZE);
        if length == 0 || last.saturating_sub(first) > 1 {
            return fetch(offset, length);
        }
        let mut whole = BytesMut::new();
        for number in first..=last {
            let start = number * SIZE;
            let bytes = self.window((*pack, number), || fetch(start, SIZE))?;
            let within =
                |at: u64| usize::try_from(at.saturating_sub(start)).map_or(bytes.len(), |at| at.min(bytes.len()));
            let part = bytes.slice(within(offset)..within(end));
            if first == last {
                return Ok(part);
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// Who asks for one that another thread is reading waits for that thread, which has the store client's deadline.
    fn window<E>(&self, place: Place, fetch: impl Fn() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let window = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.windows.contains_key(&place) {
                if held.order.len() >= KEPT
                    && let Some(oldest) = held.order.pop_front()
                {
                    held.windows.remove(&oldest);
                }
                held.order.push_back(place);
            }
            held.windows.entry(place).or_default().clone()
        };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        match &*window {
            Some(bytes) => Ok(bytes.clone()),
            None => {
                let bytes = fetch()?;
                *window = Some(bytes.clone());
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn many_small_reads_are_few_large_ones_and_give_the_same_bytes() {
        let pack: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        let (windows, fetched) = (Windows::default(), Cell::new(0));
        let fetch = |offset: u64, length: u64| {
            fetched.set(fetched.get() + 1);
            let end = pack.len().min((offset + length) as usize);
            Ok::<_, ()>(Bytes::copy_from_slice(&pack[end.min(offset as usize)..end]))
        };
        let id = Id::default();
        for offset in (0..2_499_000_u64).step_by(777) {
            let part = windows.read(&id, offset, 1000, fetch).unwrap();
            assert_eq!(part, pack[offset as usize..offset as usize + 1000], "at {offset}");
        }
        assert_eq!(fetched.get(), 3);
        // Longer than two windows can hold: as it was asked for.
        assert_eq!(windows.read(&id, 10, 2_400_000, fetch).unwrap(), pack[10..2_400_010]);
        assert_eq!(fetched.get(), 4);
        // Beyond the end there is less, and the caller sees it.
        assert_eq!(windows.read(&id, 2_499_990, 100, fetch).unwrap().len(), 10);
    }

    #[test]
    fn what_failed_is_asked_for_again_and_old_ones_go() {
        let windows = Windows::default();
        let id = Id::default();
        assert_eq!(windows.read(&id, 0, 1, |_, _| Err(())), Err(()));
        for number in 0..40 {
            let part = windows.read(&id, number * SIZE, 1, |_, length| {
                Ok::<_, ()>(Bytes::from(vec![7; length as usize]))
            });
            assert_eq!(&part.unwrap()[..], [7]);
        }
        let held = windows.0.lock().unwrap();
        assert_eq!((held.windows.len(), held.order.len()), (KEPT, KEPT));
    }
}
