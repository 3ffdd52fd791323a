//! The tokenizers crate, narrowed to what attnd needs: truncation by call instead of by file, no
//! padding, flat arrays. Safe code only; `lib.rs` is the border to C++.

use crate::outline;
use tokenizers::models::ModelWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::utils::parallelism;
use tokenizers::{Encoding, PostProcessor, Tokenizer};

/// Real templates add at most 4 tokens (Whisper).
const ADDED_TOKENS_MAX: usize = 256;

#[derive(Clone, Copy, PartialEq)]
pub enum Truncation {
    Error,
    Left,
    Right,
}

/// Which text of a pair loses tokens.
#[derive(Clone, Copy, PartialEq)]
pub enum PairTruncation {
    LongestFirst,
    First,
    Second,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Offsets {
    None,
    CodePoint,
    Byte,
    Utf16,
}

pub struct Options {
    pub add_special_tokens: bool,
    pub truncation: Truncation,
    pub pair_truncation: PairTruncation,
    pub offsets: Offsets,
    pub length_max: usize,
}

#[derive(Clone, Copy)]
pub enum FailureKind {
    NotUtf8,
    TooLong,
    Invalid,
    Internal,
}

pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}

/// One encoded input. What stands below `special` is empty with `Offsets::None`.
#[derive(Default)]
pub struct Arrays {
    pub ids: Vec<i32>,
    pub types: Vec<i32>,
    pub text_indices: Vec<i32>,
    pub special: Vec<u8>,
    /// Counted in each text; -1 for special tokens.
    pub word_ids: Vec<i32>,
    pub offsets: Vec<i32>,
    pub strings: String,
    pub string_ends: Vec<usize>,
    pub length_before_truncation: usize,
}

pub struct TextTokenizer {
    /// Without its post-processor, so that `encode` yields what truncation has to see.
    tokenizer: Tokenizer,
    post_processor: Option<PostProcessorWrapper>,
    vocabulary_size: i32,
    id_end: i32,
}

impl TextTokenizer {
    pub fn load(json: &[u8]) -> Result<Self, Failure> {
        // No thread pool behind the caller's back, and no look at the environment.
        parallelism::set_parallelism(false);
        outline::check(json).map_err(invalid)?;
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| invalid(e.to_string()))?;
        tokenizer.with_truncation(None).map_err(|e| invalid(e.to_string()))?;
        tokenizer.with_padding(None);
        if let ModelWrapper::BPE(bpe) = tokenizer.get_model() {
            if bpe.dropout.is_some_and(|dropout| dropout != 0.0) {
                return Err(invalid("model.dropout is set; tokens would be random"));
            }
        }
        let post_processor = tokenizer.get_post_processor().cloned();
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);

        let vocabulary = tokenizer.get_vocab(true);
        let id_end = match vocabulary.values().max() {
            None => return Err(invalid("the vocabulary is empty")),
            Some(id) => *id as u64 + 1,
        };
        let mut loaded = Self { tokenizer, post_processor, vocabulary_size: 0, id_end: 0 };
        let id_end = id_end.max(loaded.check_post_processor()?);
        loaded.id_end = i32::try_from(id_end)
            .map_err(|_| invalid(format!("the id {} is over {}", id_end - 1, i32::MAX - 1)))?;
        loaded.vocabulary_size = vocabulary.len() as i32; // At most id_end strings would be usual.
        loaded.check_encodes()?;
        Ok(loaded)
    }

    pub fn vocabulary_size(&self) -> i32 {
        self.vocabulary_size
    }

    pub fn id_end(&self) -> i32 {
        self.id_end
    }

    pub fn token(&self, id: i32) -> Option<String> {
        self.tokenizer.id_to_token(u32::try_from(id).ok()?)
    }

    pub fn id(&self, token: &str) -> Option<i32> {
        i32::try_from(self.tokenizer.token_to_id(token)?).ok()
    }

    pub fn decode(&self, ids: &[i32], skip_special_tokens: bool) -> Result<String, Failure> {
        let mut unsigned = Vec::with_capacity(ids.len());
        for (i, &id) in ids.iter().enumerate() {
            if id < 0 || id >= self.id_end {
                return Err(invalid(format!("ids[{i}] is {id}, outside [0, {})", self.id_end)));
            }
            unsigned.push(id as u32);
        }
        self.tokenizer.decode(&unsigned, skip_special_tokens).map_err(|_| {
            Failure::new(FailureKind::Internal, "the tokenizer cannot decode these ids")
        })
    }

    pub fn encode(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &Options,
    ) -> Result<Arrays, Failure> {
        let mut first = self.encode_text(text, options.offsets)?;
        let mut second = pair.map(|p| self.encode_text(p, options.offsets)).transpose()?;

        let added =
            if options.add_special_tokens { self.added_tokens(second.is_some()) } else { 0 };
        let lengths = (first.len(), second.as_ref().map_or(0, Encoding::len));
        let length = lengths.0 + lengths.1 + added;
        if length > options.length_max {
            let kept = self.lengths_within_limit(lengths, added, second.is_some(), options)?;
            first = cut(first, kept.0, options.truncation);
            second = second.map(|encoding| cut(encoding, kept.1, options.truncation));
        }
        let encoding = self.post_process(first, second, options.add_special_tokens)?;
        if encoding.len() > options.length_max {
            let message = "the tokenizer added more tokens than it announced";
            return Err(Failure::new(FailureKind::Internal, message));
        }
        let mut arrays = self.flatten(&encoding, options.offsets)?;
        arrays.length_before_truncation = length;
        if options.offsets == Offsets::Utf16 {
            code_points_to_utf16(&mut arrays, [text, pair.unwrap_or("")]);
        }
        Ok(arrays)
    }

    fn lengths_within_limit(
        &self,
        lengths: (usize, usize),
        added: usize,
        is_pair: bool,
        options: &Options,
    ) -> Result<(usize, usize), Failure> {
        let limit = options.length_max;
        let too_long = |message: String| Failure::new(FailureKind::TooLong, message);
        if options.truncation == Truncation::Error {
            let length = lengths.0 + lengths.1 + added;
            return Err(too_long(format!(
                "has {length} tokens, more than the maximum length {limit}"
            )));
        }
        let Some(left) = limit.checked_sub(added) else {
            return Err(too_long(format!(
                "cannot be cut to the maximum length {limit}: {added} tokens are special"
            )));
        };
        if !is_pair {
            return Ok((left, 0));
        }
        kept_lengths(lengths, left, options.pair_truncation).ok_or_else(|| {
            too_long(format!(
                "cannot be cut to the maximum length {limit}: the text to cut is too short"
            ))
        })
    }

    fn encode_text(&self, text: &str, offsets: Offsets) -> Result<Encoding, Failure> {
        match offsets {
            Offsets::None => self.tokenizer.encode_fast(text, false),
            Offsets::Byte => self.tokenizer.encode(text, false),
            Offsets::CodePoint | Offsets::Utf16 => self.tokenizer.encode_char_offsets(text, false),
        }
        // The library's message may quote the text.
        .map_err(|_| Failure::new(FailureKind::Internal, "the tokenizer cannot encode this text"))
    }

    fn added_tokens(&self, is_pair: bool) -> usize {
        self.post_processor.as_ref().map_or(0, |processor| processor.added_tokens(is_pair))
    }

    fn post_process(
        &self,
        first: Encoding,
        mut second: Option<Encoding>,
        add_special_tokens: bool,
    ) -> Result<Encoding, Failure> {
        if let Some(encoding) = second.as_mut() {
            encoding.set_type_ids(vec![1; encoding.len()]);
        }
        let processed = match &self.post_processor {
            Some(processor) => processor.process(first, second, add_special_tokens),
            None => {
                let encodings = std::iter::once(first).chain(second).collect();
                <dyn PostProcessor>::default_process(encodings, add_special_tokens)
                    .map(|merged| Encoding::merge(merged, false))
            }
        };
        processed.map_err(|_| Failure::new(FailureKind::Internal, "the post-processor failed"))
    }

    fn flatten(&self, encoding: &Encoding, offsets: Offsets) -> Result<Arrays, Failure> {
        if !is_parallel(encoding) {
            let message = "the tokenizer made arrays of different lengths";
            return Err(Failure::new(FailureKind::Internal, message));
        }
        let mut arrays = Arrays {
            ids: Vec::with_capacity(encoding.len()),
            types: encoding.get_type_ids().iter().map(|&t| t as i32).collect(),
            special: encoding.get_special_tokens_mask().iter().map(|&s| s as u8).collect(),
            text_indices: encoding
                .get_sequence_ids()
                .into_iter()
                .map(|index| index.map_or(-1, |i| i as i32))
                .collect(),
            ..Default::default()
        };
        for &id in encoding.get_ids() {
            if id >= self.id_end as u32 {
                let message = format!("the tokenizer made id {id}, not below {}", self.id_end);
                return Err(Failure::new(FailureKind::Internal, message));
            }
            arrays.ids.push(id as i32);
        }
        if offsets != Offsets::None {
            let word_id = |word: &Option<u32>| word.map_or(-1, |id| id as i32);
            arrays.word_ids = encoding.get_word_ids().iter().map(word_id).collect();
            arrays.offsets.reserve(2 * encoding.len());
            for &(start, end) in encoding.get_offsets() {
                arrays.offsets.extend([start as i32, end as i32]);
            }
            for token in encoding.get_tokens() {
                arrays.strings.push_str(token);
                arrays.string_ends.push(arrays.strings.len());
            }
        }
        Ok(arrays)
    }

    /// Refuses a post-processor that repeats or drops a text or adds other than it announces:
    /// truncation counts on it. Returns one above the largest id that it adds.
    fn check_post_processor(&self) -> Result<u64, Failure> {
        let mut id_end = 0;
        for is_pair in [false, true] {
            let added = self.added_tokens(is_pair);
            if added > ADDED_TOKENS_MAX {
                let message =
                    format!("post_processor adds {added} tokens, over {ADDED_TOKENS_MAX}");
                return Err(invalid(message));
            }
            let second = is_pair.then(one_token);
            let encoding = self.post_process(one_token(), second, true)?;
            if !is_parallel(&encoding) {
                return Err(invalid("post_processor adds other numbers of ids and tokens"));
            }
            let texts = if is_pair { 2 } else { 1 };
            let special: u32 = encoding.get_special_tokens_mask().iter().sum();
            if encoding.len() != texts + added || special as usize != added {
                let message = "post_processor does not take each text exactly once";
                return Err(invalid(message));
            }
            let largest = encoding.get_ids().iter().max();
            id_end = id_end.max(largest.map_or(0, |&id| id as u64 + 1));
        }
        Ok(id_end)
    }

    /// A file that lacks its unknown token fails at the first strange character; better now than
    /// when serving.
    fn check_encodes(&self) -> Result<(), Failure> {
        for text in ["a", "\u{1F9FF}\u{E000}"] {
            self.tokenizer.encode(text, false).map_err(|e| invalid(e.to_string()))?;
        }
        Ok(())
    }
}

/// Whether each array has an element for each id. The library leaves that to the file, which may
/// name more ids than tokens for a special token; who reads the arrays counts on it.
fn is_parallel(encoding: &Encoding) -> bool {
    let (types, tokens) = (encoding.get_type_ids().len(), encoding.get_tokens().len());
    let (words, offsets) = (encoding.get_word_ids().len(), encoding.get_offsets().len());
    let lengths = [types, tokens, words, offsets, encoding.get_special_tokens_mask().len()];
    lengths.iter().all(|&length| length == encoding.len())
}

fn one_token() -> Encoding {
    Encoding::from_tokens(vec![tokenizers::Token::new(0, "a".to_string(), (0, 1))], 0)
}

/// How many tokens of each text stay when they exceed `limit`, as in the library; None if the text
/// to cut is too short. Computed here because the library also keeps all that it cuts off, as
/// further encodings, and combines those of a pair with each other.
fn kept_lengths(
    lengths: (usize, usize),
    limit: usize,
    strategy: PairTruncation,
) -> Option<(usize, usize)> {
    let (first, second) = lengths;
    match strategy {
        // The text to cut keeps at least one token.
        PairTruncation::First => Some((limit.checked_sub(second).filter(|&n| n > 0)?, second)),
        PairTruncation::Second => Some((first, limit.checked_sub(first).filter(|&n| n > 0)?)),
        PairTruncation::LongestFirst => {
            let short = first.min(second);
            let kept_short = if 2 * short <= limit { short } else { limit / 2 };
            let kept_long = limit - kept_short;
            Some(if first <= second { (kept_short, kept_long) } else { (kept_long, kept_short) })
        }
    }
}

fn cut(encoding: Encoding, length: usize, truncation: Truncation) -> Encoding {
    let before = encoding.len();
    if length >= before {
        return encoding;
    }
    let kept = match truncation {
        Truncation::Left => before - length..before,
        Truncation::Right | Truncation::Error => 0..length,
    };
    Encoding::new(
        encoding.get_ids()[kept.clone()].to_vec(),
        encoding.get_type_ids()[kept.clone()].to_vec(),
        encoding.get_tokens()[kept.clone()].to_vec(),
        encoding.get_word_ids()[kept.clone()].to_vec(),
        encoding.get_offsets()[kept.clone()].to_vec(),
        encoding.get_special_tokens_mask()[kept.clone()].to_vec(),
        encoding.get_attention_mask()[kept].to_vec(),
        vec![],
        Default::default(),
    )
}

/// The two units differ only behind a code point above U+FFFF.
fn code_points_to_utf16(arrays: &mut Arrays, texts: [&str; 2]) {
    let starts = texts.map(|text| {
        if !text.chars().any(|c| c.len_utf16() > 1) {
            return vec![];
        }
        let mut starts = vec![0];
        for c in text.chars() {
            starts.push(starts[starts.len() - 1] + c.len_utf16() as i32);
        }
        starts
    });
    for (offsets, &index) in arrays.offsets.chunks_exact_mut(2).zip(&arrays.text_indices) {
        if index < 0 || starts[index as usize].is_empty() {
            continue;
        }
        for offset in offsets {
            *offset = starts[index as usize][*offset as usize];
        }
    }
}
