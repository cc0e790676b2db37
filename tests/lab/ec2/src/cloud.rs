//! The cloud: its state, its log, its faults, and the thread that keeps the backend in step.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Config;
use crate::ctx::{Ctx, Effect};
use crate::error::{ApiError, Result};
use crate::faults::Faults;
use crate::log::{Call, Log};
use crate::state::{Life, State};
use crate::sync::Pushed;
use lab_machines::Backend;

/// See the module.
pub struct Cloud {
    /// Configuration.
    pub cfg: Config,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) state: Mutex<State>,
    /// Only one thread at a time tells the backend about networks.
    pub(crate) pushed: Mutex<Pushed>,
    faults: Faults,
    pub(crate) log: Log,
    kick: Arc<(Mutex<bool>, Condvar)>,
    me: Weak<Cloud>,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cloud {
    /// A cloud with nothing in it. Its keeper thread ends when the last handle is dropped.
    pub fn start(cfg: Config, backend: Arc<dyn Backend>) -> Arc<Self> {
        let cloud = Arc::new_cyclic(|me| Self {
            cfg,
            backend,
            state: Mutex::default(),
            pushed: Mutex::default(),
            faults: Faults::default(),
            log: Log::default(),
            kick: Arc::default(),
            me: me.clone(),
        });
        let (weak, kick) = (Arc::downgrade(&cloud), cloud.kick.clone());
        std::thread::spawn(move || keeper(&weak, &kick));
        cloud
    }

    /// The fault script.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.log.calls()
    }

    /// What went wrong behind the API (a launch that failed, a network that could not be changed).
    pub fn events(&self) -> Vec<String> {
        self.log.events()
    }

    /// Every resource that exists and does not come by itself, as "kind id (name)". Empty means the cloud is empty.
    pub fn inventory(&self) -> Vec<String> {
        crate::inventory::list(&lock(&self.state))
    }

    /// (name, addresses) of each load balancer, for the laboratory's DNS.
    pub fn balancer_names(&self) -> Vec<(String, Vec<std::net::Ipv4Addr>)> {
        let st = lock(&self.state);
        st.balancers
            .values()
            .map(|b| (b.dns.clone(), b.legs.iter().filter_map(|l| l.public).collect()))
            .collect()
    }

    /// (id, private address, state, tags) of each instance that is not terminated.
    pub fn instances(
        &self,
    ) -> Vec<(
        String,
        std::net::Ipv4Addr,
        &'static str,
        std::collections::BTreeMap<String, String>,
    )> {
        let st = lock(&self.state);
        let tags = |id: &str| st.tags.get(id).cloned().unwrap_or_default();
        let living = st.instances.values().filter(|i| i.life.exists());
        living
            .map(|i| (i.id.clone(), i.ip, i.life.code().1, tags(&i.id)))
            .collect()
    }

    /// The public address of each instance that is not terminated and has one.
    pub fn public_addresses(&self) -> Vec<std::net::Ipv4Addr> {
        let st = lock(&self.state);
        let living = st.instances.values().filter(|i| i.life.exists());
        living.filter_map(|i| st.public_of(st.primary(&i.id)?)).collect()
    }

    /// Ends all instances and networks at the backend, whatever the API's rules: for the laboratory's end.
    pub fn shutdown(&self) {
        let state = std::mem::take(&mut *lock(&self.state));
        let mut pushed = lock(&self.pushed);
        std::thread::scope(|s| {
            for i in state.instances.values().filter(|i| i.life.exists()) {
                s.spawn(|| self.note(&format!("end of {}", i.id), self.backend.terminate(&i.id)));
            }
        });
        for vpc in state.vpcs.keys() {
            self.note(&format!("end of {vpc}"), self.backend.delete_vpc(vpc));
        }
        *pushed = Pushed::default();
    }

    /// Whoever may ask: permanent keys that are switched on and the credentials of roles.
    pub(crate) fn credentials(&self) -> Vec<crate::config::Credential> {
        let state = lock(&self.state);
        let on = self
            .cfg
            .credentials
            .iter()
            .filter(|c| !state.inactive.contains(&c.access_key));
        on.chain(&state.sessions).cloned().collect()
    }

    /// Whether an access key is switched on.
    pub fn accepts(&self, access_key: &str) -> bool {
        self.credentials().iter().any(|c| c.access_key == access_key)
    }

    pub(crate) fn note(&self, what: &str, result: std::result::Result<(), String>) {
        if let Err(why) = result {
            self.log.event(format!("{what}: {why}"));
        }
    }

    /// Runs an action on a copy of the state; only success makes it the state. `dry` never does.
    pub(crate) fn act(&self, mut ctx: Ctx, dry: bool, run: impl FnOnce(&mut Ctx) -> Result<String>) -> Result<String> {
        let mut state = lock(&self.state);
        ctx.st = state.clone();
        let body = run(&mut ctx)?;
        ctx.p.finish()?;
        if dry {
            return Err(ApiError::new(
                412,
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            ));
        }
        *state = ctx.st;
        drop(state);
        for effect in ctx.effects {
            self.carry_out(effect)?;
        }
        self.wake();
        Ok(body)
    }

    fn carry_out(&self, effect: Effect) -> Result<()> {
        let broken = |why: String| {
            self.log.event(why);
            ApiError::new(500, "InternalError", "An internal error has occurred")
        };
        let Some(me) = self.me.upgrade() else { return Ok(()) };
        match effect {
            Effect::CreateVpc(id, cidr) => {
                let _gate = lock(&self.pushed);
                self.backend.create_vpc(&id, cidr).map_err(|why| {
                    let mut st = lock(&self.state);
                    st.vpcs.remove(&id);
                    st.tables.retain(|_, t| t.vpc != id);
                    st.groups.retain(|_, g| g.vpc != id);
                    broken(format!("create {id}: {why}"))
                })
            }
            Effect::DeleteVpc(id) => {
                let mut gate = lock(&self.pushed);
                gate.forget(&id);
                self.backend
                    .delete_vpc(&id)
                    .map_err(|why| broken(format!("delete {id}: {why}")))
            }
            Effect::Launch(spec) => {
                std::thread::spawn(move || me.launch(*spec));
                Ok(())
            }
            Effect::Terminate(id) => {
                std::thread::spawn(move || me.terminate(&id));
                Ok(())
            }
        }
    }

    fn launch(&self, spec: lab_machines::InstanceSpec) {
        let (id, vpc) = (spec.id.clone(), spec.vpc_id.clone());
        let (began, pending) = (
            Instant::now(),
            self.cfg.delays.of(self.cfg.delays.instance_running, &id),
        );
        // The network must know the address before the machine has its first packet.
        self.push();
        let result = self.backend.launch(spec);
        // The machine boots meanwhile; AWS shows it as pending for its own time.
        std::thread::sleep(pending.saturating_sub(began.elapsed()));
        let mut st = lock(&self.state);
        let wanted = st.instances.get(&id).is_some_and(|i| i.life == Life::Pending);
        if result.is_ok() && !wanted {
            // Terminated while it was being launched: the machine that came too late goes as well.
            drop(st);
            return self.note(&format!("terminate {id}"), self.backend.terminate(&id));
        }
        let Some(i) = st.instances.get_mut(&id) else { return };
        match &result {
            Ok(()) => i.life = Life::Running,
            Err(why) => {
                self.log.event(format!("launch {id}: {why}"));
                i.reason = Some((
                    "Server.InternalError".to_owned(),
                    "Server.InternalError: Internal error on launch".to_owned(),
                ));
                crate::ec2::run::bury(&mut st, &id, Timestamp::now());
            }
        }
        drop(st);
        // A backend may only be able to route to a machine that exists: tell it once more.
        lock(&self.pushed).forget(&vpc);
        self.wake();
    }

    /// An instance counts as terminated only when the backend says so.
    fn terminate(&self, id: &str) {
        std::thread::sleep(self.cfg.delays.of(self.cfg.delays.instance_gone, id));
        for _ in 0..10 {
            match self.backend.terminate(id) {
                Ok(()) => {
                    crate::ec2::run::bury(&mut lock(&self.state), id, Timestamp::now());
                    return self.wake();
                }
                Err(why) => self.log.event(format!("terminate {id}: {why}")),
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn wake(&self) {
        *lock(&self.kick.0) = true;
        self.kick.1.notify_all();
    }

    /// What time brings: balancers go, targets drain, the terminated vanish, machines die by themselves.
    fn tick(&self, look: bool) {
        let now = Timestamp::now();
        let running: Vec<String> = match look {
            false => Vec::new(),
            true => {
                let st = lock(&self.state);
                st.instances
                    .values()
                    .filter(|i| i.life == Life::Running)
                    .map(|i| i.id.clone())
                    .collect()
            }
        };
        let dead: Vec<String> = running.into_iter().filter(|id| !self.backend.alive(id)).collect();
        let mut st = lock(&self.state);
        crate::elb::balancer::age(&mut st, now);
        let visible = jiff::SignedDuration::try_from(self.cfg.delays.terminated_visible).unwrap_or_default();
        let gone: Vec<String> = st
            .instances
            .values()
            .filter(|i| i.ended.is_some_and(|e| e + visible <= now))
            .map(|i| i.id.clone())
            .collect();
        for id in gone {
            st.instances.remove(&id);
            st.forget(&id);
        }
        for id in dead {
            let Some(i) = st.instances.get_mut(&id).filter(|i| i.life == Life::Running) else {
                continue;
            };
            i.reason = Some((
                "Client.InstanceInitiatedShutdown".to_owned(),
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown".to_owned(),
            ));
            match i.shutdown_terminates {
                true => crate::ec2::run::bury(&mut st, &id, now),
                false => i.life = Life::Stopped,
            }
        }
    }
}

fn keeper(cloud: &Weak<Cloud>, kick: &(Mutex<bool>, Condvar)) {
    for turn in 0_u64.. {
        let woken = lock(&kick.0);
        let pause = Duration::from_millis(100);
        let (mut woken, _) = kick
            .1
            .wait_timeout_while(woken, pause, |w| !*w)
            .unwrap_or_else(PoisonError::into_inner);
        *woken = false;
        drop(woken);
        let Some(cloud) = cloud.upgrade() else { return };
        cloud.tick(turn % 10 == 0);
        cloud.push();
    }
}
