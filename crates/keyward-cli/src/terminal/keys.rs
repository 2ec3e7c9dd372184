//! Decodes pressed keys from the bytes that a terminal sends.

use std::collections::VecDeque;
use std::io;

use crate::platform::RawMode;

/// How long to wait for a key, in milliseconds: then the size of the terminal is checked.
const LOOK_EVERY: u32 = 200;
/// How long to wait for the rest of a key that begins with Esc, in milliseconds.
const ESCAPE: u32 = 50;

/// What a person can press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    /// Ctrl and a letter.
    Control(char),
    /// Something else, or nothing in time.
    Nothing,
}

/// The keyboard, with the echo and the signals of its keys off.
pub(super) struct Keyboard {
    mode: RawMode,
    /// Bytes that arrived together with earlier keys.
    typed: VecDeque<u8>,
}

impl Keyboard {
    pub(super) fn begin() -> io::Result<Self> {
        Ok(Self { mode: RawMode::begin()?, typed: VecDeque::new() })
    }

    /// The next key.
    pub(super) fn next(&mut self) -> io::Result<Key> {
        self.wait(LOOK_EVERY)?;
        let Some(first) = self.typed.pop_front() else { return Ok(Key::Nothing) };
        Ok(match first {
            b'\x1b' => return self.sequence(),
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x7f | 0x08 => Key::Backspace,
            0x01..=0x1a => Key::Control(char::from(first - 1 + b'a')),
            0x20..=0x7e => Key::Char(first.into()),
            0xc2..=0xf4 => return self.beyond_ascii(first),
            _ => Key::Nothing,
        })
    }

    fn wait(&mut self, milliseconds: u32) -> io::Result<()> {
        let mut bytes = [0; 64];
        if self.typed.is_empty() {
            self.typed.extend(self.mode.read(&mut bytes, Some(milliseconds))?);
        }
        Ok(())
    }

    fn sequence(&mut self) -> io::Result<Key> {
        self.wait(ESCAPE)?;
        match self.typed.front() {
            Some(b'[' | b'O') => drop(self.typed.pop_front()),
            _ => return Ok(Key::Escape),
        }
        // A sequence ends with a letter or a tilde (ECMA-48 section 5.4).
        let end = self.typed.iter().position(|b| (0x40..=0x7e).contains(b)).unwrap_or(self.typed.len());
        let sequence: Vec<u8> = self.typed.drain(..self.typed.len().min(end + 1)).collect();
        Ok(match &sequence[..] {
            b"A" => Key::Up,
            b"B" => Key::Down,
            b"H" | b"1~" | b"7~" => Key::Home,
            b"F" | b"4~" | b"8~" => Key::End,
            b"5~" => Key::PageUp,
            b"6~" => Key::PageDown,
            b"Z" => Key::BackTab,
            _ => Key::Nothing,
        })
    }

    /// A character with several bytes in UTF-8 (RFC 3629).
    fn beyond_ascii(&mut self, first: u8) -> io::Result<Key> {
        let mut bytes = vec![first];
        let more = match first {
            0xf0.. => 3,
            0xe0.. => 2,
            _ => 1,
        };
        for _ in 0..more {
            self.wait(ESCAPE)?;
            bytes.extend(self.typed.pop_front());
        }
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        Ok(text.chars().next().map_or(Key::Nothing, Key::Char))
    }
}
