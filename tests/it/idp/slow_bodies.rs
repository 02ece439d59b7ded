//! Clients that send a form too slowly.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use super::provider::Provider;

#[test]
fn a_form_that_does_not_arrive_in_time_is_408() {
    let provider = Provider::with(|settings| settings.server.body_timeout = Duration::from_secs(1));
    let mut stream = TcpStream::connect(("127.0.0.1", provider.server.port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(25)))
        .expect("a time limit");
    stream
        .write_all(
            b"POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\n\
              Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=",
        )
        .expect("sent");
    let mut response = [0; 12];
    stream.read_exact(&mut response).expect("a response before the body");
    assert_eq!(&response, b"HTTP/1.1 408");
}
