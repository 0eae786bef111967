//! Everything that somebody may show who must not get in.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wharfinger_e2e::token::Forger;
use wharfinger_testkit::http::Client;

use super::refresh::refresh_token;
use super::server::Server;

/// What is shown, and a client that shows it.
type Shown = (&'static str, Client);

/// Clients by the column of the table that they belong to.
pub(super) struct Credentials {
    by_column: HashMap<&'static str, Vec<Shown>>,
    pub(super) forger: Forger,
}

impl Credentials {
    pub(super) async fn new(server: &Server) -> Self {
        let program = &server.program;
        let anonymous = program.anonymous();
        let administrator = program.administrator();
        let namespace = &program.bootstrap.namespace;
        let name = format!("{namespace}/{}", program.bootstrap.username);
        let token_of = async |client: &Client| {
            let token = client.token(&[]).await;
            client.bearer(&token.expect("the user gets a token"))
        };
        let (powerless, stranger) = (&server.powerless, &server.stranger);
        let powerless_token = token_of(powerless).await;
        let stranger_token = token_of(stranger).await;
        let anonymous_token = token_of(&anonymous).await;

        // Both would be mighty: it is not for lack of rights that they are refused.
        let [revoked, inactive] = ["revoked", "inactive"].map(|name| {
            let user = program.new_user(name);
            program.admin(&["group", "add-user", "Administrators", name]);
            user
        });
        let revoked_token = token_of(&revoked).await;
        let inactive_token = token_of(&inactive).await;
        let tokens = program.admin(&["auth-token", "list", "--user", "revoked"]);
        let id = tokens[0]["id"].as_str().expect("a token has an id");
        program.admin(&["auth-token", "delete", "--user", "revoked", id]);
        program.admin(&["user", "update", "inactive", "--active", "false"]);

        let pull = administrator.token(&[&format!("repository:{}:pull", server.image)]).await;
        let forger = Forger::new(program, &administrator).await;
        let mut forged = forger.forged();
        let refresh = refresh_token(&server.program.administrator()).await;
        forged.push(("a refresh token", refresh.expect("the administrator gets a refresh token")));
        let as_password = |token: &Client| {
            let token = token.authorization().and_then(|value| value.strip_prefix("Bearer "));
            anonymous.basic("BEARER_TOKEN", token.expect("the client shows a token"))
        };
        let both =
            |client: Client| vec![("a token", client.clone()), ("a token as password", as_password(&client))];
        let pull = anonymous.bearer(&pull.expect("the administrator gets a token"));
        let mut forged: Vec<Shown> =
            forged.into_iter().map(|(what, token)| (what, anonymous.bearer(&token))).collect();
        forged.push(("as a password", as_password(&forged[0].1)));
        let one = |what: &'static str, client: Client| vec![(what, client)];
        let by_column = HashMap::from([
            ("none", vec![("nothing", anonymous.clone()), ("an empty name", anonymous.basic("", ""))]),
            ("malformed", malformed(&anonymous)),
            ("two", one("both", administrator.authorized_twice())),
            (
                "wrong",
                vec![
                    ("another password", anonymous.basic(&name, "wrong")),
                    ("no password", anonymous.basic(&name, "")),
                    ("the password of another", anonymous.basic(&name, &server.powerless_password)),
                    (
                        "the password and more",
                        anonymous.basic(&name, &format!("{}x", program.bootstrap.auth_token)),
                    ),
                    ("a deleted one", revoked),
                ],
            ),
            (
                "unknown",
                vec![
                    ("user", anonymous.basic(&format!("{namespace}/nobody"), "wrong")),
                    ("tenancy", anonymous.basic("nosuchtenancy/admin", &program.bootstrap.auth_token)),
                    (
                        "domain",
                        anonymous.basic(&format!("{namespace}/none/admin"), &program.bootstrap.auth_token),
                    ),
                    ("form", anonymous.basic(&program.bootstrap.username, &program.bootstrap.auth_token)),
                ],
            ),
            ("inactive", one("a user", inactive)),
            ("stranger", one("the administrator of another tenancy", stranger.clone())),
            ("powerless", one("a user", powerless.clone())),
            ("anonymous", one("a token", anonymous_token)),
            ("expired", both(anonymous.bearer(&forger.expired()))),
            ("forged", forged),
            ("revoked", both(revoked_token)),
            ("inactive's", both(inactive_token)),
            ("stranger's", one("a token", stranger_token)),
            ("powerless's", one("a token", powerless_token)),
            ("pull-login", one("a token as password", as_password(&pull))),
            ("pull", one("a token", pull)),
        ]);
        Self { by_column, forger }
    }

    /// What belongs into a column.
    pub(super) fn of(&self, column: &str) -> &[Shown] {
        self.by_column.get(column).unwrap_or_else(|| panic!("nothing is shown for the column `{column}`"))
    }
}

fn malformed(anonymous: &Client) -> Vec<Shown> {
    let basic = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
    [
        ("an empty value", String::new()),
        ("a scheme alone", "Basic".to_owned()),
        ("another scheme alone", "Bearer".to_owned()),
        ("no scheme", "YWRtaW46YWRtaW4=".to_owned()),
        ("another scheme", "Digest username=\"admin\"".to_owned()),
        ("two schemes", "Basic Bearer YWRtaW46YWRtaW4=".to_owned()),
        ("no base64", "Basic !!!".to_owned()),
        ("base64 that is cut", "Basic YWRtaW46YWRtaW4".to_owned()),
        ("no colon", basic(b"admin")),
        ("no text", basic(b"\xff\xfe:\xff")),
        ("two in one", format!("{}, {}", basic(b"a:b"), basic(b"c:d"))),
    ]
    .into_iter()
    .map(|(what, value)| (what, anonymous.authorized(value)))
    .collect()
}
