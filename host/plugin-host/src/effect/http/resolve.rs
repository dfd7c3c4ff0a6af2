//! Looks names up: within seconds, and not for each request anew.
//!
//! Which addresses may be reached is not decided here.

use crate::{failure::Failure, service::Answer};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

/// How long a look-up may take.
const LONGEST: Duration = Duration::from_secs(5);

/// How long its answer is believed: a service that moves is found again soon.
const BELIEVED: Duration = Duration::from_secs(30);

/// How many names are remembered: a plugin that may reach a whole domain could make up names without end.
const MOST: usize = 1_000;

/// Finds the addresses of names.
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    fn resolve(&self, name: &str) -> Answer<'static, Vec<IpAddr>>;
}

/// Asks the system, as every other program does: its files, its servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Answer<'static, Vec<IpAddr>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await.map_err(|error| {
                Failure::transient(
                    "http.connect",
                    format!("could not look up `{name}`: {error}"),
                )
            })?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A resolver with an end and a memory.
pub(super) struct Resolver {
    inner: Arc<dyn Resolve>,
    known: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Resolver {
    pub(super) fn new(inner: Arc<dyn Resolve>) -> Self {
        Self {
            inner,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<IpAddr>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of a name, perhaps as they were half a minute ago.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let known = self.known().get(name).cloned();
        if let Some((at, addresses)) = known
            && at.elapsed() < BELIEVED
        {
            return Ok(addresses);
        }
        let found = timeout(LONGEST, self.inner.resolve(name)).await;
        let addresses = found.map_err(|_| {
            let message = format!("could not look up `{name}` within {} s", LONGEST.as_secs());
            Failure::transient("http.timeout", message)
        })??;
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        }
        if known.len() < MOST {
            known.insert(name.to_owned(), (Instant::now(), addresses.clone()));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::advance;

    /// Counts, and never answers for `silent`.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Resolve for Counting {
        fn resolve(&self, name: &str) -> Answer<'static, Vec<IpAddr>> {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let is_silent = name == "silent";
            Box::pin(async move {
                if is_silent {
                    std::future::pending::<()>().await;
                }
                Ok(vec![IpAddr::from([192, 0, 2, count as u8])])
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_half_a_minute() {
        let resolver = Resolver::new(Arc::new(Counting::default()));
        let first = resolver.resolve("a").await.unwrap();
        advance(Duration::from_secs(29)).await;
        assert_eq!(resolver.resolve("a").await.unwrap(), first);
        advance(Duration::from_secs(2)).await;
        assert_ne!(resolver.resolve("a").await.unwrap(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_without_an_answer_ends() {
        let resolver = Resolver::new(Arc::new(Counting::default()));
        let failure = resolver.resolve("silent").await.unwrap_err();
        assert_eq!(failure.code, "http.timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_end_are_not_remembered_without_end() {
        let resolver = Resolver::new(Arc::new(Counting::default()));
        for at in 0..MOST + 10 {
            resolver.resolve(&at.to_string()).await.unwrap();
        }
        assert_eq!(resolver.known().len(), MOST);
        advance(BELIEVED).await;
        resolver.resolve("a").await.unwrap();
        assert_eq!(resolver.known().len(), 1);
    }
}
