//! The hypervisor as the doubles want it: errors are sentences.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use lab_machines::{Backend, Balancer, InstanceRules, InstanceSpec};

use crate::Hypervisor;

fn say<T>(result: anyhow::Result<T>) -> Result<T, String> {
    result.map_err(|e| format!("{e:#}"))
}

impl Backend for Hypervisor {
    fn create_vpc(&self, id: &str, cidr: Ipv4Net) -> Result<(), String> {
        say(self.create_vpc(id, cidr))
    }

    fn delete_vpc(&self, id: &str) -> Result<(), String> {
        say(self.delete_vpc(id))
    }

    fn launch(&self, spec: InstanceSpec) -> Result<(), String> {
        say(self.launch(spec))
    }

    fn terminate(&self, id: &str) -> Result<(), String> {
        say(self.terminate(id))
    }

    fn alive(&self, id: &str) -> bool {
        self.alive(id)
    }

    fn console(&self, id: &str) -> String {
        self.console(id)
    }

    fn set_firewall(&self, vpc_id: &str, rules: Vec<InstanceRules>) -> Result<(), String> {
        say(self.set_firewall(vpc_id, &rules))
    }

    fn set_public_addresses(&self, vpc_id: &str, pairs: Vec<(Ipv4Addr, Ipv4Addr)>) -> Result<(), String> {
        say(self.set_public_addresses(vpc_id, &pairs))
    }

    fn set_routes(&self, vpc_id: &str, routes: Vec<(Ipv4Net, Ipv4Addr)>, internet_gateway: bool) -> Result<(), String> {
        say(self.set_routes(vpc_id, &routes, internet_gateway))
    }

    fn set_balancers(&self, vpc_id: &str, balancers: Vec<Balancer>) -> Result<(), String> {
        say(self.set_balancers(vpc_id, &balancers))
    }

    fn target_health(&self, balancer_id: &str, port: u16) -> Vec<(SocketAddrV4, bool)> {
        self.target_health(balancer_id, port)
    }
}
