//! What PID 1 reacts to, and the threads that tell it.

use super::buttons;
use super::kernel::{DeviceEvents, DeviceNews};
use super::modules::Loader;
use super::verdict::{Ending, Event};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Everything that may end the machine, in one place to wait at.
pub struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// Nothing is watched yet.
    pub fn new() -> Self {
        let (sender, receiver) = channel();
        Events { sender, receiver }
    }

    /// Watches power button and lid.
    pub fn watch_buttons(&self) {
        let tell = self.sender.clone();
        thread("buttons", move || buttons::watch(&tell));
    }

    /// Loads drivers for devices that are plugged in, until the modules are sealed, and tells when a USB storage device is pulled out.
    pub fn watch_devices(&self, news: DeviceEvents, mut loader: Option<Loader>) {
        let tell = self.sender.clone();
        thread("devices", move || {
            while let Some(news) = news.next() {
                match news {
                    DeviceNews::Added { modalias } => {
                        if loader.as_mut().is_some_and(|loader| !loader.load_for(&modalias)) {
                            loader = None;
                        }
                    }
                    DeviceNews::StorageRemoved => {
                        // PID 1 never stops listening.
                        let _ = tell.send(Event::StickRemoved);
                    }
                }
            }
        });
    }

    /// Starts the agent and tells when it has ended, however.
    pub fn start_agent(&self) {
        let ending = match spawn_agent() {
            Ok(child) => {
                let tell = self.sender.clone();
                thread("reaper", move || {
                    let _ = tell.send(Event::AgentEnded(wait_for_end(&child)));
                });
                return;
            }
            Err(e) => Ending::NotStarted(e.to_string()),
        };
        let _ = self.sender.send(Event::AgentEnded(ending));
    }

    /// The next event, when one comes within `limit`.
    pub fn next_within(&self, limit: Duration) -> Option<Event> {
        self.receiver.recv_timeout(limit).ok()
    }

    /// The next event, however long it takes: a rebirth has deadlines of its own.
    pub fn next(&self) -> Option<Event> {
        self.receiver.recv().ok()
    }
}

/// Without such a thread only what it watches for is missed; there is nobody to tell.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) {
    let _ = std::thread::Builder::new().name(name.into()).spawn(work);
}

fn spawn_agent() -> std::io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg("agent")
        .env_clear()
        .env("TERM", "linux")
        .env("HOME", "/tmp")
        .current_dir("/")
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
}

fn wait_for_end(child: &Child) -> Ending {
    let Ok(id) = i32::try_from(child.id()) else {
        return Ending::NotStarted("it has an impossible process number".into());
    };
    loop {
        // Every child that ends, orphans too; only the agent's own end counts.
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == id => return Ending::Exited(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == id => {
                return Ending::Killed(signal.as_str().to_owned());
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Ending::NotStarted(format!("it can't be waited for: {e}")),
        }
    }
}
