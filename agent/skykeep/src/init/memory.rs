//! What the kernel tells about memory.

use std::fs;

/// How many programs the kernel ended since power-on because memory ran out.
pub fn programs_ended_for_memory() -> u64 {
    counted(&fs::read_to_string("/proc/vmstat").unwrap_or_default())
}

fn counted(vmstat: &str) -> u64 {
    vmstat
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// The kernel takes the agent, never PID 1, when memory runs out. Gives back what stands against it.
pub fn spare_this_process() -> Option<String> {
    fs::write("/proc/self/oom_score_adj", "-1000\n")
        .err()
        .map(|e| format!("PID 1 can't be kept from being ended when memory runs out: {e}"))
}

/// Called by the agent for itself: it is what the kernel takes first.
pub fn offer_this_process() {
    // Without it the kernel chooses the largest process, which is the same one.
    let _ = fs::write("/proc/self/oom_score_adj", "500\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_is_found_among_the_others() {
        assert_eq!(counted("oom_kill_disable 9\noom_kill 2\nunevictable_pgs_culled 0\n"), 2);
        assert_eq!(counted(""), 0);
    }
}
