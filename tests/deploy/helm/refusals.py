"""Values that the chart must reject: what to change in which values set, and a part of the message."""

import copy

import chart
from settings_list import chart_settings

POSTGRES = {"secrets": {"database": {"existingSecret": "db"}}}
GUID = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f"
HPA = {"enabled": True}

# (values set, change, part of the message). A value of None removes the key.
REFUSALS = [
    ("minimal", {"api": {"enabled": False}, "client": {"enabled": False}}, "at least one role must be enabled"),
    ("minimal", {"image": {"repository": ""}}, "image.repository: set the repository"),
    ("minimal", {"image": {"digest": "sha256:123"}}, "digest"),
    ("minimal", {"settings": {"entra": None}}, "settings.entra.tenant_id: set"),
    ("minimal", {"settings": {"entra": {"tenant_id": "contoso"}}}, "tenant_id"),
    ("minimal", {"settings": {"api": None}}, "settings.api.app_id_uri: set"),
    ("minimal", {"settings": {"client": {"client_id": None}}}, "settings.client.client_id: set"),
    ("minimal", {"settings": {"client": {"api_scope": None}}}, "settings.client.api_scope: set"),
    ("minimal", {"settings": {"client": {"public_url": None}}}, "settings.client.public_url: set how browsers reach the site"),
    # misspelt or impossible values
    ("minimal", {"replicaCount": 2}, "replicaCount"),
    ("minimal", {"api": {"replica": 2}}, "replica"),
    ("minimal", {"settings": {"servr": {}}}, "servr"),
    ("minimal", {"settings": {"server": {"drain_second": 5}}}, "drain_second"),
    ("minimal", {"settings": {"server": {"drain_seconds": 301}}}, "drain_seconds"),
    ("minimal", {"settings": {"server": {"drain_seconds": "5"}}}, "drain_seconds"),
    ("minimal", {"settings": {"database": {"file_mode": 600}}}, "file_mode"),
    ("minimal", {"settings": {"log": {"format": "xml"}}}, "format"),
    ("minimal", {"settings": {"idp": {"port": 9000}}}, "idp"),
    ("minimal", {"settings": {"metrics": {"enabled": True}}}, "metrics"),
    ("minimal", {"settings": {"api": {"port": 0}}}, "0 picks a random port"),
    ("minimal", {"settings": {"client": {"port": 443}}}, "443 needs a privilege"),
    ("minimal", {"api": {"settings": {"client": {"port": 5001}}}}, "api.settings.client has no effect"),
    ("minimal", {"client": {"settings": {"database": {"pool_size": 5}}}}, "client.settings.database has no effect"),
    # replicas
    ("minimal", {"api": {"replicas": 2}}, "api: more than one replica needs PostgreSQL"),
    ("minimal", {"api": {"autoscaling": HPA}}, "api: more than one replica needs PostgreSQL"),
    ("minimal", {"client": {"replicas": 2}}, "client: more than one replica needs Redis"),
    ("minimal", {"client": {"autoscaling": HPA}}, "client: more than one replica needs Redis"),
    ("minimal", {"api": {"persistence": {"enabled": False}}}, "needs a volume"),
    ("minimal", POSTGRES, "PostgreSQL is configured, so the API needs no volume"),
    ("hpa", {"api": {"autoscaling": {"minReplicas": 9}}}, "minReplicas (9) is greater than maxReplicas (8)"),
    ("hpa", {"metrics": {"enabled": False}}, "requestsInFlight needs metrics.enabled"),
    ("hpa", {"client": {"autoscaling": {"cpuPercent": 0}}}, "without a metric nothing scales"),
    ("hpa", {"client": {"resources": {"requests": {"cpu": None}}}}, "client.resources.requests.cpu, which is not set"),
    # secrets and credentials
    ("minimal", {"secrets": {"certificate": {"existingSecret": ""}}}, "the site needs a client credential"),
    ("minimal", {"secrets": {"cookieKey": {"existingSecret": ""}}}, "the site needs one cookie key"),
    ("minimal", {"settings": {"client": {"cookie_key_file": "/run/x"}}}, "the site needs one cookie key"),
    ("minimal", {"settings": {"client": {"cert_path": "/run/x"}}}, "set only one of them"),
    ("minimal", {"settings": {"client": {"credential": [{"source": "workload_identity"}]}}}, "set only one of them"),
    ("key-vault", {"settings": {"client": {"credential": [{"source": "vault"}]}}}, "source"),
    ("key-vault", {"settings": {"client": {"credential": [{"source": "file", "key_passphrase": "x"}]}}}, "key_passphrase"),
    ("postgres-redis", {"settings": {"database": {"url": "postgres://blog@db/blog"}}}, "secrets.database.existingSecret sets it"),
    ("postgres-redis", {"settings": {"redis": {"url": "redis://cache"}}}, "secrets.redis.existingSecret sets it"),
    ("minimal", {"settings": {"database": {"url": "postgres://blog:pw@db/blog"}}}, "settings.database.url contains a secret"),
    ("minimal", {"settings": {"database": {"url": "host=db password=pw"}}}, "settings.database.url contains a secret"),
    ("minimal", {"client": {"settings": {"redis": {"url": "rediss://:pw@cache:6380"}}}}, "settings.redis.url contains a secret"),
    ("minimal", {"settings": {"client": {"cert_path": "-----BEGIN PRIVATE KEY-----"}}}, "settings.client.cert_path contains a secret"),
    ("minimal", {"settings": {"api": {"cors_origins": ["https://a:b@app.example.com"]}}}, "settings.api.cors_origins contains a secret"),
    ("workload-identity", {"api": {"workloadIdentity": {"clientId": ""}}}, "api.workloadIdentity.clientId: set"),
    ("workload-identity", {"client": {"workloadIdentity": {"clientId": "blog"}}}, "clientId"),
    ("workload-identity", {"client": {"serviceAccount": {"create": False}}}, "workload identity needs a separate ServiceAccount"),
    ("csi", {"client": {"csi": {"secretProviderClass": ""}}}, "client.csi.secretProviderClass"),
    ("csi", {"api": {"csi": {"secretProviderClass": ""}}}, "api.csi.secretProviderClass"),
    # TLS
    ("minimal", {"api": {"tls": {"enabled": False, "existingSecret": ""}}}, "in production the site sends access tokens over HTTPS only"),
    ("client-only", {"settings": {"client": {"api_base_url": "http://api.blog.svc"}}}, "over HTTPS only"),
    ("client-only", {"settings": {"client": {"api_base_url": None}}}, "api.enabled is false, so set the URL of the API"),
    ("minimal", {"api": {"tls": {"existingSecret": ""}}}, "set exactly one of"),
    ("tls", {"api": {"tls": {"existingSecret": "x"}}}, "set exactly one of"),
    ("tls", {"api": {"tls": {"certManager": {"issuerRef": {"name": ""}}}}}, "name the issuer"),
    ("minimal", {"api": {"tls": {"enabled": False}}}, "a certificate is configured, but TLS is off"),
    ("api-only", {"api": {"tls": {"clientCA": {"existingSecret": "x"}}}}, "api.tls.clientCA needs api.tls.enabled"),
    ("minimal", {"client": {"tls": {"clientCA": {"existingSecret": "x"}}}}, "clientCA"),
    ("mtls", {"client": {"apiCertificate": {"existingSecret": ""}}}, "so the site needs one"),
    ("minimal", {"settings": {"client": {"api_ca_file": "/run/x"}}}, "settings.client.api_ca_file: client.apiCA"),
    ("api-only", {"settings": {"server": {"tls": {"acme": {"directory": "https://acme.example.com/dir"}}}}}, "reaches only one of them"),
    ("socket", {"api": {"extraContainers": []}}, "settings.api.socket_path: a Service reaches no socket"),
    ("socket", {"settings": {"api": {"port": 8444}}}, "containerPort 8444"),
    ("mtls", {"api": {"tls": {"clientCA": {"existingSecret": "x"}}}}, "not both"),
    ("minimal", {"client": {"apiCA": {"existingSecret": "x"}}}, "client.apiCA: set existingSecret or existingConfigMap, not both"),
    ("minimal", {"client": {"caBundle": {"existingSecret": "x", "existingConfigMap": "y"}}}, "client.caBundle: set existingSecret"),
    ("minimal", {"settings": {"entra": {"ca_file": "/run/x"}}, "client": {"caBundle": {"existingSecret": "x"}}}, "settings.entra.ca_file: client.caBundle"),
    ("minimal", {"settings": {"server": {"tls": {"cert_path": "/run/x"}}}}, "settings.server.tls.cert_path"),
    # network, monitoring, stopping
    ("client-only", {"client": {"ingress": {"hosts": []}}}, "client.ingress.hosts"),
    ("gateway", {"client": {"httpRoute": {"parentRefs": []}}}, "client.httpRoute.parentRefs"),
    ("monitoring", {"metrics": {"enabled": False}}, "need metrics.enabled"),
    ("monitoring", {"metrics": {"port": 8000}}, "the metrics need a separate port"),
    ("monitoring", {"metrics": {"port": 80}}, "port"),
    ("minimal", {"api": {"terminationGracePeriodSeconds": 19}}, "19 is too short. A stopping pod needs 20 seconds"),
    ("minimal", {"settings": {"server": {"drain_seconds": 40}}, "client": {"terminationGracePeriodSeconds": 54}}, "needs 55 seconds"),
]


def nested(name):
    first, _, rest = name.partition(".")
    return {first: nested(rest) if rest else "x" * 40}


def changed(values, change):
    values = copy.deepcopy(values)
    for key, value in change.items():
        if value is None:
            values.pop(key, None)
            # Helm removes a default by null.
            values[key] = None
        elif isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] = changed(values[key], value)
        else:
            values[key] = copy.deepcopy(value)
    return values


def without_null(values):
    """Only defaults need null; a key of the set itself is removed."""
    if isinstance(values, dict):
        return {key: without_null(value) for key, value in values.items() if value is not None or key == "cpu"}
    return values


def findings(sets):
    refusals = REFUSALS + [
        ("minimal", {"settings": nested(name)}, f"settings.{name} is a secret")
        for name, setting in chart_settings().items()
        if setting.is_secret
    ]
    for name, change, expected in refusals:
        values = without_null(changed(sets[name], change))
        try:
            chart.render(values)
        except Exception as error:  # the library has one class for each stage
            if expected not in str(error):
                yield f"{name} with {change}: expected {expected!r}, but the message is: {error}"
        else:
            yield f"{name} with {change}: accepted, expected {expected!r}"
