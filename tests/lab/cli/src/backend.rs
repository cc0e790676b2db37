//! The EC2 double's machines are lab-vpc's: the same fields under other types.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use ipnet::Ipv4Net;
use lab_ec2 as ec2;
use lab_vpc as vpc;

/// A hypervisor as the double wants it.
pub struct Machines(pub Arc<vpc::Hypervisor>);

fn say<T>(result: anyhow::Result<T>) -> Result<T, String> {
    result.map_err(|e| format!("{e:#}"))
}

impl ec2::Backend for Machines {
    fn create_vpc(&self, id: &str, cidr: Ipv4Net) -> Result<(), String> {
        say(self.0.create_vpc(id, cidr))
    }

    fn delete_vpc(&self, id: &str) -> Result<(), String> {
        say(self.0.delete_vpc(id))
    }

    fn launch(&self, s: ec2::InstanceSpec) -> Result<(), String> {
        say(self.0.launch(vpc::InstanceSpec {
            id: s.id,
            vpc_id: s.vpc_id,
            subnet_id: s.subnet_id,
            private_ip: s.private_ip,
            subnet_cidr: s.subnet_cidr,
            hostname: s.hostname,
            image_id: s.image_id,
            instance_type: s.instance_type,
            az: s.az,
            region: s.region,
            account_id: s.account_id,
            user_data: s.user_data,
            mac: s.mac,
            imds_hop_limit: s.imds_hop_limit,
            imds_tokens_required: s.imds_tokens_required,
        }))
    }

    fn terminate(&self, id: &str) -> Result<(), String> {
        say(self.0.terminate(id))
    }

    fn alive(&self, id: &str) -> bool {
        self.0.alive(id)
    }

    fn console(&self, id: &str) -> String {
        self.0.console(id)
    }

    fn set_firewall(&self, vpc_id: &str, rules: Vec<ec2::InstanceRules>) -> Result<(), String> {
        let rules: Vec<_> = rules
            .into_iter()
            .map(|r| vpc::InstanceRules {
                private_ip: r.private_ip,
                ingress: r.ingress.into_iter().map(rule).collect(),
                source_dest_check: r.source_dest_check,
            })
            .collect();
        say(self.0.set_firewall(vpc_id, &rules))
    }

    fn set_public_addresses(&self, vpc_id: &str, pairs: Vec<(Ipv4Addr, Ipv4Addr)>) -> Result<(), String> {
        say(self.0.set_public_addresses(vpc_id, &pairs))
    }

    fn set_routes(&self, vpc_id: &str, routes: Vec<(Ipv4Net, Ipv4Addr)>, internet_gateway: bool) -> Result<(), String> {
        say(self.0.set_routes(vpc_id, &routes, internet_gateway))
    }

    fn set_balancers(&self, vpc_id: &str, balancers: Vec<ec2::Balancer>) -> Result<(), String> {
        let balancers: Vec<_> = balancers
            .into_iter()
            .map(|b| vpc::Balancer {
                id: b.id,
                addresses: b.addresses,
                listeners: b.listeners.into_iter().map(listener).collect(),
            })
            .collect();
        say(self.0.set_balancers(vpc_id, &balancers))
    }

    fn target_health(&self, balancer_id: &str, port: u16) -> Vec<(SocketAddrV4, bool)> {
        self.0.target_health(balancer_id, port)
    }
}

fn rule(r: ec2::Rule) -> vpc::Rule {
    let protocol = match r.protocol {
        ec2::Protocol::All => vpc::Protocol::All,
        ec2::Protocol::Tcp => vpc::Protocol::Tcp,
        ec2::Protocol::Udp => vpc::Protocol::Udp,
        ec2::Protocol::Icmp => vpc::Protocol::Icmp,
    };
    vpc::Rule {
        protocol,
        from_port: r.from_port,
        to_port: r.to_port,
        source: r.source,
    }
}

fn listener(l: ec2::Listener) -> vpc::Listener {
    vpc::Listener {
        port: l.port,
        targets: l.targets,
        health: vpc::HealthCheck {
            port: l.health.port,
            http_path: l.health.http_path,
            interval: l.health.interval,
            timeout: l.health.timeout,
            healthy_threshold: l.health.healthy_threshold,
            unhealthy_threshold: l.health.unhealthy_threshold,
        },
    }
}
