//! The rail: the whole rebirth on 24 lines of 80 columns, letters only, the same on a screen and on a serial line.

use std::{io::Write, time::Duration};

use skykeep_core::Event;
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{board::Board, lines, words::Language};

const WIDTH: usize = 80;
const HEIGHT: usize = 24;

/// Which page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// Plain lines as things happen.
    #[default]
    Plain,
    /// The phases.
    Rail,
    /// What runs, and what comes after it.
    Details,
    /// The last lines of the log.
    Log,
}

/// What the person at the keys wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// The page.
    pub page: Page,
    /// Its language.
    pub language: Language,
    /// Whether the question stands there that ends everything.
    pub asked: bool,
}

impl View {
    /// Where a key leads. Other keys change nothing.
    #[must_use]
    pub fn after(mut self, key: u8) -> Self {
        match key.to_ascii_lowercase() {
            b'r' => self.page = Page::Rail,
            b'd' => self.page = Page::Details,
            b'l' => self.page = Page::Log,
            b'p' => self.page = Page::Plain,
            b'i' => {
                self.language = match self.language {
                    Language::English => Language::Italian,
                    Language::Italian => Language::English,
                }
            }
            _ => {}
        }
        self
    }
}

/// Shows events until the channel closes: as plain lines, or as the page that is wanted.
pub async fn show(
    mut events: broadcast::Receiver<Event>,
    mut board: Board,
    castle: String,
    view: watch::Receiver<View>,
) {
    let begin = Instant::now();
    let mut text = lines::Text::default();
    let mut tick = interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn = false;
    loop {
        let now = *view.borrow();
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => {
                    let line = text.line(&event, begin.elapsed());
                    if now.page == Page::Plain && let Some(line) = &line {
                        put(&format!("{line}\n"));
                    }
                    board.hear(&event, begin.elapsed(), line);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            },
            _ = tick.tick() => {
                if now.page != Page::Plain {
                    // Clear the screen once, then write over what stands there: a slow line does not flicker.
                    let start = if drawn { "\x1b[H" } else { "\x1b[2J\x1b[H" };
                    let page = render(&mut board, &castle, begin.elapsed(), now).join("\x1b[K\r\n");
                    put(&format!("{start}{page}\x1b[K\x1b[J"));
                }
                drawn = now.page != Page::Plain;
            }
        }
    }
    if drawn {
        put("\n");
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // A console that is gone must not stop the rebirth.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// One page: at most 24 lines of at most 80 columns. Pure but for the promise that the board keeps.
pub fn render(board: &mut Board, castle: &str, at: Duration, view: View) -> Vec<String> {
    let words = view.language.words();
    let (end, excuse) = board.promise(at);
    let excuse = excuse.map(|why| format!("{}: {why}", words.later));
    let left = format!(
        "{} {}, {} {}",
        clock(at),
        words.gone,
        clock(end.saturating_sub(at)),
        words.to_go
    );
    let name = format!("Skykeep  {castle}");
    let gap = WIDTH.saturating_sub(name.chars().count() + left.chars().count());
    let mut page = vec![format!("{name}{}{left}", " ".repeat(gap)), "-".repeat(WIDTH)];
    match view.page {
        Page::Details => page.extend(details(board, at, view)),
        Page::Log => page.extend(board.last(HEIGHT - 5).map(str::to_owned)),
        Page::Rail | Page::Plain => {
            page.extend(phases(board, at, view));
            page.push("-".repeat(WIDTH));
            page.push(format!("{}: {}", words.blocks, blocks(board, at, view)));
            page.push(excuse.unwrap_or_default());
            page.push("-".repeat(WIDTH));
            page.extend(board.last(9).map(str::to_owned));
        }
    }
    page.truncate(HEIGHT - 2);
    page.resize(HEIGHT - 2, String::new());
    page.push("-".repeat(WIDTH));
    page.push(if view.asked { words.asked } else { words.keys }.to_owned());
    page.into_iter()
        .map(|line| line.chars().take(WIDTH).collect())
        .collect()
}

/// Which of the six phases a step belongs to.
fn phase(step: &str) -> usize {
    match step.split('.').next().unwrap_or_default() {
        "check" | "lease" => 0,
        "cloud" | "node" | "entry" => 1,
        "cluster" => 2,
        "flux" => 3,
        "gates" | "restore" | "apps" => 4,
        _ => 5,
    }
}

fn phases(board: &Board, at: Duration, view: View) -> Vec<String> {
    let words = view.language.words();
    let line = |(i, name): (usize, &&str)| {
        let steps: Vec<_> = board.outline.iter().filter(|s| phase(&s.id) == i).collect();
        let begun: Vec<_> = steps.iter().filter_map(|s| board.going(&s.id)).collect();
        let done = begun.iter().filter(|g| g.ended.is_some()).count();
        let first = begun.iter().map(|g| g.began).min();
        let last = begun.iter().map(|g| g.ended.unwrap_or(at)).max();
        let elapsed = last.unwrap_or_default().saturating_sub(first.unwrap_or_default());
        // Steps of a phase run together: what it may take is its own longest chain.
        let own: Vec<_> = steps.iter().map(|s| (*s).clone()).collect();
        let budget = skykeep_rebirth::engine::outlook(&own, &std::collections::BTreeMap::new()).left;
        let failed = board.failure().is_some_and(|(step, _)| phase(step) == i);
        let mark = match (failed, done == steps.len(), begun.is_empty()) {
            (true, ..) => '!',
            (_, true, _) => 'x',
            (_, _, false) => '>',
            _ => ' ',
        };
        let remark = match (failed, elapsed > budget && done < steps.len()) {
            (true, _) => words.failed,
            (_, true) => words.late,
            _ => "",
        };
        let bar: String = (0..20)
            .map(|n| if n * steps.len() < done * 20 { '#' } else { '.' })
            .collect();
        format!(
            " [{mark}] {name:<10} {bar} {done:>2}/{:<2}  {:>6} {} {:>6}  {remark}",
            steps.len(),
            clock(elapsed),
            words.of,
            clock(budget)
        )
    };
    words.phases.iter().enumerate().map(line).collect()
}

/// The step that decides the end, and what it waits for.
fn blocks(board: &Board, at: Duration, view: View) -> String {
    let words = view.language.words();
    let path = board.outlook(at).path;
    let Some(step) = path.first() else {
        return words.nothing_blocks.to_owned();
    };
    match board.going(step).and_then(|g| g.waits.as_ref()) {
        Some((what, seen)) => format!("{step}: {what}: {seen}"),
        None => {
            let title = board.outline.iter().find(|s| s.id == *step).map(|s| s.title.as_str());
            format!("{step}: {}", title.unwrap_or_default())
        }
    }
}

fn details(board: &Board, at: Duration, view: View) -> Vec<String> {
    let words = view.language.words();
    let mut page = Vec::new();
    for step in &board.outline {
        let Some(going) = board.going(&step.id).filter(|g| g.ended.is_none()) else {
            continue;
        };
        let elapsed = clock(at.saturating_sub(going.began));
        let budget = clock(step.budget);
        page.push(format!(
            " {:<20} {elapsed:>6}, {} {budget}   {}",
            step.id, words.planned, step.title
        ));
        if let Some((what, seen)) = &going.waits {
            page.push(format!("     {what}: {seen}"));
        }
    }
    let path = board.outlook(at).path;
    page.push(String::new());
    let after: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    page.push(format!("{}: {}", words.then, after.join(" > ")));
    if let Some((step, error)) = board.failure() {
        page.push(format!("{}: {step}", words.failed));
        page.extend(error.to_string().lines().map(str::to_owned));
    }
    page
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use skykeep_core::castle::Castle;

    use super::*;

    /// The example castle's run, two and a half minutes in: all machines run but one, and the entry takes its time.
    fn board() -> Board {
        let castle = Castle::parse(include_str!("../../../../tests/castle/castle.yaml")).unwrap();
        let outline = skykeep_rebirth::graph(&castle).unwrap().outline();
        let mut board = Board::new(outline.clone());
        let mut text = lines::Text::default();
        let mut hear = |event: Event, at: u64| {
            let at = Duration::from_secs(at);
            let line = text.line(&event, at);
            board.hear(&event, at, line);
        };
        for (i, step) in outline.iter().take_while(|s| s.id != "node.running").enumerate() {
            let began = i as u64 / 2;
            let (id, title) = (step.id.clone(), step.title.clone());
            hear(
                Event::Started {
                    step: id.clone(),
                    title,
                },
                began,
            );
            let (took, outcome) = (Duration::from_secs(1), "done".to_owned());
            hear(
                Event::Finished {
                    step: id,
                    took,
                    outcome,
                },
                began + 1,
            );
        }
        let (step, title) = ("node.running".to_owned(), "all machines run".to_owned());
        hear(
            Event::Started {
                step: step.clone(),
                title,
            },
            12,
        );
        let (what, seen) = ("all nodes to run".to_owned(), "w1 is pending".to_owned());
        hear(Event::Waiting { step, what, seen }, 14);
        board
    }

    fn page(page: Page, language: Language, at: u64) -> String {
        let view = View {
            page,
            language,
            asked: false,
        };
        let mut board = board();
        for second in 12..at {
            board.promise(Duration::from_secs(second));
        }
        render(&mut board, "rossi", Duration::from_secs(at), view).join("\n")
    }

    #[test]
    fn the_rail_in_english() {
        insta::assert_snapshot!(page(Page::Rail, Language::English, 20));
    }

    #[test]
    fn the_rail_in_italian_says_why_it_is_late() {
        insta::assert_snapshot!(page(Page::Rail, Language::Italian, 50));
    }

    #[test]
    fn the_details_and_the_log() {
        insta::assert_snapshot!(page(Page::Details, Language::English, 20));
        insta::assert_snapshot!(page(Page::Log, Language::English, 20));
    }

    #[test]
    fn every_page_fits_a_screen_of_80_by_24_in_letters_that_a_serial_line_has() {
        for language in [Language::English, Language::Italian] {
            for one in [Page::Rail, Page::Details, Page::Log] {
                for at in [12, 100, 100_000] {
                    let page = page(one, language, at.min(600));
                    assert!(page.lines().count() == HEIGHT && page.is_ascii(), "{page}");
                    assert!(page.lines().all(|l| l.len() <= WIDTH), "{page}");
                }
            }
        }
    }

    #[test]
    fn keys_lead_to_pages_and_languages() {
        let view = b"drix".iter().fold(View::default(), |view, key| view.after(*key));
        assert_eq!((view.page, view.language), (Page::Rail, Language::Italian));
    }
}
