//! The size of a JSON text, before a reader believes it.

/// The library's readers copy and retry each level, so the cost of a lying file doubles with every
/// one. Real files nest 7 deep.
const NESTING_MAX: usize = 12;
/// Added tokens are most of them: thousands in real files. A pipeline of a million steps takes
/// seconds and gigabytes to read.
const OBJECTS_MAX: usize = 100_000;
/// A vocabulary of 262,144 tokens with its 514,906 merges has 1.3 million.
const STRINGS_MAX: usize = 2_000_000;

/// Refuses what would be costly to read, before it is read. Whether brackets match is the parser's
/// business.
pub fn check(json: &[u8]) -> Result<(), String> {
    let (mut depth, mut deepest, mut objects, mut strings) = (0usize, 0, 0, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                strings += 1;
            }
            b'{' => {
                depth += 1;
                objects += 1;
            }
            b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    for (name, value, limit) in [
        ("levels of nesting", deepest, NESTING_MAX),
        ("objects", objects, OBJECTS_MAX),
        ("strings", strings, STRINGS_MAX),
    ] {
        if value > limit {
            return Err(format!("has {value} {name}, more than {limit}"));
        }
    }
    Ok(())
}
