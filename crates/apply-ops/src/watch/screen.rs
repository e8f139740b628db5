//! On a terminal: one frame that fits the window. Switch and waits are always in it.

use super::view::{Span, Tone, View, age};
use crate::output::{Done, End};
use apply_service::Failure;
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    style::{Color, Modifier, Style},
    text::{Line, Text},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch::Receiver},
};

/// Between two looks at the keyboard of a thread that is to end soon.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// What the terminal says.
enum Said {
    Leave,
    /// Another size, or it was drawn over.
    Redraw,
}

/// Draws until `q`, Ctrl-C or a signal; the terminal is as it was before, however this ends.
pub(super) async fn show(views: Receiver<Option<View>>) -> Done {
    let mut terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
    let drawn = draw_until_left(&mut terminal, views).await;
    let restored = ratatui::try_restore().map_err(|error| unusable(&error));
    drawn.and(restored)
}

fn unusable(error: &io::Error) -> End {
    Failure::unavailable(format!("cannot draw on this terminal: {error}"))
        .fix("use apply-layer watch --once, or apply-layer status")
        .into()
}

async fn draw_until_left(
    terminal: &mut DefaultTerminal,
    mut views: Receiver<Option<View>>,
) -> Done {
    let signals = |kind| signal(kind).map_err(|error| unusable(&error));
    let (mut terminated, mut hung_up) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::hangup())?,
    );
    let mut interrupted = signals(SignalKind::interrupt())?;
    let keyboard = Keyboard::listen();
    let (_reading, mut said) = keyboard;
    // As https://no-color.org asks of every program; so no setting of this one.
    let colours = std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty());
    loop {
        let view = views.borrow_and_update().clone();
        terminal
            .draw(|frame| draw(frame, view.as_ref(), colours))
            .map_err(|error| unusable(&error))?;
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            word = said.recv() => match word {
                Some(Said::Leave) | None => return Ok(()),
                Some(Said::Redraw) => {}
            },
            changed = views.changed() => if changed.is_err() {
                return Ok(());
            },
        }
    }
}

/// Reads the keyboard on a thread of its own, which ends soon after this is dropped.
struct Keyboard(Arc<AtomicBool>);

impl Keyboard {
    fn listen() -> (Self, mpsc::Receiver<Said>) {
        let (says, said) = mpsc::channel(16);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let word = match event::poll(KEYS_EVERY) {
                    Ok(false) => continue,
                    Ok(true) => match event::read() {
                        Ok(event) => said_by(&event),
                        Err(_) => Some(Said::Leave),
                    },
                    Err(_) => Some(Said::Leave),
                };
                let Some(word) = word else { continue };
                let leaves = matches!(word, Said::Leave);
                if says.blocking_send(word).is_err() || leaves {
                    return;
                }
            }
        });
        (Self(over), said)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn said_by(event: &Event) -> Option<Said> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Said::Leave),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Said::Leave)
            }
            KeyCode::Char('l') => Some(Said::Redraw),
            _ => None,
        },
        Event::Resize(..) => Some(Said::Redraw),
        _ => None,
    }
}

fn draw(frame: &mut Frame, view: Option<&View>, colours: bool) {
    let area = frame.area();
    let rows = match view {
        Some(view) => rows(view, usize::from(area.height)),
        None => vec![vec![(Tone::Dim, "looking …".to_owned())]],
    };
    let lines = rows
        .into_iter()
        .map(|row| cut(row, usize::from(area.width), colours));
    frame.render_widget(Text::from_iter(lines), area);
}

type Row = Vec<Span>;

/// As many rows as the window has. What halts and what waits comes before what was.
fn rows(view: &View, height: usize) -> Vec<Row> {
    let named = |name: &str, (tone, text): &Span| {
        vec![(Tone::Plain, format!("{name:<13}")), (*tone, text.clone())]
    };
    let mut switches: Vec<Row> = view
        .switches
        .iter()
        .map(|switch| named("kill switch", switch))
        .collect();
    let service = named("service", &view.service);
    let redis = named("redis", &view.redis);
    if height < 8 {
        // No room for headings: the switch, the waits in number, and what is unreachable.
        switches.truncate(1);
        let waits = (Tone::Plain, view.waits.len().to_string());
        let all = switches
            .into_iter()
            .chain([named("waits", &waits), service, redis]);
        return all.take(height).collect();
    }
    shorten(&mut switches, (height / 6).max(2));
    let mut page = vec![vec![
        (Tone::Head, view.title.clone()),
        (Tone::Dim, "   q or Ctrl-C leaves".to_owned()),
    ]];
    page.push(service);
    page.push(redis);
    page.append(&mut switches);
    page.extend(view.neighbours.iter().map(|text| named("neighbours", text)));
    if height >= 16 {
        let mut reviewers: Vec<Row> = view.reviewers.iter().map(|row| vec![row.clone()]).collect();
        shorten(&mut reviewers, height / 6);
        page.append(&mut reviewers);
    }
    let of = |mut heading: String| {
        if let Some(at) = view.as_of {
            heading += &format!(", as of {} ago", age(at));
        }
        vec![(Tone::Head, heading)]
    };
    let left = height.saturating_sub(page.len());
    let mut waits = match view.waits.len() {
        0 => vec![of("waits in progress: none".into())],
        count => {
            let heading = of(format!("waits in progress: {count}"));
            std::iter::once(heading)
                .chain(view.waits.iter().cloned())
                .collect()
        }
    };
    shorten(&mut waits, (left / 2).max(2));
    let left = left.saturating_sub(waits.len());
    let symbols = view.symbols.iter().map(|row| row.spans.clone());
    let mut symbols: Vec<Row> = std::iter::once(of("last plans".into()))
        .chain(symbols)
        .collect();
    let results = view.results.iter().map(|result| vec![result.clone()]);
    let results: Vec<Row> = std::iter::once(of("newest results".into()))
        .chain(results)
        .collect();
    // Results take what is left; two of them at least, where there is room for their heading at all.
    let least = if left >= 7 { 3 } else { 0 };
    shorten(&mut symbols, left - least);
    page.append(&mut waits);
    page.append(&mut symbols);
    if height >= page.len() + 2 {
        let room = height - page.len();
        page.extend(results.into_iter().take(room));
    }
    page.truncate(height);
    page
}

/// At most so many rows; the last one then says how many more there are.
fn shorten(rows: &mut Vec<Row>, most: usize) {
    if rows.len() > most {
        let more = rows.len() - most + 1;
        rows.truncate(most.saturating_sub(1));
        if most > 0 {
            rows.push(vec![(Tone::Dim, format!("… and {more} more"))]);
        }
    }
}

/// One line of at most this width; an ellipsis stands for what is cut off.
fn cut(row: Row, width: usize, colours: bool) -> Line<'static> {
    let whole: usize = row.iter().map(|(_, text)| columns(text)).sum();
    let room = if whole > width {
        width.saturating_sub(1)
    } else {
        width
    };
    let (mut line, mut used) = (Line::default(), 0);
    for (tone, text) in row {
        let mut kept = String::new();
        for c in text.chars() {
            let columns = columns(c.encode_utf8(&mut [0; 4]));
            if used + columns > room {
                break;
            }
            used += columns;
            kept.push(c);
        }
        let is_whole = kept.len() == text.len();
        if !is_whole && width > 0 {
            kept.push('…');
        }
        line.push_span(ratatui::text::Span::styled(kept, style(tone, colours)));
        if !is_whole {
            break;
        }
    }
    line
}

fn columns(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

fn style(tone: Tone, colours: bool) -> Style {
    let colour = |colour| match colours {
        true => Style::new().fg(colour),
        false => Style::new(),
    };
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => colour(Color::Green),
        Tone::Note => colour(Color::Yellow),
        Tone::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Dim => colour(Color::DarkGray),
        Tone::Head => Style::new().add_modifier(Modifier::BOLD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::SymbolRow;
    use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
    use tokio::time::Instant;

    const SIZES: [(u16, u16); 9] = [
        (80, 24),
        (40, 12),
        (200, 60),
        (20, 8),
        (80, 7),
        (30, 3),
        (8, 1),
        (2, 2),
        (1, 1),
    ];

    /// More of everything than any window holds, with words of another width than their characters.
    fn crowded() -> View {
        let symbols = (0..30).map(|i| SymbolRow {
            symbol: format!("S{i}USDT"),
            spans: vec![(
                Tone::Plain,
                format!("S{i}USDT 0123456789abcdef EXECUTE FULL_CLOSE_PROPOSED"),
            )],
            plan: None,
            result: None,
        });
        let wait = |i: usize| {
            vec![
                (Tone::Plain, format!("{i:016x}  BTCUSDT   320 ms")),
                (Tone::Good, "  governor yes".to_owned()),
                (Tone::Note, "  p33 missing".to_owned()),
            ]
        };
        View {
            title: "apply-layer  testnet".into(),
            service: (Tone::Good, "ready on http://127.0.0.1:8043".into()),
            redis: (Tone::Good, "redis://127.0.0.1:6379/0".into()),
            reviewers: vec![(Tone::Plain, "reviewer     p33 reads, 0 behind".into())],
            neighbours: Some((Tone::Note, "quantum:kill is set (1)".into())),
            switches: vec![
                (
                    Tone::Bad,
                    format!("ON, by /var/lib/apply-layer/HALT ({})", "停止 ".repeat(60)),
                ),
                (Tone::Bad, "ON, by quantum:global:kill_switch".into()),
            ],
            as_of: None,
            waits: (0..40).map(wait).collect(),
            symbols: symbols.collect(),
            results: (0..40)
                .map(|i| (Tone::Plain, format!("result {i} {}", "x".repeat(300))))
                .collect(),
        }
    }

    fn drawn(view: &View, (width, height): (u16, u16), colours: bool) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| draw(frame, Some(view), colours))
            .unwrap();
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let (width, height) = (buffer.area.width, buffer.area.height);
        let row = |y| {
            let (mut line, mut x) = (String::new(), 0);
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                line += symbol;
                // What is two columns wide has the cell behind it as well.
                x += u16::try_from(columns(symbol).max(1)).unwrap();
            }
            line
        };
        (0..height)
            .map(row)
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    fn find<'a>(lines: &'a [String], word: &str) -> &'a str {
        let found = lines.iter().find(|line| line.starts_with(word));
        found.unwrap_or_else(|| panic!("no line begins with {word:?}: {lines:#?}"))
    }

    #[test]
    fn switch_and_waits_are_in_every_window_that_has_two_rows() {
        for size in SIZES
            .into_iter()
            .filter(|(width, height)| *width >= 20 && *height >= 2)
        {
            let shown = lines(&drawn(&crowded(), size, true));
            assert!(
                find(&shown, "kill switch").contains("ON, by"),
                "{size:?}: {shown:#?}"
            );
            find(&shown, "waits");
        }
        for size in [(80, 24), (40, 12), (200, 60)] {
            let shown = lines(&drawn(&crowded(), size, true));
            find(&shown, "0000000000000000  BTCUSDT");
            find(&shown, "waits in progress: 40");
            find(&shown, "last plans");
            let more = shown
                .iter()
                .filter(|line| line.starts_with("… and "))
                .count();
            assert!(
                more >= 2,
                "waits and plans say how many more there are: {shown:#?}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis_at_the_edge() {
        for (width, height) in SIZES {
            let shown = lines(&drawn(&crowded(), (width, height), true));
            assert_eq!(shown.len(), usize::from(height));
            for line in &shown {
                assert!(
                    columns(line) <= usize::from(width),
                    "{width}x{height}: {line:?}"
                );
            }
        }
        let shown = lines(&drawn(&crowded(), (80, 24), true));
        let switch = find(&shown, "kill switch");
        assert!(switch.ends_with('…') && columns(switch) >= 79, "{switch:?}");
        assert!(find(&shown, "result 0").ends_with("x…"), "{shown:#?}");
        let service = find(&shown, "service");
        assert!(
            service.ends_with(":8043"),
            "what fits is not cut: {service:?}"
        );
    }

    #[test]
    fn a_large_window_has_everything_and_a_quiet_one_says_so() {
        let mut view = crowded();
        view.waits.truncate(1);
        view.symbols.truncate(3);
        let shown = lines(&drawn(&view, (200, 60), true));
        find(&shown, "S2USDT");
        find(&shown, "result 30");
        view.waits.clear();
        view.switches = vec![(Tone::Good, "off".into())];
        let shown = lines(&drawn(&view, (80, 24), true));
        find(&shown, "waits in progress: none");
        assert!(find(&shown, "kill switch").ends_with("off"));
    }

    #[test]
    fn what_was_seen_before_redis_was_lost_says_how_old_it_is() {
        let mut view = crowded();
        view.redis = (Tone::Bad, "unreachable for 12.0 s: refused".into());
        view.as_of = Some(Instant::now());
        let shown = lines(&drawn(&view, (80, 24), true));
        find(&shown, "redis        unreachable for 12.0 s");
        assert!(find(&shown, "waits").contains("as of "), "{shown:#?}");
    }

    #[test]
    fn without_colours_only_weight_is_left() {
        let tones = |colours| {
            let buffer = drawn(&crowded(), (80, 24), colours);
            let cells = buffer.content.iter();
            cells
                .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
                .count()
        };
        assert!(tones(true) > 0);
        assert_eq!(tones(false), 0);
    }

    #[test]
    fn q_escape_and_ctrl_c_leave_and_nothing_else_does() {
        use ratatui::crossterm::event::KeyEvent;
        let leaves = |code, modifiers| {
            let said = said_by(&Event::Key(KeyEvent::new(code, modifiers)));
            matches!(said, Some(Said::Leave))
        };
        assert!(leaves(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(leaves(KeyCode::Esc, KeyModifiers::NONE));
        assert!(leaves(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!leaves(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!leaves(KeyCode::Enter, KeyModifiers::NONE));
    }
}
