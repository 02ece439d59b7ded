//! How much space drafts may take.

/// Most drafts of one author; the oldest goes first.
pub const MAX_DRAFTS_PER_AUTHOR: usize = 20;
/// Most bytes of one author's drafts; the oldest goes first. Fits two of the longest forms.
pub const MAX_BYTES_PER_AUTHOR: usize = 8 * 1024 * 1024;
/// Most bytes of all drafts. In memory the least recently used author's drafts go first, in Redis the oldest.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
