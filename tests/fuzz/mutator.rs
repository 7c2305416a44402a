//! Damage to packets that are nearly right still: most of what it makes has a fixed header in order,
//! and so gets past the first check and into the decoder of its type.

use crate::dice::Dice;

/// Bytes that begin or end something: limits of lengths, flags and codes, wildcards, and the first
/// bytes of what UTF-8 does not allow.
const TELLING: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x7F, 0x80, 0x81, 0x83, 0xC0, 0xED, 0xEF, 0xF4, 0xFE, 0xFF,
    b'#', b'+', b'/', b'$',
];

/// A property of each form of value, whole: identifier and value.
const PROPERTIES: &[&[u8]] = &[
    &[0x01, 0x01],
    &[0x02, 0, 0, 0, 9],
    &[0x03, 0, 1, b't'],
    &[0x08, 0, 3, b'r', b'/', b't'],
    &[0x09, 0, 2, 0xFF, 0x00],
    &[0x0B, 0x07],
    &[0x0B, 0xFF, 0xFF, 0xFF, 0x7F],
    &[0x11, 0, 0, 0, 60],
    &[0x12, 0, 1, b'i'],
    &[0x13, 0, 10],
    &[0x15, 0, 1, b'm'],
    &[0x16, 0, 1, 0],
    &[0x17, 1],
    &[0x18, 0, 0, 0, 1],
    &[0x19, 1],
    &[0x1A, 0, 0],
    &[0x1C, 0, 1, b's'],
    &[0x1F, 0, 1, b'r'],
    &[0x21, 0, 1],
    &[0x22, 0, 1],
    &[0x23, 0, 1],
    &[0x24, 1],
    &[0x25, 1],
    &[0x26, 0, 1, b'k', 0, 1, b'v'],
    &[0x27, 0, 0, 1, 0],
    &[0x28, 1],
    &[0x29, 1],
    &[0x2A, 1],
    &[0x30, 1],
];

/// Damages a packet a few times. `other` is another one, to take pieces from.
pub fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=dice.below(4) {
        once(dice, bytes, other);
    }
    if !dice.once_in(4) {
        mend(bytes);
    }
}

fn once(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = dice.below(bytes.len());
    match dice.below(14) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
        1 | 2 if !bytes.is_empty() => bytes[at] = *dice.pick(TELLING),
        3 if !bytes.is_empty() => bytes[at] = dice.byte(),
        4 => bytes.insert(at, *dice.pick(TELLING)),
        5 => drop(bytes.drain(at..at + dice.below(bytes.len() - at + 1).min(8))),
        6 => {
            let piece = bytes[at..at + dice.below(bytes.len() - at + 1).min(32)].to_vec();
            bytes.splice(at..at, piece);
        }
        7 if !other.is_empty() => {
            let from = dice.below(other.len());
            let to = from + dice.below(other.len() - from + 1);
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        8 if !other.is_empty() => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
        }
        9 => edit_length(dice, bytes),
        10 => swap_property(dice, bytes),
        11 | 12 => add_property(dice, bytes),
        _ => edit_remaining_length(dice, bytes),
    }
}

/// Where the body begins: after the first byte and those of the Remaining Length.
fn body(bytes: &[u8]) -> usize {
    let more = bytes.iter().skip(1).take(3);
    let more = more.take_while(|&&byte| byte >= 0x80).count();
    bytes.len().min(2 + more)
}

/// Makes the Remaining Length what it has to be, in its shortest form.
pub fn mend(bytes: &mut Vec<u8>) {
    let Some(&first) = bytes.first() else { return };
    let rest = bytes.split_off(body(bytes));
    bytes.clear();
    bytes.push(first);
    let mut length = rest.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(rest);
}

/// Changes two bytes that may be the length of a string: they count no more than there is after them.
fn edit_length(dice: &mut Dice, bytes: &mut [u8]) {
    let length = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let places = body(bytes)..bytes.len().saturating_sub(1);
    let places: Vec<usize> = places.filter(|&at| length(at) <= bytes.len()).collect();
    if places.is_empty() {
        return;
    }
    let at = *dice.pick(&places);
    let edited = match dice.below(5) {
        0 => length(at) + 1,
        1 => length(at).wrapping_sub(1),
        2 => 0,
        3 => 0xFFFF,
        _ => bytes.len() - at - 2,
    };
    bytes[at..at + 2].copy_from_slice(&(edited as u16).to_be_bytes());
}

/// Puts another property's identifier in the place of a byte that may be one.
fn swap_property(dice: &mut Dice, bytes: &mut [u8]) {
    let known = |byte: u8| PROPERTIES.iter().any(|property| property[0] == byte);
    let places: Vec<usize> = (body(bytes)..bytes.len())
        .filter(|&at| known(bytes[at]))
        .collect();
    if !places.is_empty() {
        bytes[*dice.pick(&places)] = dice.pick(PROPERTIES)[0];
    }
}

/// Adds a whole property after a byte that may be the length of a section, and to that length.
fn add_property(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let fits = |at: usize| at + usize::from(bytes[at]) < bytes.len() && bytes[at] < 0x60;
    let places: Vec<usize> = (body(bytes)..bytes.len()).filter(|&at| fits(at)).collect();
    if places.is_empty() {
        return;
    }
    let at = *dice.pick(&places);
    let property = *dice.pick(PROPERTIES);
    bytes[at] += property.len() as u8;
    bytes.splice(at + 1..at + 1, property.iter().copied());
}

/// Makes the Remaining Length longer than need be, wrong, or endless.
fn edit_remaining_length(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.len() < 2 {
        return;
    }
    let last = body(bytes) - 1;
    match dice.below(4) {
        0 => {
            bytes[last] |= 0x80;
            bytes.insert(last + 1, 0);
        }
        1 => bytes[last] = bytes[last].wrapping_add(1) & 0x7F,
        2 => bytes[last] = bytes[last].wrapping_sub(1) & 0x7F,
        _ => drop(bytes.splice(1..=last, [0xFF; 4])),
    }
}
