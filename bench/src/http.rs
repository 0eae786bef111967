//! A blocking HTTP/1.1 client for one loopback connection. It costs the machine as little as it can.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::net::RecvFlags;

/// How a body is received.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Receive {
    /// The kernel drops the bytes: shows the server's side alone.
    Discard,
    /// Read into a buffer, as any real client does.
    Copy,
}

pub(crate) struct Client {
    connection: BufReader<TcpStream>,
    /// Header lines of every request, each ended by CRLF.
    headers: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// A path with its query; empty if there is none.
    pub(crate) location: String,
    length: usize,
}

impl Client {
    pub(crate) fn connect(port: u16, headers: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { connection: BufReader::with_capacity(16 << 10, stream), headers: headers.to_owned() })
    }

    /// Sends a request whose body is all of `parts`, and reads the answer up to its body.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        parts: &[&[u8]],
    ) -> Result<Answer> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{}\r\n",
            self.headers
        );
        let stream = self.connection.get_mut();
        stream.write_all(head.as_bytes())?;
        for part in parts {
            stream.write_all(part)?;
        }
        self.read_head().with_context(|| format!("{method} {path}"))
    }

    /// As [`Client::request`], with the body of the answer; any other status is an error that shows it.
    pub(crate) fn expect(
        &mut self,
        status: u16,
        method: &str,
        path: &str,
        kind: &str,
        parts: &[&[u8]],
    ) -> Result<(Answer, Vec<u8>)> {
        let answer = self.request(method, path, kind, parts)?;
        let mut body = vec![0; answer.length];
        self.connection.read_exact(&mut body)?;
        if answer.status != status {
            bail!(
                "{method} {path}: {} instead of {status}: {}",
                answer.status,
                String::from_utf8_lossy(&body)
            );
        }
        Ok((answer, body))
    }

    /// GETs `path`, which must be 200 and have `size` bytes, without keeping them.
    pub(crate) fn pull(&mut self, path: &str, size: usize, receive: Receive) -> Result<()> {
        let answer = self.request("GET", path, "text/plain", &[])?;
        if answer.status != 200 || answer.length != size {
            bail!("GET {path}: status {}, {} bytes instead of {size}", answer.status, answer.length);
        }
        let buffered = self.connection.buffer().len().min(size);
        self.connection.consume(buffered);
        let mut left = size - buffered;
        let mut buffer = vec![0; 256 << 10];
        let stream = self.connection.get_mut();
        while left > 0 {
            let most = left.min(buffer.len());
            let part = buffer.get_mut(..most).context("part of the buffer")?;
            let count = match receive {
                Receive::Discard => rustix::net::recv(&*stream, part, RecvFlags::TRUNC)?.1,
                Receive::Copy => stream.read(part)?,
            };
            if count == 0 {
                bail!("GET {path}: the connection ended {left} bytes early");
            }
            left = left.checked_sub(count).context("more bytes than announced")?;
        }
        Ok(())
    }

    fn read_head(&mut self) -> Result<Answer> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).context("no status line")?.parse()?;
        let mut answer = Answer { status, location: String::new(), length: 0 };
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(answer);
            }
            let (name, value) = line.split_once(':').context("a header without colon")?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => answer.length = value.trim().parse()?,
                "transfer-encoding" => bail!("a chunked answer, which this client does not read"),
                "location" => answer.location = without_origin(value.trim()).to_owned(),
                _ => {}
            }
        }
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.connection.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn without_origin(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else {
        return location;
    };
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/")
}
