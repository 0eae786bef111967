//! What a page of a long list costs the server.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{EngineKind, Program};
use wharfinger_testkit::rows;

const FEW: i64 = 1_000;
const MANY: i64 = 100_000;
const ROUNDS: usize = 5;
const REQUESTS: u32 = 1_500;

struct Server {
    program: Program,
    user: Client,
}

impl Server {
    async fn with_rows(engine: EngineKind, count: i64) -> Server {
        let mut program = Program::start(engine);
        let user = program.new_user("reader");
        let image = program.image("lists/tags");
        program.administrator().push_image(&image, "first", &Bytes::from_static(b"layer")).await.unwrap();
        program.stop();
        rows::fill(&program.location(), count).await;
        program.restart();
        let user = user.at(program.address());
        Server { program, user }
    }

    /// Microseconds of processor time a request, over one connection.
    async fn cost(&self, list: &List) -> f64 {
        let administrator = self.program.administrator();
        let client = if list.is_administrator { &administrator } else { &self.user };
        let path = list.path.replace("NAMESPACE", &self.program.bootstrap.namespace);
        let stream = TcpStream::connect(self.program.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let asking = async {
            let mut before = Duration::ZERO;
            for number in 0..REQUESTS + REQUESTS / 10 {
                if number == REQUESTS / 10 {
                    before = self.program.cpu_time();
                }
                let request = Request::get(&path)
                    .header(header::HOST, self.program.address().to_string())
                    .header(header::AUTHORIZATION, client.authorization().unwrap())
                    .body(Empty::<Bytes>::new())
                    .unwrap();
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let entries = serde_json::from_slice::<serde_json::Value>(&body).unwrap();
                assert_eq!(entries[list.field].as_array().unwrap().len(), list.entries, "{path}");
            }
            (self.program.cpu_time() - before).as_secs_f64() * 1e6 / f64::from(REQUESTS)
        };
        tokio::select! {
            cost = asking => cost,
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    }
}

struct List {
    name: &'static str,
    path: &'static str,
    field: &'static str,
    entries: usize,
    is_administrator: bool,
}

const LISTS: [List; 4] = [
    List {
        name: "tags, administrator",
        path: "/v2/NAMESPACE/lists/tags/tags/list?n=100",
        field: "tags",
        entries: 100,
        is_administrator: true,
    },
    List {
        name: "tags, administrator, from the middle",
        path: "/v2/NAMESPACE/lists/tags/tags/list?n=100&last=v000500",
        field: "tags",
        entries: 100,
        is_administrator: true,
    },
    List {
        name: "catalog, administrator",
        path: "/v2/_catalog?n=100",
        field: "repositories",
        entries: 100,
        is_administrator: true,
    },
    List {
        name: "catalog, user who sees ten",
        path: "/v2/_catalog?n=100",
        field: "repositories",
        entries: 10,
        is_administrator: false,
    },
];

pub(crate) async fn cost_no_more_when_long(engine: EngineKind) {
    let few = Server::with_rows(engine, FEW).await;
    let many = Server::with_rows(engine, MANY).await;
    for list in &LISTS {
        let (mut costs_of_few, mut costs_of_many) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            costs_of_few.push(few.cost(list).await);
            costs_of_many.push(many.cost(list).await);
        }
        let (few, many) = (median(costs_of_few), median(costs_of_many));
        println!(
            "{engine:?}: {}: {few:.0} us of CPU a request at {FEW} entries, {many:.0} us at {MANY}: {:.2} x",
            list.name,
            many / few
        );
        assert!(many <= 2.0 * few, "{}: {many} us instead of {few}", list.name);
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
