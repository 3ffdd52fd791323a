//! The C interface (`tokenizers_ffi.h`): pointers are checked, panics are caught, errors become one
//! line of text.

mod outline;
mod tokenizer;

use std::any::Any;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::Once;

use tokenizer::{
    Arrays, Failure, FailureKind, Offsets, Options, PairTruncation, TextTokenizer, Truncation,
};

/// Longer messages are cut: they may quote an untrusted file.
const MESSAGE_CHARS_MAX: usize = 300;

#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

#[repr(C)]
pub struct EncodeOptions {
    add_special_tokens: i32,
    truncation: i32,
    pair_truncation: i32,
    offsets: i32,
    length_max: i32,
}

#[repr(C)]
pub struct EncodingView {
    ids: *const i32,
    types: *const i32,
    text_indices: *const i32,
    special: *const u8,
    word_ids: *const i32,
    offsets: *const i32,
    strings: *const u8,
    string_ends: *const usize,
    length: usize,
    length_before_truncation: usize,
    owner: *mut Arrays,
}

impl Text {
    fn new(text: String) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(text.into_bytes());
        Self { data: bytes.as_mut_ptr(), size: bytes.len(), capacity: bytes.capacity() }
    }
}

fn one_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect()
}

/// What a panic said, if it is fit to be told: at load it describes the file, later it may quote a
/// user's text.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "unknown panic",
    }
}

/// Runs `body`; what it reports, or that it panicked, becomes the return code and `message`.
///
/// # Safety
/// `message` is null or writable.
unsafe fn guard(message: *mut Text, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    static HOOK: Once = Once::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // The default hook prints to stderr, where a payload must not appear.
        HOOK.call_once(|| set_hook(Box::new(|_| {})));
        body()
    }));
    let failure = match outcome {
        Ok(Ok(())) => return 0,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(FailureKind::Internal, "the tokenizers library failed"),
    };
    if !message.is_null() {
        message.write(Text::new(one_line(&failure.message)));
    }
    match failure.kind {
        FailureKind::NotUtf8 => 1,
        FailureKind::TooLong => 2,
        FailureKind::Invalid => 3,
        FailureKind::Internal => 4,
    }
}

fn null_argument() -> Failure {
    Failure::new(FailureKind::Internal, "a null pointer was passed")
}

/// # Safety
/// `data` is null or points to `size` elements.
unsafe fn slice<'a, T>(data: *const T, size: usize) -> Result<&'a [T], Failure> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null_argument());
    }
    Ok(std::slice::from_raw_parts(data, size))
}

/// # Safety
/// As for `slice`.
unsafe fn utf8<'a>(data: *const u8, size: usize, name: &str) -> Result<&'a str, Failure> {
    // Offsets are 32 bits wide.
    if size > i32::MAX as usize {
        return Err(Failure::new(FailureKind::TooLong, format!("has a {name} over 2 GiB")));
    }
    std::str::from_utf8(slice(data, size)?).map_err(|e| {
        let message = format!("has a {name} that is not UTF-8 at byte {}", e.valid_up_to());
        Failure::new(FailureKind::NotUtf8, message)
    })
}

fn read_options(options: &EncodeOptions) -> Result<Options, Failure> {
    let unknown = |name: &str| Failure::new(FailureKind::Internal, format!("unknown {name}"));
    Ok(Options {
        add_special_tokens: options.add_special_tokens != 0,
        truncation: match options.truncation {
            0 => Truncation::Error,
            1 => Truncation::Left,
            2 => Truncation::Right,
            _ => return Err(unknown("truncation")),
        },
        pair_truncation: match options.pair_truncation {
            0 => PairTruncation::LongestFirst,
            1 => PairTruncation::First,
            2 => PairTruncation::Second,
            _ => return Err(unknown("truncation of pairs")),
        },
        offsets: match options.offsets {
            0 => Offsets::None,
            1 => Offsets::CodePoint,
            2 => Offsets::Byte,
            3 => Offsets::Utf16,
            _ => return Err(unknown("offset unit")),
        },
        length_max: usize::try_from(options.length_max).unwrap_or(0),
    })
}

/// # Safety
/// The pointers are as `tokenizers_ffi.h` says, here and below.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_load(
    json: *const u8,
    json_size: usize,
    tokenizer: *mut *mut TextTokenizer,
    message: *mut Text,
) -> i32 {
    guard(message, || {
        if tokenizer.is_null() {
            return Err(null_argument());
        }
        let json = slice(json, json_size)?;
        let loaded = catch_unwind(|| TextTokenizer::load(json))
            .unwrap_or_else(|panic| Err(Failure::new(FailureKind::Invalid, panic_text(&*panic))))?;
        tokenizer.write(Box::into_raw(Box::new(loaded)));
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_free(tokenizer: *mut TextTokenizer) {
    guard(std::ptr::null_mut(), || {
        if !tokenizer.is_null() {
            drop(Box::from_raw(tokenizer));
        }
        Ok(())
    });
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_encode(
    tokenizer: *const TextTokenizer,
    text: *const u8,
    text_size: usize,
    pair: *const u8,
    pair_size: usize,
    options: *const EncodeOptions,
    encoding: *mut EncodingView,
    message: *mut Text,
) -> i32 {
    guard(message, || {
        let tokenizer = tokenizer.as_ref().ok_or_else(null_argument)?;
        let options = read_options(options.as_ref().ok_or_else(null_argument)?)?;
        if encoding.is_null() {
            return Err(null_argument());
        }
        let text = utf8(text, text_size, "text")?;
        let pair = if pair.is_null() { None } else { Some(utf8(pair, pair_size, "second text")?) };
        let arrays = Box::new(tokenizer.encode(text, pair, &options)?);
        let with_text = options.offsets != Offsets::None;
        encoding.write(EncodingView {
            ids: arrays.ids.as_ptr(),
            types: arrays.types.as_ptr(),
            text_indices: arrays.text_indices.as_ptr(),
            special: arrays.special.as_ptr(),
            word_ids: if with_text { arrays.word_ids.as_ptr() } else { std::ptr::null() },
            offsets: if with_text { arrays.offsets.as_ptr() } else { std::ptr::null() },
            strings: if with_text { arrays.strings.as_ptr() } else { std::ptr::null() },
            string_ends: if with_text { arrays.string_ends.as_ptr() } else { std::ptr::null() },
            length: arrays.ids.len(),
            length_before_truncation: arrays.length_before_truncation,
            owner: Box::into_raw(arrays),
        });
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_encoding_free(encoding: *mut EncodingView) {
    guard(std::ptr::null_mut(), || {
        if let Some(view) = encoding.as_mut() {
            if !view.owner.is_null() {
                drop(Box::from_raw(view.owner));
                view.owner = std::ptr::null_mut();
            }
        }
        Ok(())
    });
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_decode(
    tokenizer: *const TextTokenizer,
    ids: *const i32,
    id_count: usize,
    skip_special_tokens: i32,
    text: *mut Text,
    message: *mut Text,
) -> i32 {
    guard(message, || {
        let tokenizer = tokenizer.as_ref().ok_or_else(null_argument)?;
        if text.is_null() {
            return Err(null_argument());
        }
        let decoded = tokenizer.decode(slice(ids, id_count)?, skip_special_tokens != 0)?;
        text.write(Text::new(decoded));
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_token(
    tokenizer: *const TextTokenizer,
    id: i32,
    text: *mut Text,
    message: *mut Text,
) -> i32 {
    guard(message, || {
        let tokenizer = tokenizer.as_ref().ok_or_else(null_argument)?;
        if text.is_null() {
            return Err(null_argument());
        }
        let token = tokenizer
            .token(id)
            .ok_or_else(|| Failure::new(FailureKind::Invalid, format!("there is no id {id}")))?;
        text.write(Text::new(token));
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_id(
    tokenizer: *const TextTokenizer,
    token: *const u8,
    token_size: usize,
) -> i32 {
    let mut id = -1;
    guard(std::ptr::null_mut(), || {
        let tokenizer = tokenizer.as_ref().ok_or_else(null_argument)?;
        id = tokenizer.id(utf8(token, token_size, "token")?).unwrap_or(-1);
        Ok(())
    });
    id
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_vocabulary_size(tokenizer: *const TextTokenizer) -> i32 {
    tokenizer.as_ref().map_or(0, TextTokenizer::vocabulary_size)
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_id_end(tokenizer: *const TextTokenizer) -> i32 {
    tokenizer.as_ref().map_or(0, TextTokenizer::id_end)
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn attnd_text_free(text: *mut Text) {
    if let Some(text) = text.as_mut() {
        if !text.data.is_null() {
            drop(Vec::from_raw_parts(text.data, text.size, text.capacity));
            text.data = std::ptr::null_mut();
        }
    }
}
