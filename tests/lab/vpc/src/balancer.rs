//! Network load balancers: real TCP proxies in the router's namespace. They connect from a private address of a subnet, so that
//! the targets' security groups see them.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::health::Health;
use crate::host::{accept_until_shut, enter_netns, in_netns};
use crate::spec::{Balancer, HealthCheck, Listener};

/// How often the checker looks for checks that are due.
const TICK: Duration = Duration::from_millis(250);

/// (balancer, listener port, target)
type Key = (String, u16, SocketAddrV4);

#[derive(Default)]
struct Shared {
    balancers: Mutex<HashMap<String, Balancer>>,
    health: Mutex<HashMap<Key, Health>>,
    turn: AtomicUsize,
    stopped: AtomicBool,
}

/// All balancers of one network.
pub struct Balancers {
    netns: String,
    shared: Arc<Shared>,
    listening: HashMap<(String, SocketAddrV4), TcpListener>,
    checking: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Balancers {
    /// None yet.
    pub fn new(netns: &str) -> Self {
        Self {
            netns: netns.to_owned(),
            shared: Arc::default(),
            listening: HashMap::new(),
            checking: false,
        }
    }

    /// Replaces all of them; what stays keeps its health and its connections.
    pub fn set(&mut self, wanted: &[Balancer]) -> Result<()> {
        let keys: BTreeSet<Key> = wanted
            .iter()
            .flat_map(|balancer| balancer.listeners.iter().map(move |listener| (balancer, listener)))
            .flat_map(|(balancer, listener)| {
                listener
                    .targets
                    .iter()
                    .map(move |target| (balancer.id.clone(), listener.port, *target))
            })
            .collect();
        {
            let mut health = lock(&self.shared.health);
            health.retain(|key, _| keys.contains(key));
            for key in keys {
                health.entry(key).or_default();
            }
        }
        *lock(&self.shared.balancers) = wanted
            .iter()
            .map(|balancer| (balancer.id.clone(), balancer.clone()))
            .collect();

        let sockets: BTreeSet<(String, SocketAddrV4)> = wanted
            .iter()
            .flat_map(|balancer| balancer.listeners.iter().map(move |listener| (balancer, listener.port)))
            .flat_map(|(balancer, port)| {
                let id = balancer.id.clone();
                balancer
                    .addresses
                    .iter()
                    .map(move |(public, _)| (id.clone(), SocketAddrV4::new(*public, port)))
            })
            .collect();
        self.listening.retain(|key, listener| {
            let stays = sockets.contains(key);
            if !stays {
                let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
            }
            stays
        });
        for key in sockets {
            if !self.listening.contains_key(&key) {
                let listener = self.listen(&key)?;
                self.listening.insert(key, listener);
            }
        }
        if !self.checking && !self.listening.is_empty() {
            self.checking = true;
            let (netns, shared) = (self.netns.clone(), Arc::clone(&self.shared));
            thread::spawn(move || check_forever(&netns, &shared));
        }
        Ok(())
    }

    fn listen(&self, (id, address): &(String, SocketAddrV4)) -> Result<TcpListener> {
        let bound = *address;
        let listener = in_netns(&self.netns, move || {
            TcpListener::bind(bound).with_context(|| format!("listening on {bound}"))
        })?;
        let accepting = listener.try_clone()?;
        let (netns, shared, id, address) = (self.netns.clone(), Arc::clone(&self.shared), id.clone(), *address);
        thread::spawn(move || {
            accept_until_shut(&accepting, |client| {
                let (netns, shared, id) = (netns.clone(), Arc::clone(&shared), id.clone());
                thread::spawn(move || proxy(client, &netns, &shared, &id, address));
            });
        });
        Ok(listener)
    }

    /// The targets of one listener and whether each answers.
    pub fn health(&self, balancer: &str, port: u16) -> Vec<(SocketAddrV4, bool)> {
        let health = lock(&self.shared.health);
        let mut list: Vec<_> = health
            .iter()
            .filter(|((id, of, _), _)| id == balancer && *of == port)
            .map(|((_, _, target), health)| (*target, health.healthy()))
            .collect();
        list.sort();
        list
    }

    /// Ends everything.
    pub fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for (_, listener) in self.listening.drain() {
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Balancers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection from one address of the router to a target. The calling thread must be in the router's namespace.
fn connect(from: Ipv4Addr, to: SocketAddrV4, timeout: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(from, 0)).into())?;
    socket.connect_timeout(&SocketAddr::V4(to).into(), timeout)?;
    Ok(socket.into())
}

/// The next target: a healthy one; with no healthy target any, as the real one fails open.
fn choose(shared: &Shared, id: &str, listener: &Listener) -> Option<SocketAddrV4> {
    let health = lock(&shared.health);
    let healthy: Vec<_> = listener
        .targets
        .iter()
        .filter(|target| {
            health
                .get(&(id.to_owned(), listener.port, **target))
                .is_some_and(Health::healthy)
        })
        .collect();
    let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
    if healthy.is_empty() {
        return listener.targets.get(turn.checked_rem(listener.targets.len())?).copied();
    }
    healthy.get(turn.checked_rem(healthy.len())?).map(|target| **target)
}

fn proxy(client: TcpStream, netns: &str, shared: &Shared, id: &str, at: SocketAddrV4) -> Result<()> {
    let balancer = lock(&shared.balancers)
        .get(id)
        .cloned()
        .context("the balancer is gone")?;
    let listener = balancer
        .listeners
        .iter()
        .find(|listener| listener.port == at.port())
        .context("no such listener")?;
    let from = balancer
        .addresses
        .iter()
        .find(|(public, _)| public == at.ip())
        .context("no such address")?
        .1;
    let target = choose(shared, id, listener).context("no targets")?;
    enter_netns(netns)?;
    let server = connect(from, target, Duration::from_secs(10));
    let Ok(server) = server else {
        // The client learns it by a reset, not by an empty answer.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return Ok(());
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        // A terminated instance says no goodbye; without this its connections would stay for ever.
        let patience = TcpKeepalive::new()
            .with_time(Duration::from_secs(20))
            .with_interval(Duration::from_secs(5));
        SockRef::from(stream).set_tcp_keepalive(&patience)?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let upward = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Write);
    let _ = upward.join();
    Ok(())
}

fn check_forever(netns: &str, shared: &Arc<Shared>) {
    while !shared.stopped.load(Ordering::Relaxed) {
        let balancers: Vec<Balancer> = lock(&shared.balancers).values().cloned().collect();
        for balancer in &balancers {
            let Some((_, from)) = balancer.addresses.first().copied() else {
                continue;
            };
            for listener in &balancer.listeners {
                for target in &listener.targets {
                    let key = (balancer.id.clone(), listener.port, *target);
                    let due = lock(&shared.health)
                        .get_mut(&key)
                        .is_some_and(|health| health.begin(Instant::now(), listener.health.interval));
                    if due {
                        let (netns, shared, check) = (netns.to_owned(), Arc::clone(shared), listener.health.clone());
                        thread::spawn(move || {
                            let answered = enter_netns(&netns).is_ok() && probe(from, key.2, &check).is_ok();
                            if let Some(health) = lock(&shared.health).get_mut(&key) {
                                health.record(answered, &check);
                            }
                        });
                    }
                }
            }
        }
        thread::sleep(TICK);
    }
}

fn probe(from: Ipv4Addr, target: SocketAddrV4, check: &HealthCheck) -> Result<()> {
    let at = SocketAddrV4::new(*target.ip(), check.port.unwrap_or(target.port()));
    let mut stream = connect(from, at, check.timeout)?;
    let Some(path) = &check.http_path else { return Ok(()) };
    stream.set_read_timeout(Some(check.timeout))?;
    stream.set_write_timeout(Some(check.timeout))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n"
    )?;
    let mut start = [0u8; 12];
    stream.read_exact(&mut start)?;
    let status: u16 = std::str::from_utf8(&start[9..])?.parse()?;
    anyhow::ensure!((200..400).contains(&status), "answered {status}");
    Ok(())
}
