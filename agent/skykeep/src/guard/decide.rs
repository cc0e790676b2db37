//! What a Service should look like. Pure.

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use skykeep_cluster::guard::Entry;

/// Patches that bring a Service in order; what needs none is absent.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    /// A JSON patch of the Service.
    pub ports: Option<Value>,
    /// A merge patch of its status.
    pub status: Option<Value>,
}

/// What has to change, or nothing. Services of another balancer's class are not ours, nor are those without a port of the entry:
/// nothing from outside would reach them, and they must not look as if it did.
pub(super) fn decide(service: &Service, entry: &Entry) -> Option<Wanted> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() != Some("LoadBalancer") || spec.load_balancer_class.is_some() {
        return None;
    }
    let mut operations = Vec::new();
    let mut ours = false;
    for (at, port) in spec.ports.iter().flatten().enumerate() {
        let registered = u16::try_from(port.port).ok().and_then(|p| entry.ports.get(&p));
        let Some(node_port) = registered.filter(|_| port.protocol.as_deref().unwrap_or("TCP") == "TCP") else {
            continue;
        };
        ours = true;
        if port.node_port != Some(i32::from(*node_port)) {
            // The test makes the patch fail when the list has changed meanwhile; then the next event comes anyway.
            operations.push(json!({"op": "test", "path": format!("/spec/ports/{at}/port"), "value": port.port}));
            operations.push(json!({"op": "add", "path": format!("/spec/ports/{at}/nodePort"), "value": node_port}));
        }
    }
    if !ours {
        return None;
    }
    let mut ingress: Vec<Value> = entry.addresses.iter().map(|a| json!({"ip": a.to_string()})).collect();
    if let Some(hostname) = entry.hostname.as_ref().filter(|_| ingress.is_empty()) {
        ingress.push(json!({"hostname": hostname}));
    }
    let now = service
        .status
        .as_ref()
        .and_then(|s| s.load_balancer.as_ref())
        .and_then(|l| l.ingress.as_deref());
    let same = now.unwrap_or_default().len() == ingress.len()
        && now.unwrap_or_default().iter().zip(&ingress).all(|(is, should)| {
            // The API server adds ipMode; only our own fields count.
            is.ip.as_deref() == should["ip"].as_str() && is.hostname.as_deref() == should["hostname"].as_str()
        });
    let wanted = Wanted {
        ports: (!operations.is_empty()).then_some(Value::Array(operations)),
        status: (!same).then(|| json!({"status": {"loadBalancer": {"ingress": ingress}}})),
    };
    (wanted.ports.is_some() || wanted.status.is_some()).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            ports: [(80, 30080), (443, 30443)].into(),
            addresses: vec!["203.0.113.160".parse().unwrap(), "203.0.113.161".parse().unwrap()],
            hostname: None,
        }
    }

    fn service(spec: Value, status: Value) -> Service {
        serde_json::from_value(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec, "status": status}),
        )
        .unwrap()
    }

    fn balancer(ports: Value) -> Service {
        service(json!({"type": "LoadBalancer", "ports": ports}), json!({}))
    }

    #[test]
    fn a_fresh_service_gets_the_registered_node_ports_and_the_entrys_addresses() {
        let wanted = decide(
            &balancer(json!([{"port": 80, "nodePort": 31234}, {"port": 443}])),
            &entry(),
        )
        .unwrap();
        assert_eq!(
            wanted.ports.unwrap(),
            json!([
                {"op": "test", "path": "/spec/ports/0/port", "value": 80},
                {"op": "add", "path": "/spec/ports/0/nodePort", "value": 30080},
                {"op": "test", "path": "/spec/ports/1/port", "value": 443},
                {"op": "add", "path": "/spec/ports/1/nodePort", "value": 30443},
            ])
        );
        assert_eq!(
            wanted.status.unwrap()["status"]["loadBalancer"]["ingress"],
            json!([{"ip": "203.0.113.160"}, {"ip": "203.0.113.161"}])
        );
    }

    #[test]
    fn a_service_in_order_is_left_alone_so_that_the_guard_never_argues_with_itself() {
        let done = service(
            json!({"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]}),
            json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.160", "ipMode": "VIP"}, {"ip": "203.0.113.161", "ipMode": "VIP"}]}}),
        );
        assert_eq!(decide(&done, &entry()), None);
    }

    #[test]
    fn services_that_are_not_ours_are_left_alone() {
        let ports = json!([{"port": 80}]);
        assert_eq!(
            decide(
                &service(json!({"type": "ClusterIP", "ports": ports}), json!({})),
                &entry()
            ),
            None
        );
        assert_eq!(decide(&service(json!({"ports": ports}), json!({})), &entry()), None);
        let other = json!({"type": "LoadBalancer", "loadBalancerClass": "tailscale", "ports": ports});
        assert_eq!(decide(&service(other, json!({})), &entry()), None);
        assert_eq!(
            decide(&balancer(json!([{"port": 8080}])), &entry()),
            None,
            "a port that was never registered"
        );
        assert_eq!(
            decide(&balancer(json!([{"port": 443, "protocol": "UDP"}])), &entry()),
            None,
            "UDP is not forwarded"
        );
    }

    #[test]
    fn a_changed_address_is_written_without_touching_ports() {
        let moved = service(
            json!({"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]}),
            json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}),
        );
        let wanted = decide(&moved, &entry()).unwrap();
        assert!(wanted.ports.is_none() && wanted.status.is_some());
    }
}
