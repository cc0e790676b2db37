//! The laptop's network by itself, for the tests: it brings the network up as `key=value` words say, tells what happens line by line, keeps the network until
//! standard input ends, and meanwhile does what stands there.

use skykeep_core::{Explain, Progress, progress::Event};
use skykeep_net::{Half, Options, typed_addresses, up};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

fn options() -> Result<Options, Failure> {
    let mut options = Options::default();
    for word in std::env::args().skip(1) {
        let (key, value) = word.split_once('=').ok_or("key=value")?;
        let seconds = || value.parse().map(Duration::from_secs);
        match key {
            "cards" => options.cards = value.into(),
            "card" => options.card = seconds()?,
            "cable" => options.cable = seconds()?,
            "address" => options.address = seconds()?,
            "fixed" => options.fixed = Some(typed_addresses(value)?),
            _ => return Err(format!("what is {key}?").into()),
        }
    }
    Ok(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = options()?;
    let (progress, mut events) = Progress::channel("network");
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if let Event::Note { text, .. } = event {
                println!("note {text}");
            }
        }
    });
    let link = match up(&options, &progress).await {
        Ok(link) => link,
        Err(error) => {
            println!("failed {} | {} | {}", error.what(), error.why(), error.remedy());
            return Ok(());
        }
    };
    // What was noted on the way is said before.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let shown = |half: Half| format!(" {}/{} {}", half.address, half.prefix, half.router);
    let halves: String = [link.four, link.six].into_iter().flatten().map(shown).collect();
    println!("up {}{halves} {:?}", link.card, link.dns);
    let (tell, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send(order).is_err() {
                return;
            }
        }
    });
    while let Some(order) = orders.recv().await {
        println!("what is {order}?");
    }
    Ok(())
}
