//! Unpredictable values: codes, refresh tokens, cookies, token ids.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// 244 random bits from the system's generator, as 64 hexadecimal digits.
pub fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// For `trace_id` and `sid`.
pub fn guid() -> String {
    Uuid::new_v4().to_string()
}

/// For `uti`.
pub fn token_id() -> String {
    URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}
