"""A client that openapi-python-client has made, used against the API."""

import sys

from blogctl_client import AuthenticatedClient, Client
from blogctl_client.api.posts import change_post, create_post, delete_post, get_post, list_posts
from blogctl_client.api.service import get_liveness
from blogctl_client.models import ChangedPost, NewPost, Problem, ProblemCode

url, token = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=token) as client:
    created = create_post.sync(client=client, body=NewPost(title="Hello", content="From Python"))
    # One of the two fields is enough, and neither has a wrapper type.
    changed = change_post.sync(created.id, client=client, body=ChangedPost(title="Hello again"))
    assert (changed.title, changed.content) == ("Hello again", "From Python"), changed
    assert ChangedPost(title="Hello again").to_dict() == {"title": "Hello again"}
    assert list_posts.sync(client=client, limit=1)[0].id == created.id
    missing = get_post.sync(999999, client=client)
    assert isinstance(missing, Problem) and missing.code is ProblemCode.POST_NOT_FOUND, missing
    assert delete_post.sync_detailed(created.id, client=client).status_code == 204
assert get_liveness.sync(client=Client(base_url=url)).status == "ok"
print("done")
