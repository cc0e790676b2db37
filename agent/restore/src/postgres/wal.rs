//! Names of WAL segments: which are there, and whether one in between is missing.

use std::fmt;

/// A segment: timeline, and its place in it as the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The timeline.
    pub timeline: u32,
    log: u32,
    number: u32,
}

impl Segment {
    /// Reads a name of 24 hexadecimal digits.
    pub fn parse(name: &str) -> Option<Segment> {
        if name.len() != 24 || !name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)) {
            return None;
        }
        let part = |from: usize| u32::from_str_radix(name.get(from..from + 8)?, 16).ok();
        Some(Segment {
            timeline: part(0)?,
            log: part(8)?,
            number: part(16)?,
        })
    }

    /// The segment that an object of an archive holds: `<name>-<checksum>` and perhaps a suffix. Timeline histories, labels
    /// and partial segments hold none.
    pub(crate) fn of_object(key: &str) -> Option<Segment> {
        let (name, rest) = key.rsplit('/').next()?.split_once('-')?;
        let checksum = rest.split('.').next()?;
        (checksum.len() == 40).then(|| Segment::parse(name)).flatten()
    }

    /// Whether `next` comes right after this one. How many segments one log has depends on their size, which no name tells: a
    /// log may end wherever the count is a power of two.
    fn is_before(&self, next: &Segment) -> bool {
        if self.log == next.log {
            return self.number.checked_add(1) == Some(next.number);
        }
        let count = self.number.saturating_add(1);
        self.log.checked_add(1) == Some(next.log) && next.number == 0 && count >= 4 && count.is_power_of_two()
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.number)
    }
}

/// What an archive holds from the beginning of a backup on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The last segment.
    pub last: Segment,
    /// The last segment before the first one that is missing, when one is.
    pub gap_after: Option<Segment>,
}

/// Follows the segments from `start` on. `None` when `start` itself is not there.
pub fn follow(mut segments: Vec<Segment>, start: Segment) -> Option<Run> {
    segments.sort_unstable();
    segments.dedup();
    // What was written before the backup is of no use to it, on whatever timeline.
    segments.retain(|s| s.timeline >= start.timeline && (s.log, s.number) >= (start.log, start.number));
    if segments.first() != Some(&start) {
        return None;
    }
    let pairs = segments.iter().zip(segments.iter().skip(1));
    // A new timeline begins in the segment where it left the old one.
    let mut gaps = pairs.filter(|(a, b)| a.timeline == b.timeline && !a.is_before(b));
    let gap_after = gaps.next().map(|(a, _)| *a);
    Some(Run {
        last: *segments.last()?,
        gap_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str) -> Segment {
        Segment::parse(name).unwrap()
    }

    fn all(names: &[&str]) -> Vec<Segment> {
        names.iter().map(|n| segment(&format!("0000000{n}"))).collect()
    }

    #[test]
    fn only_whole_segments_are_segments() {
        let sum = "a".repeat(40);
        let key = |name: &str, end: &str| format!("archive/main/15-1/0000000100000000/{name}-{sum}{end}");
        let name = "00000001000000000000000A";
        assert_eq!(Segment::of_object(&key(name, ".gz")), Some(segment(name)));
        assert_eq!(Segment::of_object(&key(name, "")).unwrap().to_string(), name);
        for other in [
            "archive/main/15-1/00000002.history".to_owned(),
            key("000000010000000000000003.partial", ".gz"),
            format!("archive/main/15-1/0000000100000000/{name}.00000028.backup"),
            format!("{name}-short.gz"),
            key("00000001000000000000000a", ".gz"),
        ] {
            assert_eq!(Segment::of_object(&other), None, "{other}");
        }
    }

    #[test]
    fn a_missing_segment_is_noticed_and_a_new_timeline_is_none() {
        let start = all(&["10000000000000002"])[0];
        let whole = all(&[
            "10000000000000001",
            "10000000000000002",
            "10000000000000003",
            "20000000000000003",
            "20000000000000004",
        ]);
        let run = follow(whole.clone(), start).unwrap();
        assert_eq!((run.last, run.gap_after), (whole[4], None));
        let torn = all(&["10000000000000002", "10000000000000004", "10000000000000005"]);
        let run = follow(torn.clone(), start).unwrap();
        assert_eq!((run.last, run.gap_after), (torn[2], Some(start)));
        assert_eq!(follow(torn, whole[2]), None, "the backup's own beginning is missing");
        assert_eq!(follow(Vec::new(), start), None);
    }

    #[test]
    fn a_log_ends_at_a_power_of_two() {
        let ends = |a: &str, b: &str| follow(all(&[a, b]), all(&[a])[0]).unwrap().gap_after.is_none();
        assert!(ends("100000000000000FF", "10000000100000000"));
        assert!(ends("1000000000000003F", "10000000100000000"));
        assert!(!ends("100000000000000FE", "10000000100000000"));
        assert!(!ends("100000000000000FF", "10000000100000001"));
        assert!(!ends("100000000000000FF", "10000000200000000"));
    }
}
