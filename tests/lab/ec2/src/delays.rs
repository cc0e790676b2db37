//! How long the cloud takes. Two profiles: bare (our own speed shows) and recorded (what a user would see).
//!
//! The recorded profile's values and where they come from; each thing differs from its value by up to a quarter, by its id:
//!
//! | what | value | source |
//! |---|---|---|
//! | instance pending -> running | 12 s (9-15) | martysweet.co.uk/ec2-launch-times (2023) and depot.dev/blog/faster-ec2-boot-time (2024) measure whole boots of 10 to 40 s, most of them after `running`; the band is 5-30 s |
//! | instance shutting-down -> terminated | 40 s (30-50) | an assumption; terraform-provider-aws gives it 20 min by default |
//! | NLB provisioning -> active | 150 s (113-188) | the band is 120-180 s; kubernetes/kubernetes#44695: "very normal that it takes > 2 minutes" |
//! | NLB deleted -> interfaces and addresses free | 90 s (68-112) | terraform-provider-aws#1956 and #33645: addresses stay bound after the deletion has succeeded; aws-cdk#15057 |
//! | target deregistered -> gone | 300 s | the attribute `deregistration_delay.timeout_seconds` defaults to 300 |
//! | new things invisible to reads | 2 s | EC2 API reference, "Eventual consistency": no bound is given; waits of seconds are advised |
//! | a call that reads / that changes | 0.15 s / 0.6 s | no source: an assumption for a laptop 30 ms away |
//!
//! NAT gateways are not in this cloud: nodes have public addresses (ADR 5), so no rebirth ever waits for one. Elastic addresses
//! have no pending state; their allocation is a changing call like others.

use std::time::Duration;

/// How long the cloud takes for what it does by itself.
#[derive(Debug, Clone)]
pub struct Delays {
    /// Instance: at least this long pending (its machine may take longer).
    pub instance_running: Duration,
    /// Instance: at least this long shutting down.
    pub instance_gone: Duration,
    /// Load balancer: provisioning until active.
    pub balancer_active: Duration,
    /// Load balancer: deleted until its interfaces are gone and its addresses free.
    pub balancer_gone: Duration,
    /// How long a terminated instance stays visible.
    pub terminated_visible: Duration,
    /// How long a deregistered target drains.
    pub draining: Duration,
    /// New things stay invisible to reads; the larger of this and the fault script's window counts.
    pub invisible: Duration,
    /// How long the reply of a reading call takes.
    pub read: Duration,
    /// How long the reply of a changing call takes.
    pub write: Duration,
    /// Whether things differ from these values by up to a quarter.
    pub jitter: bool,
}

impl Delays {
    /// Nearly nothing, so that our own speed shows.
    pub fn bare() -> Self {
        let short = Duration::from_secs(2);
        Self {
            instance_running: Duration::ZERO,
            instance_gone: Duration::ZERO,
            balancer_active: short,
            balancer_gone: short,
            terminated_visible: Duration::from_secs(600),
            draining: short,
            invisible: Duration::ZERO,
            read: Duration::ZERO,
            write: Duration::ZERO,
            jitter: false,
        }
    }

    /// As slow as AWS; see the table.
    pub fn recorded() -> Self {
        Self {
            instance_running: Duration::from_secs(12),
            instance_gone: Duration::from_secs(40),
            balancer_active: Duration::from_secs(150),
            balancer_gone: Duration::from_secs(90),
            terminated_visible: Duration::from_secs(3600),
            draining: Duration::from_secs(300),
            invisible: Duration::from_secs(2),
            read: Duration::from_millis(150),
            write: Duration::from_millis(600),
            jitter: true,
        }
    }

    /// `bare` or `recorded`.
    pub fn named(profile: &str) -> Option<Self> {
        match profile {
            "bare" => Some(Self::bare()),
            "recorded" => Some(Self::recorded()),
            _ => None,
        }
    }

    /// The same, so many times faster: for tests that have no four minutes.
    #[must_use]
    pub fn faster(self, times: u32) -> Self {
        let times = times.max(1);
        Self {
            instance_running: self.instance_running / times,
            instance_gone: self.instance_gone / times,
            balancer_active: self.balancer_active / times,
            balancer_gone: self.balancer_gone / times,
            terminated_visible: self.terminated_visible / times,
            draining: self.draining / times,
            invisible: self.invisible / times,
            read: self.read / times,
            write: self.write / times,
            jitter: self.jitter,
        }
    }

    /// This delay for the thing with this id.
    pub(crate) fn of(&self, delay: Duration, id: &str) -> Duration {
        if !self.jitter {
            return delay;
        }
        let spread = id.bytes().fold(0_u32, |sum, b| (sum * 31 + u32::from(b)) % 1001);
        // 750 to 1250 thousandths.
        delay * (750 + spread / 2) / 1000
    }

    /// How long the reply to this action takes.
    pub(crate) fn of_call(&self, action: &str, request: &str) -> Duration {
        let reads = action.starts_with("Describe") || action.starts_with("Get");
        self.of(if reads { self.read } else { self.write }, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_differ_by_at_most_a_quarter_and_always_in_the_same_way() {
        let d = Delays::recorded();
        let seen: Vec<_> = (0..200)
            .map(|n| d.of(Duration::from_secs(100), &format!("i-{n}")))
            .collect();
        let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(
            *least >= Duration::from_secs(75) && *most <= Duration::from_secs(125),
            "{least:?} {most:?}"
        );
        assert!(*most - *least > Duration::from_secs(30), "they do differ");
        assert_eq!(d.of(Duration::from_secs(100), "i-7"), seen[7]);
    }
}
