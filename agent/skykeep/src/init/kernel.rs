//! Talking to the kernel: messages, devices, the loopback link.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// One line (or more) on the console. When even that fails there is nobody to tell.
pub fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// The modalias of every device that the kernel knows now.
pub fn present_modaliases() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let buses = fs::read_dir("/sys/bus").into_iter().flatten().flatten();
    for bus in buses {
        let devices = fs::read_dir(bus.path().join("devices")).into_iter().flatten().flatten();
        for device in devices {
            if let Ok(text) = fs::read_to_string(device.path().join("modalias")) {
                found.insert(text.trim_end().to_owned());
            }
        }
    }
    found.remove("");
    found
}

/// What is worth knowing about a device.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceNews {
    /// A device came.
    Added {
        /// What its driver is found by.
        modalias: String,
    },
    /// A USB storage device (stick, disk, CD drive) was pulled out.
    StorageRemoved,
}

/// The kernel's own announcements of devices.
pub struct DeviceEvents(OwnedFd);

impl DeviceEvents {
    /// Starts to listen.
    pub fn listen() -> nix::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        // A hub announces many devices at once. A smaller buffer works too.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 20));
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
        Ok(DeviceEvents(fd))
    }

    /// Waits for the next news. None when listening broke.
    pub fn next(&self) -> Option<DeviceNews> {
        let mut message = vec![0; 16 * 1024];
        loop {
            match recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()) {
                // ENOBUFS: events were lost; the next one is still told.
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::ENOBUFS) => {}
                Err(_) | Ok(0) => return None,
                Ok(length) => {
                    if let Some(news) = message.get(..length).and_then(news) {
                        return Some(news);
                    }
                }
            }
        }
    }
}

/// What an announcement says: `add@/devices/...\0ACTION=add\0...\0MODALIAS=...\0`. USB storage is interface class 8, and needs no driver to be seen.
fn news(message: &[u8]) -> Option<DeviceNews> {
    let mut fields = message.split(|byte| *byte == 0);
    let what = fields.next()?;
    if what.starts_with(b"add@") {
        let alias = fields.find_map(|field| field.strip_prefix(b"MODALIAS="))?;
        let modalias = String::from_utf8(alias.to_vec()).ok().filter(|text| !text.is_empty())?;
        return Some(DeviceNews::Added { modalias });
    }
    let storage = what.starts_with(b"remove@") && fields.any(|field| field.starts_with(b"INTERFACE=8/"));
    storage.then_some(DeviceNews::StorageRemoved)
}

/// Sets the link `lo` up: programs talk to themselves over it.
pub fn loopback_up() -> Result<(), String> {
    let go = || -> nix::Result<()> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        nix::sys::socket::connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        send(fd.as_raw_fd(), &link_up_message(1), MsgFlags::empty())?;
        Ok(())
    };
    go().map_err(|e| format!("the loopback link can't be set up: {e}"))?;
    let flags = fs::read_to_string("/sys/class/net/lo/flags").unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    if flags & 1 == 1 {
        Ok(())
    } else {
        Err("the loopback link stays down".into())
    }
}

/// RTM_NEWLINK with IFF_UP for one interface: nlmsghdr (16 bytes) and ifinfomsg (16 bytes).
fn link_up_message(index: u32) -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, device type
    message.extend(index.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // flags
    message.extend(IFF_UP.to_ne_bytes()); // which of them to change
    message
}

/// Whether the kernel has this knob.
pub fn has(path: &str) -> bool {
    Path::new("/proc/sys").join(path).exists()
}

/// Writes one of the kernel's knobs. The error names it.
pub fn set(path: &str, value: &str) -> Result<(), String> {
    // A newline, because an empty write changes nothing.
    fs::write(Path::new("/proc/sys").join(path), format!("{value}\n")).map_err(|e| format!("{path} can't be set: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_device_is_recognised_and_other_news_is_not() {
        let add = b"add@/devices/pci0/usb1/1-1\0ACTION=add\0SUBSYSTEM=usb\0MODALIAS=usb:v0BDAp8153\0SEQNUM=9\0";
        assert_eq!(
            news(add),
            Some(DeviceNews::Added {
                modalias: "usb:v0BDAp8153".into()
            })
        );
        assert_eq!(news(b"remove@/devices/x\0MODALIAS=usb:v0BDAp8153\0"), None);
        assert_eq!(news(b"add@/devices/x\0ACTION=add\0"), None);
        assert_eq!(news(b""), None);
    }

    #[test]
    fn a_pulled_stick_is_told_from_a_pulled_mouse() {
        let stick = b"remove@/devices/pci0/usb1/1-1/1-1:1.0\0ACTION=remove\0DEVTYPE=usb_interface\0INTERFACE=8/6/80\0";
        assert_eq!(news(stick), Some(DeviceNews::StorageRemoved));
        assert_eq!(news(b"remove@/devices/x\0INTERFACE=3/1/2\0"), None);
        assert_eq!(news(b"add@/devices/x\0INTERFACE=8/6/80\0"), None);
    }

    #[test]
    fn the_message_for_a_link_is_as_long_as_it_says() {
        assert_eq!(link_up_message(1).len(), 32);
    }
}
