use super::*;
use crate::wifi::Refusal;
use std::net::Ipv4Addr;

fn cable() -> Facts {
    Facts {
        links: vec![("eth0".into(), false, true), ("wlan0".into(), true, false)],
        address: Some("192.168.1.20/24 at eth0".into()),
        card: Some("eth0".into()),
        router: Some((Ipv4Addr::new(192, 168, 1, 1).into(), true)),
        ..Facts::default()
    }
}

fn page(facts: Facts, error: NetError) -> String {
    let page = Diagnosis {
        error: facts.clearer_than(error),
        facts,
    }
    .page();
    assert!(page.lines().count() <= 22, "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    page
}

fn no_time(reached: Reached, answer: &str) -> NetError {
    NetError::NoTime {
        answers: vec![
            format!("s3.eu-south-1.amazonaws.com: {answer}"),
            format!("api.cloudflare.com: {answer}"),
        ],
        reached,
    }
}

#[test]
fn the_page_for_every_step_that_can_fail() {
    let mut pages = String::new();
    let mut show = |title: &str, facts: Facts, error: NetError| {
        pages.push_str(&format!("--- {title}\n{}\n", page(facts, error)));
    };
    show("no card", Facts::default(), NetError::NoCard);
    let unplugged = Facts {
        links: vec![("eth0".into(), false, false), ("wlan0".into(), true, false)],
        ..Facts::default()
    };
    show(
        "no cable",
        unplugged,
        NetError::NoCable {
            cards: vec!["eth0".into()],
        },
    );
    let refused = Facts {
        links: vec![("wlan0".into(), true, false)],
        ..Facts::default()
    };
    show(
        "Wi-Fi password",
        refused,
        NetError::Wifi {
            network: "Hotel".into(),
            refusal: Refusal::WrongPassword,
        },
    );
    let silent = Facts {
        address: None,
        router: None,
        card: None,
        ..cable()
    };
    show(
        "no address",
        silent,
        NetError::NoAddress {
            cards: vec!["eth0".into()],
            seconds: 30,
            last: "no answer at all".into(),
        },
    );
    let lost = || no_time(Reached::Nothing, "no answer in 30 s");
    show(
        "router",
        Facts {
            router: Some((Ipv4Addr::new(192, 168, 1, 1).into(), false)),
            names: Some(Names::Silent),
            portal: Some(Verdict::Unknown),
            ..cable()
        },
        lost(),
    );
    show(
        "names",
        Facts {
            names: Some(Names::Silent),
            portal: Some(Verdict::Unknown),
            ..cable()
        },
        lost(),
    );
    let liar = Names::Lie(Ipv4Addr::new(10, 0, 0, 1).into());
    show(
        "lying names",
        Facts {
            names: Some(liar.clone()),
            portal: Some(Verdict::Unknown),
            ..cable()
        },
        lost(),
    );
    let page = Verdict::Portal(Some("http://login.hotel.example/start".into()));
    show(
        "portal",
        Facts {
            names: Some(liar),
            portal: Some(page),
            ..cable()
        },
        lost(),
    );
    let fine = || Facts {
        names: Some(Names::Work),
        portal: Some(Verdict::Open),
        ..cable()
    };
    let at = |reached| Facts {
        reached: Some(reached),
        ..fine()
    };
    show(
        "hosts",
        at(Reached::Names),
        no_time(Reached::Names, "connection refused"),
    );
    let by = "http://proxy.hotel.example:3128";
    let refused = Facts {
        names: Some(Names::Silent),
        portal: Some(Verdict::Unknown),
        proxy: Some((
            by.into(),
            Reached::Names,
            vec!["s3.eu-south-1.amazonaws.com: the proxy refuses with status 403".into()],
        )),
        ..cable()
    };
    show("proxy", refused, lost());
    show(
        "TLS",
        at(Reached::Connection),
        no_time(Reached::Connection, "invalid peer certificate: UnknownIssuer"),
    );
    show(
        "clock",
        at(Reached::Tls),
        no_time(Reached::Tls, "its answer has no Date"),
    );
    insta::assert_snapshot!(pages);
}
