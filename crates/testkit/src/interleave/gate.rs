//! A proxy before PostgreSQL that holds every statement of a writer until it is let through.
//!
//! It reads the message frames of the protocol (PostgreSQL documentation, "Message Formats") and no
//! more, so that the program under test is the one that runs in production. Connections for reads pass.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// What an actor's connection has come to.
#[derive(Debug)]
pub(super) enum Event {
    /// It has a statement; the server's process `pid` will run it once `permit` is used.
    Wants { actor: usize, pid: i32, statement: String, permit: oneshot::Sender<()> },
    /// The server has answered the statement.
    Answered { actor: usize },
}

/// One actor's way to the database.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    /// Whether statements are held.
    pub(super) armed: Arc<AtomicBool>,
    _accepting: JoinSet<()>,
}

impl Gate {
    pub(super) async fn open(server: SocketAddr, actor: usize, events: mpsc::UnboundedSender<Event>) -> Gate {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback can be bound");
        let address = listener.local_addr().expect("it is bound");
        let armed = Arc::new(AtomicBool::new(false));
        let mut accepting = JoinSet::new();
        let held = Arc::clone(&armed);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (events, armed) = (events.clone(), Arc::clone(&held));
                connections.spawn(async move {
                    // A connection that breaks is the store's to notice.
                    let _ = serve(client, server, Frontend { actor, events, armed }).await;
                });
            }
        });
        Gate { address, armed, _accepting: accepting }
    }
}

struct Frontend {
    actor: usize,
    events: mpsc::UnboundedSender<Event>,
    armed: Arc<AtomicBool>,
}

/// What both directions of a connection know of it.
#[derive(Default)]
struct Shared {
    pid: AtomicI32,
    is_running: AtomicBool,
}

async fn serve(mut client: TcpStream, server: SocketAddr, frontend: Frontend) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // The first message has no type: its length, then the parameters of the session.
    let length = client.read_u32().await?;
    let mut parameters = vec![0; length as usize - 4];
    client.read_exact(&mut parameters).await?;
    server.write_u32(length).await?;
    server.write_all(&parameters).await?;
    let only_reads = String::from_utf8_lossy(&parameters).contains("default_transaction_read_only=on");

    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let shared = Arc::new(Shared::default());
    let answers =
        answers(from_server, to_client, Arc::clone(&shared), frontend.actor, frontend.events.clone());
    let statements = statements(from_client, to_server, &shared, &frontend, !only_reads);
    tokio::try_join!(statements, answers).map(drop)
}

/// Passes on what the client sends, a batch that ends in Sync or Query at a time.
async fn statements(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    frontend: &Frontend,
    is_writer: bool,
) -> std::io::Result<()> {
    let mut prepared: HashMap<Vec<u8>, String> = HashMap::new();
    let mut batch = Vec::new();
    let mut bound = None;
    loop {
        let start = batch.len();
        let Ok(kind) = client.read_u8().await else {
            return server.shutdown().await;
        };
        let length = client.read_u32().await?;
        batch.push(kind);
        batch.extend_from_slice(&length.to_be_bytes());
        batch.resize(start + 1 + length as usize, 0);
        let payload = start + 5;
        client.read_exact(&mut batch[payload..]).await?;

        let mut texts = batch[payload..].split(|byte| *byte == 0);
        let statement = match kind {
            b'P' => {
                let (name, sql) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
                prepared.insert(name.to_vec(), String::from_utf8_lossy(sql).into_owned());
                continue;
            }
            b'B' => {
                bound = prepared.get(texts.nth(1).unwrap_or_default()).cloned();
                continue;
            }
            b'Q' => Some(String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned()),
            b'S' => bound.take(),
            b'H' | b'X' => None,
            _ => continue,
        };
        if let Some(statement) = statement
            && is_writer
            && frontend.armed.load(Ordering::SeqCst)
        {
            let (permit, permitted) = oneshot::channel();
            let wants = Event::Wants {
                actor: frontend.actor,
                pid: shared.pid.load(Ordering::SeqCst),
                statement,
                permit,
            };
            if frontend.events.send(wants).is_ok() && permitted.await.is_ok() {
                shared.is_running.store(true, Ordering::SeqCst);
            }
        }
        server.write_all(&batch).await?;
        batch.clear();
    }
}

/// Passes on what the server answers.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: Arc<Shared>,
    actor: usize,
    events: mpsc::UnboundedSender<Event>,
) -> std::io::Result<()> {
    let mut held = Vec::new();
    loop {
        let Ok(kind) = server.read_u8().await else {
            return client.shutdown().await;
        };
        let length = server.read_u32().await?;
        let start = held.len();
        held.push(kind);
        held.extend_from_slice(&length.to_be_bytes());
        held.resize(start + 1 + length as usize, 0);
        server.read_exact(&mut held[start + 5..]).await?;
        if kind == b'K' {
            let pid = held[start + 5..start + 9].try_into().map(i32::from_be_bytes).unwrap_or_default();
            shared.pid.store(pid, Ordering::SeqCst);
        }
        // The client goes on as soon as it reads an error, which comes before the end of the answer.
        if shared.is_running.load(Ordering::SeqCst) {
            if kind != b'Z' {
                continue;
            }
            shared.is_running.store(false, Ordering::SeqCst);
            let _ = events.send(Event::Answered { actor });
        }
        client.write_all(&held).await?;
        held.clear();
    }
}
