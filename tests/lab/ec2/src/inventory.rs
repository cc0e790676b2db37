//! What exists and costs or stands in the way: to show that the cloud is empty after a destroy.

use crate::state::State;

/// "kind id (name)" of everything; what comes with a network by itself (main table, default group) and terminated instances do not count.
pub(crate) fn list(st: &State) -> Vec<String> {
    let mut out = Vec::new();
    let mut add = |kind: &str, id: &str| {
        let name = st.tags.get(id).and_then(|t| t.get("Name"));
        out.push(name.map_or_else(|| format!("{kind} {id}"), |n| format!("{kind} {id} ({n})")));
    };
    st.vpcs.keys().for_each(|id| add("vpc", id));
    st.subnets.keys().for_each(|id| add("subnet", id));
    st.gateways.keys().for_each(|id| add("internet-gateway", id));
    st.tables
        .values()
        .filter(|t| !t.main())
        .for_each(|t| add("route-table", &t.id));
    st.groups
        .values()
        .filter(|g| g.name != "default")
        .for_each(|g| add("security-group", &g.id));
    st.addresses.keys().for_each(|id| add("elastic-ip", id));
    st.interfaces.keys().for_each(|id| add("network-interface", id));
    st.instances
        .values()
        .filter(|i| i.life.exists())
        .for_each(|i| add("instance", &i.id));
    st.volumes.keys().for_each(|id| add("volume", id));
    st.balancers.keys().for_each(|id| add("load-balancer", id));
    st.target_groups.keys().for_each(|id| add("target-group", id));
    st.listeners.keys().for_each(|id| add("listener", id));
    out
}
