//! Progress as plain lines, for a serial line, a log file and small screens.

use std::{collections::BTreeMap, time::Duration};

use skykeep_core::Event;
use tokio::{sync::broadcast, time::Instant};

use super::hold;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One line each, for people.
    Text,
    /// One JSON object each, for programs.
    Json,
}

/// Prints every event until the channel closes.
pub async fn print(mut events: broadcast::Receiver<Event>, output: Output) {
    let begin = Instant::now();
    let mut text = Text::default();
    loop {
        match events.recv().await {
            Ok(event) => {
                let line = match output {
                    Output::Json => json(&event, begin.elapsed()),
                    Output::Text => text.line(&event, begin.elapsed()),
                };
                if let Some(line) = line {
                    hold::line(line);
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn json(event: &Event, at: Duration) -> Option<String> {
    let mut value = serde_json::to_value(event).ok()?;
    let object = value.as_object_mut()?;
    object.insert("v".into(), 1.into());
    object.insert("at".into(), at.as_secs_f64().into());
    Some(value.to_string())
}

/// Events as lines of text. Remembers what was counted, so that counts come as rates and not too often.
#[derive(Default)]
pub struct Text(BTreeMap<String, (Instant, u64)>);

impl Text {
    /// The line of an event at this time from the start, when it is worth one.
    pub fn line(&mut self, event: &Event, at: Duration) -> Option<String> {
        text(event, at, &mut self.0)
    }
}

fn text(event: &Event, at: Duration, last_bytes: &mut BTreeMap<String, (Instant, u64)>) -> Option<String> {
    let clock = format!("{:>3}:{:02}", at.as_secs() / 60, at.as_secs() % 60);
    Some(match event {
        Event::Started { step, title } => format!("{clock}  ..  {step:<16} {title}"),
        Event::Note { step, text } => format!("{clock}      {step:<16} {text}"),
        Event::Waiting { step, what, seen } => format!("{clock}      {step:<16} waits for {what}: {seen}"),
        Event::Finished { step, took, outcome } => {
            format!("{clock}  ok  {step:<16} {outcome} ({:.1} s)", took.as_secs_f64())
        }
        Event::Failed { step, error, .. } => {
            format!("{clock}  !!  {step}\n{error}")
        }
        Event::Bytes { step, done, total } => {
            let now = Instant::now();
            let (then, before) = *last_bytes.entry(step.clone()).or_insert((now, *done));
            let gone = now.duration_since(then);
            if gone < Duration::from_secs(2) {
                return None;
            }
            last_bytes.insert(step.clone(), (now, *done));
            let rate = done.saturating_sub(before) as f64 / gone.as_secs_f64();
            let eta = if *total > *done && rate > 0.0 {
                format!(", {:.0} s to go", (*total - *done) as f64 / rate)
            } else {
                String::new()
            };
            format!(
                "{clock}      {step:<16} {} of {} at {}/s{eta}",
                size(*done),
                size(*total),
                size(rate as u64)
            )
        }
    })
}

/// Bytes for people: three digits and a unit.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_with_one_digit_behind_the_point() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(20_971_520), "21.0 MB");
    }

    #[test]
    fn an_event_as_json_carries_a_version_and_a_time() {
        let line = json(
            &Event::Note {
                step: "a".into(),
                text: "b".into(),
            },
            Duration::from_secs(2),
        )
        .unwrap();
        assert_eq!(line, r#"{"at":2.0,"event":"note","step":"a","text":"b","v":1}"#);
    }
}
