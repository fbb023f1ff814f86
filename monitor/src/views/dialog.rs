//! What asks for an answer.

use super::{boxed, span};
use crate::app::{App, Dialog, SIGNALS};
use crate::theme::Tone;
use chorus_protocol::{Order, name_engines};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph, Wrap};

pub fn draw(frame: &mut Frame<'_>, app: &App, all: Rect) {
    let Some(dialog) = &app.dialog else { return };
    let theme = &app.theme;
    let choice = |place: usize, chosen: usize, text: &str| {
        let line = Line::from(format!(" {text} "));
        if place == chosen { line.style(theme.cursor()) } else { line }
    };
    let (title, mut lines, keys) = match dialog {
        Dialog::Confirm(order) => {
            let order_text = order.to_string();
            let first = order_text.chars().next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            let question = format!("{first}{}?", order_text.chars().skip(1).collect::<String>());
            (
                "Sure?".to_owned(),
                vec![Line::from(question), consequence(order).into()],
                "y or Enter: do it   n or Esc: leave it",
            )
        }
        Dialog::Signal(engines, chosen) => {
            let lines = SIGNALS.iter().enumerate().map(|(place, (_, text))| choice(place, *chosen, text)).collect();
            (format!("Send a signal to {}", name_engines(engines)), lines, "up, down, Enter: go on   Esc: leave it")
        }
        Dialog::Scale(count, _) => {
            let there = app.figures().state.engines.values().filter(|it| !it.draining).count();
            let lines = vec![
                Line::from(format!("There are {there} engines. Have how many?  {count}")),
                Line::from("New ones are started; those of the highest numbers finish what they have and leave."),
            ];
            ("Scale".to_owned(), lines, "up, down or digits; Enter: do it   Esc: leave it")
        }
        Dialog::Clusters(names, chosen) => {
            let lines = names.iter().enumerate().map(|(place, name)| choice(place, *chosen, name)).collect();
            ("Which cluster?".to_owned(), lines, "up, down, Enter: show it   Esc: stay")
        }
        Dialog::Details(title, cells) => {
            let line = |(name, text): &(String, String)| {
                Line::from(vec![
                    span(theme, Tone::Dim, format!("{name:<18} ")),
                    span(theme, Tone::Normal, text.clone()),
                ])
            };
            (title.clone(), cells.iter().map(line).collect::<Vec<_>>(), "y: copy   Esc: close")
        }
    };
    lines.push(Line::default());
    lines.push(span(theme, Tone::Accent, keys).into());
    let width = all.width.saturating_sub(4).min(76);
    let wrapped = |line: &Line<'_>| line.width().div_ceil(usize::from(width.saturating_sub(4)).max(1)).max(1) as u16;
    let height = (lines.iter().map(wrapped).sum::<u16>() + 2).min(all.height);
    let area = Rect { x: (all.width - width) / 2, y: (all.height - height) / 2, width, height };
    let block =
        boxed(theme, span(theme, Tone::Warn, format!(" {title} ")).into()).border_style(theme.style(Tone::Warn));
    frame.render_widget(Clear, area);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inside);
}

/// What an order costs, so that nobody has to guess.
fn consequence(order: &Order) -> &'static str {
    match order {
        Order::Interrupt { .. } => {
            "What runs there ends, of all notebooks, and what is queued is dropped. Variables stay."
        }
        Order::Restart { .. } => "All notebooks lose their variables on them. The engines stay.",
        Order::Kill { .. } => {
            "The signal goes to the engines' processes. One that ends is started again, without variables."
        }
        Order::Drain { .. } => "They finish what they have, get nothing more and leave, with their variables.",
        Order::Scale { .. } | Order::Adapt(_) | Order::Add { .. } => "",
        Order::CancelTask { .. } => "Calls that need its result fail.",
        Order::CancelMap { .. } => "What is done of it remains.",
    }
}
