//! Request line and headers.

use url::form_urlencoded;

use super::{Grammar, SampleRng};

pub struct Head {
    pub method: String,
    target: Vec<u8>,
    pub version: &'static str,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The server may answer with an error or close the connection.
    pub is_broken: bool,
}

impl Head {
    pub fn takes_body(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH")
    }

    /// The web server takes method and version from the request that it read last, not from the one that it answers. With
    /// HEAD or another version among several requests on one connection, bodies appear or are missing.
    pub fn may_share_a_connection(&self) -> bool {
        self.method != "HEAD" && self.version == "HTTP/1.1"
    }

    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.push((name.into(), value.into()));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [
            self.method.as_bytes(),
            b" ",
            &self.target,
            b" ",
            self.version.as_bytes(),
            b"\r\n",
        ]
        .concat();
        for (name, value) in &self.headers {
            bytes.extend([name, &b": "[..], value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes
    }
}

pub fn head(dice: &mut SampleRng, grammar: &Grammar) -> Head {
    const OTHERS: &[&str] = &[
        "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "get", "FOO", "PROPFIND", "A-B",
        "M-SEARCH", "POSTS",
    ];
    const BROKEN: &[&str] = &["G ET", "", "GET\t", "P\u{0}ST", "É", "CONNECT", "(GET)"];
    let mut is_broken = false;
    let (path, methods) = dice.pick(grammar.routes);
    let method = match dice.below(40) {
        0 => {
            is_broken = true;
            dice.pick(BROKEN)
        }
        1..=4 => dice.pick(OTHERS),
        _ => dice.pick(methods),
    };
    let version = match dice.below(60) {
        0 => {
            is_broken = true;
            dice.pick(&["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/1", "HTP/1.1", "", "http/1.1"])
        }
        1 | 2 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let (target, is_odd) = target(dice, grammar, path);
    let mut head = Head {
        method: method.to_owned(),
        target,
        version,
        headers: Vec::new(),
        is_broken: is_broken || is_odd,
    };
    head.add("Host", "localhost");
    if dice.chance(92) {
        let credential = grammar.credentials[dice.below(grammar.credentials.len())].clone();
        head.add(grammar.credential, credential);
    }
    if head.takes_body() && dice.chance(95) {
        let kind = if dice.chance(90) {
            grammar.content_type
        } else {
            dice.pick(CONTENT_TYPES)
        };
        head.add("Content-Type", kind);
    }
    for _ in 0..dice.below(4) {
        let (name, values) = dice.pick(HEADERS);
        let value = if dice.chance(85) {
            dice.pick(values).to_owned()
        } else {
            dice.text()
        };
        // A second Host is invalid (RFC 9112 §3.2).
        head.is_broken |= name == "Host" || value.bytes().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127));
        head.add(name, value);
    }
    if dice.chance(4) {
        break_a_header(dice, &mut head);
    }
    head
}

const CONTENT_TYPES: &[&str] = &[
    "",
    "application/json; charset=utf-8",
    "application/json;charset=utf-16",
    "APPLICATION/JSON",
    "text/plain",
    "json",
    "/",
    "application/merge-patch+json",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "a/b;c=\"",
];

const HEADERS: &[(&str, &[&str])] = &[
    (
        "Authorization",
        &[
            "Bearer",
            "Bearer a.b.c",
            "Basic YTpi",
            "Bearer eyJhbGciOiJub25lIn0.e30.",
        ],
    ),
    (
        "Accept",
        &[
            "application/json",
            "text/html",
            "*/*;q=0",
            "a/b;q=x",
            ",,,",
            "image/*, */*;q=0.1",
        ],
    ),
    (
        "Accept-Encoding",
        &[
            "gzip",
            "br, gzip;q=0.5",
            "identity;q=0",
            "*;q=0",
            "gzip;q=9",
            ",",
            "zstd;q=0.001",
        ],
    ),
    ("Accept-Language", &["de", "*", "x-y-z"]),
    (
        "If-Match",
        &[
            "*",
            "\"1-1\"",
            "W/\"1-1\"",
            "\"",
            "1-1",
            "\"a\", \"b\", *",
            "\"1-99999999999999999999\"",
        ],
    ),
    (
        "If-None-Match",
        &["*", "\"1-1\"", "W/\"1-1\"", "\"a\",,\"b\"", "W/", "\"\u{e9}\""],
    ),
    (
        "If-Modified-Since",
        &["Sat, 29 Oct 1994 19:43:31 GMT", "yesterday", "0"],
    ),
    ("If-Range", &["\"a\"", "0"]),
    ("Range", &["bytes=0-0", "bytes=-1", "bytes=9-1", "lines=1"]),
    ("Idempotency-Key", &["a", "\"b\"", "c d", "\"", "key-1", "key-2", "é"]),
    ("X-Request-ID", &["abc", "a b", "../x", "😀"]),
    (
        "traceparent",
        &[
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0-0-0",
            "ff-",
        ],
    ),
    ("Origin", &["null", "https://evil.example", "http://localhost", "a"]),
    ("Access-Control-Request-Method", &["PUT", "FOO", ""]),
    ("Access-Control-Request-Headers", &["authorization", "x,,y", " "]),
    ("Cookie", &["session=x", "__Host-session=a; b", "=;=;", "a=\"b"]),
    (
        "Forwarded",
        &[
            "for=1.2.3.4",
            "for=\"[::1]:99\";proto=https",
            "for=unknown, for=_x",
            "for=\"",
        ],
    ),
    (
        "X-Forwarded-For",
        &["1.2.3.4", "::1, 10.0.0.1", "999.1.1.1", ",", "127.0.0.1:80"],
    ),
    ("X-Forwarded-Proto", &["https", "gopher", ","]),
    ("X-Forwarded-Host", &["evil.example", "a b"]),
    ("X-HTTP-Method-Override", &["DELETE"]),
    ("Content-Encoding", &["identity", "gzip", "br", "deflate, gzip", "x"]),
    ("Expect", &["100-continue", "200-ok"]),
    ("Connection", &["keep-alive", "close", "keep-alive, close", "x"]),
    ("Sec-Fetch-Site", &["cross-site", "same-origin", "none"]),
    ("Host", &["evil.example", "", "a b", "localhost:99999", "[::1"]),
    ("Content-Type", &["application/json", "text/html"]),
    ("User-Agent", &["", "curl/8", "() { :; }; echo"]),
    ("X-Long", &["x"]),
];

fn break_a_header(dice: &mut SampleRng, head: &mut Head) {
    head.is_broken = true;
    match dice.below(7) {
        0 => head.add("X-Huge", vec![b'x'; 200_000]),
        1 => (0..200).for_each(|number| head.add(&format!("X-{number}"), "y")),
        2 => head.add("", "no name"),
        3 => head.add("X Space", "in the name"),
        4 => head.add("X-Fold", "a\r\n b"),
        5 => {
            let value = dice.bytes(30);
            head.add("X-Bytes", value);
        }
        _ => {
            let again = head.headers.clone();
            head.headers.extend(again);
        }
    }
}

/// Path and query, and whether the server may reject them as an invalid target.
fn target(dice: &mut SampleRng, grammar: &Grammar, path: &str) -> (Vec<u8>, bool) {
    let number = if dice.chance(80) {
        (1 + dice.below(400)).to_string()
    } else {
        percent(&dice.text())
    };
    let mut path = path.replace('#', &number).into_bytes();
    let mut is_odd = false;
    match dice.below(60) {
        0 => path.extend(format!("/{}", percent(&dice.text())).bytes()),
        1 => path.extend(b"/"),
        2 => path.splice(0..0, *b"//").for_each(drop),
        3 => path.extend(b"/../.."),
        4 => path.extend(b"%00%ff%"),
        5 => path.extend(vec![b'a'; 5000]),
        6 => {
            is_odd = true;
            let odd: [&[u8]; 6] = [b"*", b"http://localhost/health", b"x", b"", b"/\xff\xfe", b"/a b"];
            path = dice.pick(&odd).to_vec();
        }
        7 => {
            is_odd = true;
            dice.garble(&mut path);
        }
        _ => {}
    }
    if dice.chance(40) {
        path.push(b'?');
        for _ in 0..=dice.below(4) {
            let value = if dice.chance(40) {
                dice.below(1200).to_string()
            } else {
                dice.text()
            };
            let name = if dice.chance(90) {
                (dice.pick(grammar.parameters)).to_owned()
            } else {
                dice.text()
            };
            path.extend(format!("{}={}&", percent(&name), percent(&value)).bytes());
        }
    }
    // Longer than the longest head that the web server reads.
    is_odd |= path.len() > 30_000;
    (path, is_odd)
}

fn percent(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
