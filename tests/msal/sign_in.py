"""Signs a user in with unmodified MSAL for Python, and prints the outcome as JSON.

Reads one JSON object from standard input: authority, ca_file, client_id, redirect_uri, user, scope, app_scope, and
credentials, a list of MSAL's `client_credential` objects. Prints a list with one result for each credential.
"""

import json
import sys
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import msal
import requests


class AccountPicker(HTMLParser):
    """Returns what a browser sends when a user clicks the button of an account."""

    def __init__(self, user):
        super().__init__()
        self.user = user
        self.action = None
        self.fields = {}
        self.choice = None

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        elif tag == "input" and attributes.get("type") == "hidden":
            self.fields[attributes["name"]] = attributes["value"]
        elif tag == "button" and attributes.get("data-user") == self.user:
            self.choice = {attributes["name"]: attributes["value"]}


def pick_user(auth_uri, user, ca_file):
    """Goes through the pages of the provider, and returns the parameters of the redirect URI."""
    browser = requests.Session()
    browser.trust_env = False
    browser.verify = ca_file
    page = browser.get(auth_uri, timeout=30)
    page.raise_for_status()
    picker = AccountPicker(user)
    picker.feed(page.text)
    answer = browser.post(
        urljoin(page.url, picker.action),
        data={**picker.fields, **picker.choice},
        headers={"Origin": "{0.scheme}://{0.netloc}".format(urlsplit(page.url))},
        allow_redirects=False,
        timeout=30,
    )
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def outcome(answer):
    """The parts of a result of MSAL to print: everything except the tokens."""
    answer = answer or {}
    told = {name: answer.get(name) for name in ("error", "error_description", "error_codes", "token_source")}
    told["id_token_claims"] = answer.get("id_token_claims")
    told["has_access_token"] = "access_token" in answer
    return told


def sign_in(order, credential):
    app = msal.ConfidentialClientApplication(
        order["client_id"],
        authority=order["authority"],
        client_credential=credential,
        # The emulator is not in Microsoft's list of clouds.
        instance_discovery=False,
        verify=order["ca_file"],
    )
    flow = app.initiate_auth_code_flow([order["scope"]], redirect_uri=order["redirect_uri"])
    answer = pick_user(flow["auth_uri"], order["user"], order["ca_file"])
    by_code = app.acquire_token_by_auth_code_flow(flow, answer)
    accounts = app.get_accounts()
    by_refresh = None
    if accounts:
        by_refresh = app.acquire_token_silent_with_error([order["scope"]], account=accounts[0], force_refresh=True)
    for_app = app.acquire_token_for_client([order["app_scope"]])
    return {
        "pkce": "code_challenge=" in flow["auth_uri"],
        "code": outcome(by_code),
        "accounts": [account["username"] for account in accounts],
        "refresh": outcome(by_refresh),
        "app": outcome(for_app),
    }


def main():
    order = json.load(sys.stdin)
    json.dump([sign_in(order, credential) for credential in order["credentials"]], sys.stdout)


if __name__ == "__main__":
    main()
