//! A control plane that was made anew takes the place of the dead member at its address. etcd refuses an empty data folder under the old
//! member's id, so the old one is removed and a new one added: as a learner first, which has no vote while it is empty.
//!
//! Pure: what the other control planes' etcd says comes in, what to do next goes out. The machine's executor asks and tells them by etcd's
//! own JSON gateway, with the certificate of an API server.

use serde::{Deserialize, Serialize};

/// Where etcd listens for clients.
pub const CLIENT_PORT: u16 = 2379;
/// Where etcd listens for its other members.
pub const PEER_PORT: u16 = 2380;

/// What a machine needs to know to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The node's name, and so its member's.
    pub name: String,
    /// The URL at which the other members will reach this one.
    pub peer_url: String,
    /// The client URLs of the other control planes.
    pub others: Vec<String>,
}

/// A member as `/v3/cluster/member/list` shows it. What is false or empty is left out there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// A number of 64 bits, as text.
    #[serde(rename = "ID")]
    pub id: String,
    /// Empty until a member that was added has started.
    #[serde(default)]
    pub name: String,
    /// Where the others reach it.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    /// Whether it has no vote yet.
    #[serde(rename = "isLearner", default)]
    pub is_learner: bool,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing can be done now; why.
    Wait(String),
    /// The member with this id is removed.
    Remove(String),
    /// This machine is added as a learner.
    Add,
    /// This machine's etcd may start as `existing`.
    Start,
    /// The learner with this id is made a member with a vote.
    Promote(String),
    /// This machine is a member like the others.
    Done,
}

/// Before etcd starts here, with an empty data folder. `members` is what the cluster agrees on (asked of a majority), `answering` how many
/// of the other control planes' etcd answer now.
///
/// Whoever else had this machine's address is dead: the engine has waited until the cloud had ended it before it gave the address away.
pub fn before_start(join: &Join, members: &[Member], answering: usize) -> Next {
    let voters = members.iter().filter(|m| !m.is_learner).count();
    let majority = voters / 2 + 1;
    if answering < majority {
        return Next::Wait(format!(
            "{answering} of {voters} etcd members answer, {majority} are needed to change their number"
        ));
    }
    match of(join, members) {
        // Added by an earlier try of this machine; it has never run.
        Some(member) if member.is_learner && member.name.is_empty() => Next::Start,
        Some(member) => Next::Remove(member.id.clone()),
        // etcd takes one learner at a time; the other one is promoted soon.
        None if members.iter().any(|m| m.is_learner) => {
            Next::Wait("another control plane is just joining, one at a time may".into())
        }
        None => Next::Add,
    }
}

/// After etcd was started here, until it has a vote.
pub fn after_start(join: &Join, members: &[Member]) -> Next {
    match of(join, members) {
        Some(member) if member.is_learner => Next::Promote(member.id.clone()),
        Some(_) => Next::Done,
        None => Next::Wait("etcd's members do not list this machine any more".into()),
    }
}

/// The member of this node: at its address, or at the one that it had before it had to go to another zone.
fn of<'a>(join: &Join, members: &'a [Member]) -> Option<&'a Member> {
    let elsewhere = members.iter().find(|m| m.name == join.name && !is_at(join, m));
    elsewhere.or_else(|| members.iter().find(|m| is_at(join, m)))
}

fn is_at(join: &Join, member: &Member) -> bool {
    member.peer_urls.contains(&join.peer_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> Join {
        Join {
            name: "cp2".into(),
            peer_url: "https://10.0.0.2:2380".into(),
            others: vec!["https://10.0.0.1:2379".into(), "https://10.0.0.3:2379".into()],
        }
    }

    fn member(host: u8, name: &str, is_learner: bool) -> Member {
        Member {
            id: format!("id{host}"),
            name: name.into(),
            peer_urls: vec![format!("https://10.0.0.{host}:2380")],
            is_learner,
        }
    }

    #[test]
    fn each_state_of_the_cluster_has_one_answer() {
        let (one, three) = (member(1, "cp1", false), member(3, "cp3", false));
        let list = |two: Option<Member>| {
            [Some(one.clone()), two, Some(three.clone())]
                .into_iter()
                .flatten()
                .collect()
        };
        let wait = |why: &str| Next::Wait(why.to_owned());
        let table: [(&str, Vec<Member>, usize, Next); 10] = [
            (
                "the dead one is still listed",
                list(Some(member(2, "cp2", false))),
                2,
                Next::Remove("id2".into()),
            ),
            (
                "one of the first start that never came: listed with its name",
                list(Some(member(2, "cp2", false))),
                2,
                Next::Remove("id2".into()),
            ),
            (
                "it died as a learner that had run",
                list(Some(member(2, "cp2", true))),
                2,
                Next::Remove("id2".into()),
            ),
            ("nobody is at our address", list(None), 2, Next::Add),
            (
                "we were planned elsewhere before we had to go to another zone",
                list(Some(member(9, "cp2", false))),
                2,
                Next::Remove("id9".into()),
            ),
            (
                "an earlier try has added us",
                list(Some(member(2, "", true))),
                2,
                Next::Start,
            ),
            (
                "added with a vote by somebody's hand, and empty",
                list(Some(member(2, "", false))),
                2,
                Next::Remove("id2".into()),
            ),
            (
                "no majority without us: nothing is touched",
                list(Some(member(2, "cp2", false))),
                1,
                wait("1 of 3 etcd members answer, 2 are needed to change their number"),
            ),
            (
                "nobody answers",
                Vec::new(),
                0,
                wait("0 of 0 etcd members answer, 1 are needed to change their number"),
            ),
            (
                "another one joins",
                vec![one.clone(), member(3, "", true)],
                2,
                wait("another control plane is just joining, one at a time may"),
            ),
        ];
        for (what, members, answering, wanted) in table {
            assert_eq!(before_start(&join(), &members, answering), wanted, "{what}");
        }
    }

    #[test]
    fn with_five_members_two_dead_ones_go_one_after_the_other() {
        let mut five: Vec<Member> = (1..=5).map(|i| member(i, &format!("cp{i}"), false)).collect();
        assert_eq!(before_start(&join(), &five, 3), Next::Remove("id2".into()));
        five.retain(|m| m.id != "id2");
        assert_eq!(before_start(&join(), &five, 3), Next::Add);
        five.push(member(2, "", true));
        assert_eq!(before_start(&join(), &five, 3), Next::Start);
        assert!(
            matches!(before_start(&join(), &five, 2), Next::Wait(_)),
            "four voters need three"
        );
    }

    #[test]
    fn an_empty_member_has_no_vote_before_it_has_caught_up() {
        let with = |two: Member| vec![member(1, "cp1", false), two, member(3, "cp3", false)];
        assert_eq!(
            after_start(&join(), &with(member(2, "cp2", true))),
            Next::Promote("id2".into())
        );
        assert_eq!(after_start(&join(), &with(member(2, "cp2", false))), Next::Done);
        assert!(matches!(
            after_start(&join(), &[member(1, "cp1", false)]),
            Next::Wait(_)
        ));
    }

    #[test]
    fn etcds_own_words_are_understood() {
        // As etcd 3.6.8 answered; what is empty or false is left out.
        let text = r#"[{"ID":"379090268432154530","peerURLs":["https://10.0.0.2:2380"],"isLearner":true},
            {"ID":"9337176598445387855","name":"cp1","peerURLs":["https://10.0.0.1:2380"],"clientURLs":["https://10.0.0.1:2379"]}]"#;
        let members: Vec<Member> = serde_json::from_str(text).unwrap();
        assert!(members[0].is_learner && members[0].name.is_empty() && !members[1].is_learner);
    }
}
