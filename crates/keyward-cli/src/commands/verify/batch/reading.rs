//! Reads lines into chunks: as many as are available, so that a single question is answered at once.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender};

use zeroize::Zeroizing;

use super::question::MOST_LINE;
use super::{CHUNK, Chunk, Room};

/// How many bytes are read at once.
const READ: usize = 64 * 1024;

/// Reads to the end of the input, or until no more answers are wanted.
pub(super) fn read(
    mut input: Box<dyn Read + Send>,
    rooms: &Receiver<Room>,
    questions: &SyncSender<Chunk>,
) -> std::io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0; READ]);
    // The beginning of an incomplete line: never longer than needed to see that the line is too long.
    let mut rest = Zeroizing::new(Vec::with_capacity(MOST_LINE + 1));
    let (mut place, mut number) = (0, 0);
    loop {
        let count = input.read(&mut buffer)?;
        let mut part = &buffer[..count];
        while part.contains(&b'\n') || count == 0 && !rest.is_empty() {
            let Ok(mut room) = rooms.recv() else { return Ok(()) };
            part = fill(&mut room, &mut rest, part, count == 0, &mut number);
            let bytes = room.input.len() as u64 + room.lines.len() as u64;
            // The receiver may be gone: then no more answers are wanted.
            if questions.send(Chunk { place, bytes, room }).is_err() {
                return Ok(());
            }
            place += 1;
        }
        let free = (MOST_LINE + 1).saturating_sub(rest.len());
        rest.extend_from_slice(&part[..part.len().min(free)]);
        if count == 0 {
            return Ok(());
        }
    }
}

/// Moves lines into the room, the first one after the remainder of the last read. Returns the new remainder.
fn fill<'p>(
    room: &mut Room,
    rest: &mut Zeroizing<Vec<u8>>,
    mut part: &'p [u8],
    is_end: bool,
    number: &mut u64,
) -> &'p [u8] {
    room.lines.clear();
    room.input.clear();
    let most = rest.len() + part.len();
    if room.input.capacity() < most {
        // Wiped, not moved, because it held credentials.
        room.input = Zeroizing::new(Vec::with_capacity(most));
    }
    while room.lines.len() < CHUNK {
        let Some(length) = part.iter().position(|&byte| byte == b'\n').or(is_end.then_some(0)) else { break };
        if is_end && rest.is_empty() {
            break;
        }
        let start = room.input.len();
        room.input.extend_from_slice(rest);
        room.input.extend_from_slice(&part[..length]);
        rest.clear();
        *number += 1;
        room.lines.push((*number, start..room.input.len()));
        part = part.get(length + 1..).unwrap_or_default();
    }
    part
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An input that arrives in pieces.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(count)
        }
    }

    /// The lines of each chunk, with their numbers.
    fn chunks(pieces: &[&[u8]]) -> Vec<Vec<(u64, Vec<u8>)>> {
        let (rooms, free) = mpsc::sync_channel(1_000);
        let (questions, asked) = mpsc::sync_channel(1_000);
        (0..1_000).for_each(|_| rooms.send(Room::default()).unwrap());
        read(Box::new(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect())), &free, &questions).unwrap();
        drop(questions);
        let lines = |chunk: Chunk| {
            let line = |(number, place): (u64, std::ops::Range<usize>)| (number, chunk.room.input[place].to_vec());
            chunk.room.lines.into_iter().map(line).collect()
        };
        asked.into_iter().map(lines).collect()
    }

    fn line(number: u64, text: &str) -> (u64, Vec<u8>) {
        (number, text.as_bytes().to_vec())
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        assert!(chunks(&[]).is_empty());
        assert_eq!(chunks(&[b"a"]), [[line(1, "a")]]);
        assert_eq!(chunks(&[b"a\n\nb\n"]), [[line(1, "a"), line(2, ""), line(3, "b")]]);
        assert_eq!(chunks(&[b"a", b"b", b"c\nd", b"\n", b"e"]), [[line(1, "abc")], [line(2, "d")], [line(3, "e")]]);
    }

    #[test]
    fn a_chunk_holds_no_more_lines_than_it_may() {
        let text = "x\n".repeat(2 * CHUNK + 1);
        let found = chunks(&[text.as_bytes()]);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [CHUNK, CHUNK, 1]);
        assert_eq!(found[2], [line(2 * CHUNK as u64 + 1, "x")]);
    }

    #[test]
    fn of_a_line_that_is_too_long_no_more_is_kept_than_shows_it() {
        let long = vec![b'x'; 10 * MOST_LINE];
        let found = chunks(&[&long, b"\nend"]);
        let lines: Vec<_> = found.into_iter().flatten().collect();
        assert_eq!((lines[0].0, lines[0].1.len()), (1, MOST_LINE + 1));
        assert_eq!(lines[1], line(2, "end"));
    }
}
