//! A list to choose from, with a search, on the alternate screen.
//!
//! It always fits on the screen: no line is longer than the terminal is wide, and the list is as long as there is room
//! for. The person types words; items that contain all of them, in any order, are offered.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};

use console::{Style, measure_text_width, truncate_str};

use super::keys::{Key, Keyboard};
use super::{AlternateScreen, Answer, Section, Terminal};
use crate::error::Error;
use crate::platform;
use crate::text::clean;

/// Something to choose.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Facts shown beside it, as far as there is room; the same number for all items.
    pub facts: Vec<String>,
}

/// Lines that are not items: the question, the typed text, and the keys.
const OTHER_LINES: usize = 3;
/// The widest fact.
const FACT: usize = 24;
/// Blanks between columns.
const GAP: usize = 2;

/// The state of a choice.
struct Picker<'i> {
    question: &'i str,
    items: &'i [Item],
    /// The text by which an item is found, in lower case.
    texts: Vec<String>,
    is_many: bool,
    has_color: bool,
    typed: String,
    /// The items that are offered.
    offered: Vec<usize>,
    /// The position among them.
    at: usize,
    marked: BTreeSet<usize>,
}

/// The result of a key.
enum Step {
    On,
    Chosen(Vec<usize>),
    Left,
    Interrupted,
}

impl Terminal {
    /// Asks to choose one of `items`, or with `is_many` any number but at least one; returns their indexes.
    ///
    /// # Errors
    /// The error of `section` for an interruption; also if the terminal is gone.
    pub fn pick(
        &mut self,
        section: &Section,
        question: &str,
        items: &[Item],
        is_many: bool,
    ) -> Result<Answer<Vec<usize>>, Error> {
        if self.options.dumb {
            let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
            let answer = self.select_by_number(section, question, &names)?;
            return Ok(match answer {
                Answer::Given(place) => Answer::Given(vec![place]),
                Answer::Declined => Answer::Declined,
            });
        }
        let has_color = !self.options.no_color && self.options.color != super::ColorChoice::Never;
        let mut picker = Picker::new(question, items, is_many, has_color);
        let answer = picker.ask(section, &mut self.stderr);
        answer.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => section.interrupted(),
            _ => super::prompt::gone(&error),
        })
    }
}

impl<'i> Picker<'i> {
    fn new(question: &'i str, items: &'i [Item], is_many: bool, has_color: bool) -> Self {
        let text = |item: &Item| std::iter::once(&item.name).chain(&item.facts).cloned().collect::<Vec<_>>().join(" ");
        let texts = items.iter().map(|item| text(item).to_lowercase()).collect();
        let (typed, marked) = (String::new(), BTreeSet::new());
        let offered = (0..items.len()).collect();
        Self { question, items, texts, is_many, has_color, typed, offered, at: 0, marked }
    }

    fn ask(&mut self, section: &Section, out: &mut dyn io::Write) -> io::Result<Answer<Vec<usize>>> {
        let mut keyboard = Keyboard::begin()?;
        let mut screen = AlternateScreen::enter(section, out)?;
        let terminal = console::Term::stderr();
        let (mut top, mut drawn) = (0, None);
        loop {
            let (rows, columns) = terminal.size();
            let wanted = (rows, columns, section.returns());
            if drawn != Some(wanted) {
                let text = self.page(rows.into(), columns.into(), &mut top);
                screen.show(&text)?;
                drawn = Some(wanted);
            }
            let key = keyboard.next()?;
            if key != Key::Nothing {
                drawn = None;
            }
            match self.press(key, usize::from(rows).saturating_sub(OTHER_LINES).max(1)) {
                Step::On => {}
                Step::Chosen(places) => return Ok(Answer::Given(places)),
                Step::Left => return Ok(Answer::Declined),
                Step::Interrupted => return Err(ErrorKind::Interrupted.into()),
            }
        }
    }

    fn press(&mut self, key: Key, page: usize) -> Step {
        let last = self.offered.len().saturating_sub(1);
        match key {
            Key::Control('c') => return Step::Interrupted,
            Key::Escape => return Step::Left,
            Key::Control('z') => platform::stop_this_process(),
            Key::Enter => {
                let here = self.offered.get(self.at).copied();
                let chosen: Vec<usize> = if self.marked.is_empty() {
                    here.into_iter().collect()
                } else {
                    self.marked.iter().copied().collect()
                };
                if !chosen.is_empty() {
                    return Step::Chosen(chosen);
                }
            }
            Key::Tab | Key::BackTab if self.is_many => {
                if let Some(&item) = self.offered.get(self.at)
                    && !self.marked.remove(&item)
                {
                    self.marked.insert(item);
                }
                self.at = if key == Key::Tab { (self.at + 1).min(last) } else { self.at.saturating_sub(1) };
            }
            // All offered items, or none of them if all are marked already.
            Key::Control('a') if self.is_many => {
                let all_marked = self.offered.iter().all(|item| self.marked.contains(item));
                for item in &self.offered {
                    if all_marked {
                        self.marked.remove(item);
                    } else {
                        self.marked.insert(*item);
                    }
                }
            }
            Key::Up | Key::Control('p') | Key::BackTab => self.at = if self.at == 0 { last } else { self.at - 1 },
            Key::Down | Key::Control('n') | Key::Tab => self.at = if self.at >= last { 0 } else { self.at + 1 },
            Key::PageUp => self.at = self.at.saturating_sub(page),
            Key::PageDown => self.at = (self.at + page).min(last),
            Key::Home => self.at = 0,
            Key::End => self.at = last,
            Key::Backspace => {
                self.typed.pop();
                self.search();
            }
            Key::Control('u') => {
                self.typed.clear();
                self.search();
            }
            Key::Control('w') => {
                let rest = self.typed.trim_end().rfind(' ').map_or(0, |blank| blank + 1);
                self.typed.truncate(rest);
                self.search();
            }
            Key::Char(c) => {
                self.typed.push(c);
                self.search();
            }
            Key::Control(_) | Key::Nothing => {}
        }
        Step::On
    }

    fn words(&self) -> Vec<String> {
        self.typed.to_lowercase().split_whitespace().map(str::to_owned).collect()
    }

    /// Offers the items that contain all of the words. The current item stays current, if it is still offered.
    fn search(&mut self) {
        let here = self.offered.get(self.at).copied();
        let words = self.words();
        let holds = |item: &usize| words.iter().all(|word| self.texts[*item].contains(word.as_str()));
        self.offered = (0..self.items.len()).filter(holds).collect();
        self.at = here.and_then(|here| self.offered.iter().position(|item| *item == here)).unwrap_or(0);
    }

    /// The screen. `top` is the first item shown, and moves as little as possible.
    fn page(&self, rows: usize, columns: usize, top: &mut usize) -> String {
        let room = rows.saturating_sub(OTHER_LINES).max(1);
        *top = (*top).clamp((self.at + 1).saturating_sub(room), self.at).min(self.offered.len().saturating_sub(room));
        let shown = &self.offered[*top..self.offered.len().min(*top + room)];
        let widths = self.widths(columns);
        let mut lines = vec![cut(self.question, columns), cut(&self.status(), columns)];
        lines.extend(
            shown.iter().enumerate().map(|(line, &item)| self.row(item, *top + line == self.at, &widths, columns)),
        );
        if self.offered.is_empty() {
            lines.push(cut("  no match; change the search with Backspace or Ctrl-U", columns));
        }
        lines.push(self.style(Style::new().dim(), &cut(self.keys(), columns)));
        lines.truncate(rows.max(1));
        lines.join("\n")
    }

    fn status(&self) -> String {
        let all = self.items.len();
        let count =
            if self.offered.len() == all { all.to_string() } else { format!("{} of {all}", self.offered.len()) };
        let marked = if self.marked.is_empty() { String::new() } else { format!(", {} marked", self.marked.len()) };
        format!("> {}_  ({count}{marked})", clean(&self.typed))
    }

    fn keys(&self) -> &'static str {
        if self.is_many {
            "Enter: choose  Tab: mark  Ctrl-A: mark all  Esc: cancel  type to search"
        } else {
            "Enter: choose  Esc: cancel  ↑ ↓: move  type to search  Ctrl-U: clear"
        }
    }

    /// The widths of the name and of each fact that fits.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let widest = |text: &dyn Fn(&Item) -> usize| self.items.iter().map(text).max().unwrap_or(0);
        let name = widest(&|item| measure_text_width(&item.name));
        let room = columns.saturating_sub(self.indent());
        let mut widths = vec![name.min((room / 2).max(16)).min(room)];
        let mut used = widths[0];
        for fact in 0..self.items.first().map_or(0, |item| item.facts.len()) {
            let width = widest(&|item| measure_text_width(&item.facts[fact])).min(FACT);
            if used + GAP + width > room {
                break;
            }
            used += GAP + width;
            widths.push(width);
        }
        // The name gets the rest.
        widths[0] = name.min(widths[0] + (room - used));
        widths
    }

    fn indent(&self) -> usize {
        if self.is_many { 6 } else { 2 }
    }

    fn row(&self, item: usize, is_here: bool, widths: &[usize], columns: usize) -> String {
        let Item { name, facts } = &self.items[item];
        let mut text = String::from(if is_here { "❯ " } else { "  " });
        if self.is_many {
            text.push_str(if self.marked.contains(&item) { "[x] " } else { "[ ] " });
        }
        let name = cut(name, widths[0]);
        let blanks = widths[0].saturating_sub(measure_text_width(&name));
        text.push_str(&self.with_matches(&name));
        text.push_str(&" ".repeat(blanks));
        for (fact, width) in facts.iter().zip(&widths[1..]) {
            let fact = cut(fact, *width);
            let blanks = width.saturating_sub(measure_text_width(&fact));
            text.push_str(&format!(
                "{}{}{}",
                " ".repeat(GAP),
                self.style(Style::new().dim(), &fact),
                " ".repeat(blanks)
            ));
        }
        truncate_str(text.trim_end(), columns, "…").into_owned()
    }

    /// The name with the typed words in bold.
    fn with_matches(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        // If lower-case letters take more bytes, positions in the two differ.
        if lower.len() != name.len() || !self.has_color {
            return name.to_owned();
        }
        let mut is_match = vec![false; name.len()];
        for word in self.words() {
            for (start, found) in lower.match_indices(word.as_str()) {
                is_match[start..start + found.len()].fill(true);
            }
        }
        let mut text = String::new();
        let mut rest = name.char_indices().peekable();
        while let Some(&(start, _)) = rest.peek() {
            let mut end = name.len();
            while let Some(&(place, _)) = rest.peek() {
                if is_match[place] != is_match[start] {
                    end = place;
                    break;
                }
                rest.next();
            }
            let part = &name[start..end];
            text.push_str(&if is_match[start] {
                self.style(Style::new().bold().underlined(), part)
            } else {
                part.to_owned()
            });
        }
        text
    }

    fn style(&self, style: Style, text: &str) -> String {
        if self.has_color { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }
}

/// As much of a text as fits, without anything that a terminal obeys.
fn cut(text: &str, width: usize) -> String {
    truncate_str(&clean(text), width, "…").into_owned()
}
