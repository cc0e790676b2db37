//! What opening a repository asks for, one thing after the other, is asked for at once: far from the store each is a round trip.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use skykeep_aws::AwsError;

use crate::store::Store;

/// How many are asked for at once.
const CONNECTIONS: usize = 8;
/// More than this is not kept in memory before it is wanted.
const MOST: u64 = 32 << 20;

type Answer<T> = Arc<Mutex<Option<T>>>;

/// Answers by what was asked.
struct Memory<T>(Mutex<BTreeMap<String, Answer<T>>>);

impl<T: Clone> Memory<T> {
    /// Who asks for something that another thread is reading waits for that thread, which has the store client's deadline.
    fn get<E>(&self, key: &str, ask: impl Fn() -> Result<T, E>) -> Result<T, E> {
        let answer = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(key.to_owned()).or_default().clone()
        };
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        match &*answer {
            Some(known) => Ok(known.clone()),
            None => Ok(answer.insert(ask()?).clone()),
        }
    }
}

/// A store of which small things are read once.
pub(crate) struct Ahead {
    store: Box<dyn Store>,
    whole: Memory<Option<Bytes>>,
    lists: Memory<Arc<Vec<(String, u64)>>>,
}

impl Ahead {
    pub(crate) fn new(store: Box<dyn Store>) -> Self {
        Ahead {
            store,
            whole: Memory(Mutex::default()),
            lists: Memory(Mutex::default()),
        }
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Arc<Vec<(String, u64)>>, AwsError> {
        self.lists.get(folder, || self.store.list(folder).map(Arc::new))
    }

    pub(crate) fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        self.whole.get(key, || self.store.read(key))
    }

    /// Never remembered: a pack is as large as it likes.
    pub(crate) fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        self.store.read_part(key, offset, length)
    }

    /// Reads these objects, the lists of these folders, and everything that is in the ones marked with `true`. What fails here will fail
    /// again for whoever wants it, and is told there.
    pub(crate) fn fetch(&self, keys: &[String], folders: &[(String, bool)]) {
        let all_of = |folder: &str| {
            let Ok(list) = self.list(folder) else { return };
            if list.iter().map(|(_, size)| size).sum::<u64>() > MOST {
                return;
            }
            let next = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..CONNECTIONS.min(list.len()) {
                    scope.spawn(|| {
                        while let Some((key, _)) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let _ = self.read(key);
                        }
                    });
                }
            });
        };
        thread::scope(|scope| {
            for key in keys {
                scope.spawn(move || self.read(key).is_ok());
            }
            for (folder, content) in folders {
                scope.spawn(move || match content {
                    true => all_of(folder),
                    false => drop(self.list(folder)),
                });
            }
        });
    }

    /// Opened: the objects are not asked for again, and need no memory.
    pub(crate) fn forget(&self) {
        self.whole.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what it is asked.
    #[derive(Default)]
    struct Counts(Arc<AtomicUsize>);

    impl Store for Counts {
        fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok((0..20).map(|n| (format!("{prefix}{n}"), 10)).collect())
        }

        fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Some(Bytes::copy_from_slice(key.as_bytes())))
        }

        fn read_part(&self, _: &str, _: u64, _: u64) -> Result<Option<Bytes>, AwsError> {
            Ok(None)
        }
    }

    #[test]
    fn everything_is_asked_for_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let ahead = Ahead::new(Box::new(Counts(asked.clone())));
        let folders = [("index/".to_owned(), true), ("data/".to_owned(), false)];
        ahead.fetch(&["config".to_owned()], &folders);
        // Two lists, the config, and what is in one of the folders.
        assert_eq!(asked.load(Ordering::SeqCst), 2 + 1 + 20);
        assert_eq!(ahead.read("index/7").unwrap().unwrap(), "index/7");
        assert_eq!(
            (ahead.list("data/").unwrap().len(), asked.load(Ordering::SeqCst)),
            (20, 23)
        );
        ahead.forget();
        ahead.read("index/7").unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 24);
    }
}
