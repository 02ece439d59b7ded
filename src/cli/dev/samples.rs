//! The posts that a new `dev` database starts with: something to look at, and what to try next.

use actix_web::rt;
use uuid::Uuid;

use crate::{
    blog::{Blog, Content, Draft, Rights, Title, UserKey},
    config::{IdpUser, Settings},
    db::Database,
};

/// Stands for the address of the API in a content.
const API_URL: &str = "API_URL";

/// Title and content, oldest first. Whoever can sign in takes turns as the author.
const POSTS: [(&str, &str); 6] = [
    (
        "Why this site has no password of its own",
        "A web site that signs people in with Entra ID has to prove to Entra that it is itself. Usually it does so with a \
         client secret: a long password that both sides know.\n\nA shared secret can be shared further. It ends up in a \
         chat, in a ticket, in the history of a repository, and whoever finds it is the web site from then on.\n\nThis \
         site has a private key instead. Entra knows only the certificate, which anybody may see. For each request the \
         site signs a short statement with its key, and Entra checks the signature. There is nothing to leak on the way.",
    ),
    (
        "What happened when you signed in",
        "Your browser was sent to the identity provider, with a question and a code challenge. You picked an account \
         there, and came back with a code that is good once, for minutes, and for this site only.\n\nThe site exchanged \
         the code for tokens, and proved with its certificate that it may. The tokens stayed on the server. Your browser \
         got a cookie with an opaque session id, which means nothing to anybody else.\n\nThen the site asked the API for \
         this list, with an access token. The API checked its signature, issuer, audience, tenant, times and scope \
         before it said a word.",
    ),
    (
        "The identity provider here is a stand-in",
        "Anybody can sign in as anybody, so it listens on this machine only. In everything else it is strict: it looks \
         the certificate up, verifies the signature of each assertion, checks every claim in it, and refuses an \
         assertion that it has seen before. Its errors are those of Entra, number and all.\n\nReplace the certificate \
         that is registered for the site, and the next sign-in fails, with a page that says why.",
    ),
    (
        "Things to try",
        "Sign in as somebody else in a private window: you see the same posts, but can edit only your own.\n\nAsk the API \
         without a token, with curl -i API_URL/v1/posts, and read the WWW-Authenticate header.\n\nStop it \
         with Ctrl-C and start it again. Your posts are there: they were in the database before you saw them.",
    ),
    (
        "An edit that comes too late",
        "Open one of your posts for editing in two tabs. Change and save it in the first, then in the second.\n\nThe second \
         is told that the post has changed meanwhile, and nothing that you typed is lost. Each state of a post has a \
         version, and the form remembers the one that it was opened with.",
    ),
    (
        "When you have a tenant",
        "Two app registrations, a certificate and ten lines of settings make this the real thing. The command blogctl cert \
         new makes the key and the certificate; the README has the steps, one by one.\n\nUntil then, this is a safe place \
         to break things. Start over with blogctl dev --fresh.",
    ),
];

/// Those who may write where app roles decide, in turn; everybody when nobody may.
fn authors(users: &[IdpUser]) -> impl Iterator<Item = &IdpUser> {
    let only_reads = |user: &IdpUser| !user.roles.is_empty() && user.roles.iter().all(|role| role == "Blog.Reader");
    let nobody_writes = users.iter().all(only_reads);
    users
        .iter()
        .filter(move |user| nobody_writes || !only_reads(user))
        .cycle()
}

/// Writes them.
///
/// # Errors
/// When the database does not take them.
pub fn write(database: &Database, settings: &Settings) -> anyhow::Result<()> {
    let tid = Uuid::parse_str(&settings.idp.tenant_id)?;
    let blog = Blog::new(database.clone());
    let api_url = settings.client.api_base_url.as_str().trim_end_matches('/');
    rt::Runtime::new()?.block_on(async {
        for ((title, content), IdpUser { oid, name, .. }) in POSTS.iter().zip(authors(&settings.idp.users)) {
            let (author, _) = blog
                .ensure_user(
                    UserKey {
                        tenant_id: tid,
                        object_id: Uuid::parse_str(oid)?,
                    },
                    name,
                )
                .await?;
            let content = Content::parse(&content.replace(API_URL, api_url), settings.api.max_content_chars)?;
            blog.create(
                Rights::Write,
                &author,
                Draft {
                    title: Title::parse(title)?,
                    content,
                },
            )
            .await?;
        }
        Ok(())
    })
}
