//! The project: its state, its actions, and the thread that lets time pass.

use std::{
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lab_machines::{Backend, InstanceSpec, Supplier};

use crate::{
    config::Config,
    faults::{Faults, lock},
    state::{Action, Effect, State},
    sync::Pushed,
};

const TICK: Duration = Duration::from_millis(10);

/// The double.
pub struct Cloud {
    /// Configuration.
    pub cfg: Config,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) state: Mutex<State>,
    pub(crate) pushed: Mutex<Pushed>,
    pub(crate) faults: Faults,
    pub(crate) events: Mutex<Vec<String>>,
    /// Requests that may still be sent, and when that was counted.
    pub(crate) budget: Mutex<(f64, Instant)>,
}

pub(crate) fn mac(id: u64) -> String {
    let b = id.to_be_bytes();
    format!("86:00:00:{:02x}:{:02x}:{:02x}", b[5], b[6], b[7])
}

/// The backend's name of a machine.
pub(crate) fn machine(id: u64) -> String {
    format!("hz-{id}")
}

/// The backend's name of a network.
pub(crate) fn net(id: u64) -> String {
    format!("net-{id}")
}

impl Cloud {
    /// An empty project. Its thread ends when the last handle is dropped.
    pub fn start(cfg: Config, backend: Arc<dyn Backend>) -> Arc<Self> {
        let budget = Mutex::new((f64::from(cfg.limits.requests), Instant::now()));
        let cloud = Arc::new(Self {
            cfg,
            backend,
            state: Mutex::default(),
            pushed: Mutex::default(),
            faults: Faults::default(),
            events: Mutex::default(),
            budget,
        });
        let weak = Arc::downgrade(&cloud);
        std::thread::spawn(move || keeper(&weak));
        cloud
    }

    /// The fault script, and the calls.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What went wrong behind the API.
    pub fn events(&self) -> Vec<String> {
        lock(&self.events).clone()
    }

    /// Everything that exists, as "kind id (name)".
    pub fn inventory(&self) -> Vec<String> {
        let st = lock(&self.state);
        let servers = st.servers.values().map(|s| format!("server {} ({})", s.id, s.name));
        let balancers = st
            .balancers
            .values()
            .map(|b| format!("load balancer {} ({})", b.id, b.name));
        let networks = st.networks.values().map(|n| format!("network {} ({})", n.id, n.name));
        let firewalls = st.firewalls.values().map(|f| format!("firewall {} ({})", f.id, f.name));
        let groups = st
            .groups
            .values()
            .map(|g| format!("placement group {} ({})", g.id, g.name));
        servers
            .chain(balancers)
            .chain(networks)
            .chain(firewalls)
            .chain(groups)
            .collect()
    }

    /// (backend's id, private address, state, name) of each server in a network.
    pub fn machines(&self) -> Vec<(String, std::net::Ipv4Addr, &'static str, String)> {
        let st = lock(&self.state);
        let joined = st.servers.values().filter_map(|s| Some((s, s.private?.1)));
        joined
            .map(|(s, ip)| (machine(s.id), ip, s.status, s.name.clone()))
            .collect()
    }

    /// The public address of each server.
    pub fn public_addresses(&self) -> Vec<std::net::Ipv4Addr> {
        lock(&self.state).servers.values().filter_map(|s| s.public).collect()
    }

    /// Ends all machines and networks at the backend: for the laboratory's end.
    pub fn shutdown(&self) {
        let state = std::mem::take(&mut *lock(&self.state));
        std::thread::scope(|scope| {
            for s in state.servers.values().filter(|s| s.machine) {
                scope.spawn(|| self.note(self.backend.terminate(&machine(s.id))));
            }
        });
        for n in state.networks.keys() {
            self.note(self.backend.delete_vpc(&net(*n)));
        }
        *lock(&self.pushed) = Pushed::default();
    }

    pub(crate) fn note(&self, result: Result<(), String>) -> bool {
        if let Err(why) = &result {
            lock(&self.events).push(why.clone());
        }
        result.is_ok()
    }

    /// Begins an action. `weight` is how much of the pace of servers it takes, in tenths.
    pub(crate) fn begin(
        &self,
        st: &mut State,
        command: &'static str,
        resources: Vec<(u64, &'static str)>,
        effect: Effect,
        weight: u32,
    ) -> Action {
        let id = st.id();
        let action = Action {
            id,
            command,
            status: "running",
            resources,
            error: None,
            started: Timestamp::now(),
            finished: None,
            due: Instant::now() + self.cfg.pace * weight / 10,
            effect,
            fails: false,
        };
        st.actions.insert(id, action.clone());
        action
    }

    /// Carries out what is due. The backend's calls block, and are made without the lock.
    fn tick(&self) {
        let due: Vec<Action> = {
            let st = lock(&self.state);
            let now = Instant::now();
            let running = st.actions.values().filter(|a| a.status == "running" && a.due <= now);
            running.cloned().collect()
        };
        if due.is_empty() {
            return self.push();
        }
        std::thread::scope(|scope| {
            for action in &due {
                scope.spawn(|| self.carry_out(action));
            }
        });
        self.push();
    }

    fn carry_out(&self, action: &Action) {
        let done = !action.fails && self.work(&action.effect);
        let mut st = lock(&self.state);
        self.settle(&mut st, &action.effect, done);
        if let Some(a) = st.actions.get_mut(&action.id) {
            a.finished = Some(Timestamp::now());
            a.status = if done { "success" } else { "error" };
            a.error = (!done).then_some(("action_failed", "Action failed"));
        }
    }

    /// What the backend has to do.
    fn work(&self, effect: &Effect) -> bool {
        match effect {
            Effect::SwitchOn(id) => {
                let spec = {
                    let st = lock(&self.state);
                    st.servers
                        .get(id)
                        .filter(|s| !s.machine)
                        .and_then(|s| self.spec(&st, s))
                };
                spec.is_none_or(|spec| self.note(self.backend.launch(spec)))
            }
            Effect::SwitchOff(id) | Effect::Delete(id) => {
                let has = lock(&self.state).servers.get(id).is_some_and(|s| s.machine);
                !has || self.note(self.backend.terminate(&machine(*id)))
            }
            _ => true,
        }
    }

    /// A machine lies in a network here; a server without one is only shown as running.
    fn spec(&self, st: &State, s: &crate::state::Server) -> Option<InstanceSpec> {
        let (network, ip) = s.private?;
        let found = st.networks.get(&network)?;
        let (subnet, zone) = found.subnets.iter().find(|(range, _)| range.contains(&ip))?;
        Some(InstanceSpec {
            supplier: Supplier::Hetzner,
            id: machine(s.id),
            vpc_id: net(network),
            subnet_id: subnet.to_string(),
            private_ip: ip,
            subnet_cidr: *subnet,
            hostname: s.name.clone(),
            image_id: "debian-12".into(),
            instance_type: s.kind.clone(),
            az: s.location.clone(),
            region: zone.clone(),
            account_id: String::new(),
            user_data: s.user_data.clone().into_bytes(),
            mac: mac(s.id),
            imds_hop_limit: 64,
            imds_tokens_required: false,
        })
    }

    /// What is different afterwards.
    fn settle(&self, st: &mut State, effect: &Effect, done: bool) {
        let server = match effect {
            Effect::Created(id)
            | Effect::SwitchOn(id)
            | Effect::SwitchOff(id)
            | Effect::Join(id, ..)
            | Effect::Leave(id) => st.servers.get_mut(id),
            _ => None,
        };
        if let Some(s) = server {
            s.locked = false;
            match effect {
                Effect::Created(_) if done => s.status = "off",
                Effect::SwitchOn(_) => {
                    s.status = if done { "running" } else { "off" };
                    s.machine = done && s.private.is_some();
                }
                Effect::SwitchOff(_) if done => (s.status, s.machine) = ("off", false),
                Effect::Join(_, network, ip) if done => s.private = Some((*network, *ip)),
                Effect::Leave(_) if done => s.private = None,
                _ => {}
            }
        }
        match effect {
            // A server that could not be made is not there.
            Effect::Created(id) if !done => drop(st.servers.remove(id)),
            Effect::Delete(id) if done => {
                st.servers.remove(id);
                for b in st.balancers.values_mut() {
                    b.targets
                        .retain(|t| !matches!(t, crate::state::Target::Server { id: gone, .. } if gone == id));
                }
            }
            Effect::JoinBalancer(id, network, ip) => {
                if let Some(b) = st.balancers.get_mut(id) {
                    b.locked = false;
                    b.private = done.then_some((*network, *ip));
                }
            }
            Effect::LeaveBalancer(id) => {
                if let Some(b) = st.balancers.get_mut(id) {
                    b.locked = false;
                    b.private = None;
                }
            }
            Effect::DeleteBalancer(id) => drop(st.balancers.remove(id)),
            Effect::Unlock(id) => {
                if let Some(b) = st.balancers.get_mut(id) {
                    b.locked = false;
                }
            }
            _ => {}
        }
    }

    /// A machine that has ended by itself shows as off.
    fn look(&self) {
        let mut st = lock(&self.state);
        for s in st.servers.values_mut().filter(|s| s.machine && s.status == "running") {
            if !self.backend.alive(&machine(s.id)) {
                s.status = "off";
            }
        }
    }
}

fn keeper(cloud: &Weak<Cloud>) {
    while let Some(cloud) = cloud.upgrade() {
        cloud.look();
        cloud.tick();
        drop(cloud);
        std::thread::sleep(TICK);
    }
}
