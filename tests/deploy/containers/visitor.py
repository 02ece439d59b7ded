"""A browser without a window: follows redirects, keeps cookies, fills in forms, and sends what a browser would."""

import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser


class Forms(HTMLParser):
    """The forms of a page: where they are sent, and their hidden fields."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form":
            self.found.append((values.get("action") or "", {}))
        elif tag == "input" and values.get("type") == "hidden" and self.found:
            self.found[-1][1][values["name"]] = values.get("value") or ""


class Visitor:
    def __init__(self, ca_file=None):
        context = ssl.create_default_context(cafile=ca_file)
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )
        self.url = self.page = ""

    def get(self, url):
        return self._open(urllib.request.Request(urllib.parse.urljoin(self.url, url)))

    def submit(self, action_part, **fields):
        """Sends the first form whose address contains `action_part`, with its hidden fields and these."""
        for action, hidden in Forms(self.page).found:
            if action_part in action:
                body = urllib.parse.urlencode({**hidden, **fields}).encode()
                origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(self.url))
                url = urllib.parse.urljoin(self.url, action)
                return self._open(urllib.request.Request(url, body, {"Origin": origin}))
        raise LookupError(f"{self.url} has no form for {action_part}: {self.page[:2000]}")

    def _open(self, request):
        try:
            with self.opener.open(request, timeout=30) as response:
                self.url, self.page = response.url, response.read().decode()
                return response.status
        except urllib.error.HTTPError as error:
            self.url, self.page = error.url, error.read().decode(errors="replace")
            return error.code

    def sign_in_and_post(self, site, email, title):
        """Signs in at the emulator, adds a post, and returns the page that shows it."""
        status = self.get(f"{site}/login")
        if "Pick an account" not in self.page:
            raise LookupError(f"{self.url} answers {status}, not the account picker: {self.page[:2000]}")
        self.submit("/login", email=email)
        status = self.get(f"{site}/posts/new")
        if status != 200:
            raise LookupError(f"{self.url} answers {status}: {self.page[:2000]}")
        self.submit("/posts", title=title, content="Written by a check.")
        return self.page
