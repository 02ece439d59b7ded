//! Records changes of posts in the audit trail, once they are committed.

use actix_web::HttpRequest;

use crate::{
    api::middleware::bearer::Caller,
    audit::Event,
    blog::{Blog, PostEvent, PostEventKind, UserKey},
    serve::RequestAudit,
};

/// The blog, for changes that this request makes.
pub fn audited(blog: &Blog, audit: &RequestAudit, request: &HttpRequest, caller: &Caller) -> Blog {
    if !audit.log().is_on() {
        return blog.clone();
    }
    let (log, actor) = (audit.log().clone(), caller.key());
    let origin = audit.origin(request, Some(actor));
    blog.observed_by(move |event| log.record(recorded(event, actor), origin.clone()))
}

fn recorded(PostEvent { kind, post_id, author }: PostEvent, actor: UserKey) -> Event {
    // Only an administrator can change another user's post.
    let author = Some(author).filter(|author| *author != actor).map(Into::into);
    match kind {
        PostEventKind::Created => Event::PostCreated { post_id },
        PostEventKind::Changed => Event::PostChanged { post_id, author },
        PostEventKind::Deleted => Event::PostDeleted { post_id, author },
    }
}
