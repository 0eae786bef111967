//! Headers that are there twice, and the two that may hold the date.

use wharfinger_httpsig::Error;

use crate::message::{Message, NOW};

const DATE: &str = "Tue, 24 Nov 2026 12:01:00 GMT";

#[test]
fn a_header_that_decides_may_be_there_once_only() {
    for name in ["date", "host", "content-length", "content-type", "x-content-sha256"] {
        let message = Message::signed("POST", "/n", &[], b"{}");
        let same = message.header(name).to_owned();
        let error = message.with_another(name, &same).check().unwrap_err();
        assert_eq!(error, Error::RepeatedHeader(name.parse().unwrap()));
    }
    let message = Message::signed("GET", "/n", &[("x-date", DATE)], b"").with_another("x-date", DATE);
    assert_eq!(message.check().unwrap_err(), Error::RepeatedHeader("x-date".parse().unwrap()));
}

#[test]
fn values_of_another_signed_header_are_joined_in_their_order() {
    let list = "date (request-target) host opc-meta";
    let string = format!("date: {DATE}\n(request-target): get /n\nhost: h\nopc-meta: b, a, b");
    let headers = |values: [&'static str; 3]| {
        let mut message = Message::new("GET", "/n", &[("host", "h"), ("date", DATE)], b"");
        for value in values {
            message = message.with_another("opc-meta", value);
        }
        message.signed_over(list, &string)
    };
    headers(["b", "a", "b"]).check().unwrap();
    assert_eq!(headers(["a", "b", "b"]).check().unwrap_err(), Error::WrongSignature);
}

#[test]
fn unsigned_headers_may_come_and_go() {
    Message::get()
        .with_another("accept", "a")
        .with_another("accept", "b")
        .with("x-date", "junk")
        .check()
        .unwrap();
}

#[test]
fn the_order_of_the_list_is_the_order_of_the_string() {
    let message = || Message::new("GET", "/n", &[("host", "h"), ("date", DATE)], b"");
    let string = format!("host: h\ndate: {DATE}\n(request-target): get /n");
    message().signed_over("host date (request-target)", &string).check().unwrap();
    let other = message().signed_over("date host (request-target)", &string);
    assert_eq!(other.check().unwrap_err(), Error::WrongSignature);
}

#[test]
fn an_empty_value_leaves_its_line_with_the_space() {
    let message = Message::new("GET", "/n", &[("host", "h"), ("date", DATE), ("opc-meta", "")], b"");
    let string = format!("date: {DATE}\n(request-target): get /n\nhost: h\nopc-meta: ");
    message.signed_over("date (request-target) host opc-meta", &string).check().unwrap();
}

#[test]
fn x_date_stands_for_date() {
    let message = Message::signed("GET", "/n", &[("x-date", DATE)], b"");
    assert!(message.parts.headers.get("date").is_none());
    message.check().unwrap();
    Message::signed("GET", "/n", &[("x-date", DATE), ("date", "junk that nobody signed")], b"")
        .check()
        .unwrap();
}

#[test]
fn of_two_signed_dates_both_must_be_near() {
    let old = "Tue, 24 Nov 2026 11:01:00 GMT";
    for (date, x_date, far) in [(old, DATE, "date"), (DATE, old, "x-date")] {
        let message = Message::new("GET", "/n", &[("host", "h"), ("date", date), ("x-date", x_date)], b"");
        let string = format!("date: {date}\nx-date: {x_date}\n(request-target): get /n\nhost: h");
        let error = message.signed_over("date x-date (request-target) host", &string).check().unwrap_err();
        assert_eq!(error, Error::Skew { header: far.parse().unwrap(), seconds: 3600 });
    }
}

#[test]
fn five_minutes_either_way_are_near() {
    for (offset, is_near) in [(-300, true), (300, true), (-301, false), (301, false)] {
        let mut message = Message::new("GET", "/n", &[("host", "h")], b"");
        let added = message.sign(NOW + offset).unwrap();
        message.parts.headers.extend(added);
        let outcome = message.check().map(|_| ());
        let far = Error::Skew { header: "date".parse().unwrap(), seconds: 301 };
        assert_eq!(outcome, if is_near { Ok(()) } else { Err(far) }, "{offset}");
    }
}
