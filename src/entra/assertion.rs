//! The client assertion (RFC 7523 §2.2, Microsoft Learn "certificate credentials"): made fresh for every request.
