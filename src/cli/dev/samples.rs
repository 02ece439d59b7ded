//! The posts in a new `dev` database: something to look at, and ideas what to try next.

use actix_web::rt;
use uuid::Uuid;

use crate::{
    blog::{Blog, Content, Draft, Rights, Title, UserKey},
    config::{IdpUser, Settings},
    db::Database,
};

/// Placeholder for the URL of the API in a post.
const API_URL: &str = "API_URL";

/// Title and content, oldest first. The users take turns as authors.
const POSTS: [(&str, &str); 6] = [
    (
        "Why this site has no password",
        "A web site that signs users in with Entra ID must prove its identity to Entra ID. Most sites do so with a client \
         secret: a long password that both sides know.\n\nA shared secret can leak. It ends up in a chat, in a ticket or in \
         the history of a repository, and anyone who finds it can impersonate the web site.\n\nThis site has a private key \
         instead. Entra ID knows only the certificate, which is public. For each request, the site signs a short statement \
         with its private key, and Entra ID verifies the signature. No secret is ever sent.",
    ),
    (
        "What happened when you signed in",
        "The site redirected your browser to the identity provider, with a code challenge. You picked an account there, and \
         your browser came back with a code that is valid once, for a few minutes, and only for this site.\n\nThe site \
         exchanged the code for tokens, and authenticated with its certificate. The tokens stayed on the server. Your \
         browser got a cookie with an opaque session ID, which is useless anywhere else.\n\nThen the site requested this \
         list from the API with an access token. Before it answered, the API checked the token's signature, issuer, \
         audience, tenant, times and scope.",
    ),
    (
        "The identity provider here is an emulator",
        "Anyone can sign in as any user, so it listens only on this machine. In everything else it is strict: it looks up \
         the certificate, verifies the signature of each assertion, checks every claim in it, and rejects an assertion \
         that it has seen before. Its errors are those of Entra ID, with the same numbers.\n\nReplace the certificate that \
         is registered for the site, and the next sign-in fails, with a page that explains why.",
    ),
    (
        "Things to try",
        "Sign in as another user in a private window: you see the same posts, but can edit only your own.\n\nCall the API \
         without a token, with curl -i API_URL/v1/posts, and read the WWW-Authenticate header.\n\nStop blogctl dev with \
         Ctrl-C and start it again. Your posts are still there: they were in the database before you saw them.",
    ),
    (
        "An edit that conflicts",
        "Open one of your posts for editing in two tabs. Change and save it in the first, then in the second.\n\nThe second \
         one reports that the post has changed in the meantime, and keeps your text. Each state of a post has a version, \
         and the form remembers the version that it was opened with.",
    ),
    (
        "When you have a tenant",
        "With two app registrations, a certificate and ten lines of settings, this works with Entra ID. The command blogctl \
         cert new creates the key and the certificate; the README explains each step.\n\nUntil then, this is a safe place to \
         break things. Start over with blogctl dev --fresh.",
    ),
];

/// The users who may write if app roles decide, in turn; all users if none of them may write.
fn authors(users: &[IdpUser]) -> impl Iterator<Item = &IdpUser> {
    let only_reads = |user: &IdpUser| !user.roles.is_empty() && user.roles.iter().all(|role| role == "Blog.Reader");
    let nobody_writes = users.iter().all(only_reads);
    users
        .iter()
        .filter(move |user| nobody_writes || !only_reads(user))
        .cycle()
}

/// Writes the posts.
///
/// # Errors
/// If the database rejects one.
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
