"""What the Bicep templates promise beyond valid properties: rules across the properties of evaluated resources."""

from __future__ import annotations

from typing import Any


def promises(evaluated: dict[str, Any]) -> list[str]:
    """Rules across properties, on resources whose expressions have been evaluated."""
    problems: list[str] = []

    def expect(holds: Any, what: str) -> None:
        if not holds:
            problems.append(what)

    for name, (type_, body) in evaluated.items():
        properties = body.get("properties", {})
        if type_ == "Microsoft.KeyVault/vaults":
            expect(properties.get("enableRbacAuthorization") is True, f"{name}: rights by roles")
            expect(properties.get("enablePurgeProtection") is True, f"{name}: purge protection")
        if type_ == "Microsoft.DBforPostgreSQL/flexibleServers":
            expect(properties["network"].get("publicNetworkAccess") == "Disabled", f"{name}: no public address")
        if type_ == "Microsoft.Cache/redisEnterprise":
            expect(properties.get("publicNetworkAccess") == "Disabled", f"{name}: no public address")
            expect(properties.get("minimumTlsVersion") == "1.2", f"{name}: TLS 1.2")
        if type_ == "Microsoft.Cache/redisEnterprise/databases":
            expect(properties.get("clusteringPolicy") == "NoCluster", f"{name}: blogctl is not a cluster client")
            expect(properties.get("clientProtocol") == "Encrypted", f"{name}: TLS")
            expect(properties.get("evictionPolicy") == "NoEviction", f"{name}: sessions are not evicted")
        if type_ == "Microsoft.App/containerApps":
            container_app_promises(name, properties, expect)
        if type_ == "Microsoft.App/jobs":
            secret_promises(name, properties, expect)
            expect(properties["configuration"].get("replicaRetryLimit") == 0, f"{name}: a failed migration is not repeated")
        if type_ == "Microsoft.Web/sites":
            expect(properties.get("httpsOnly") is True, f"{name}: HTTPS only")
            expect(properties["siteConfig"].get("minTlsVersion") in ("1.2", "1.3"), f"{name}: TLS 1.2")
            expect(properties["siteConfig"].get("ftpsState") == "Disabled", f"{name}: no FTP")
            expect(properties["siteConfig"].get("healthCheckPath") == "/health/ready", f"{name}: health check")
            expect(properties.get("keyVaultReferenceIdentity"), f"{name}: identity for references to the vault")
            settings = {item["name"]: item.get("value") for item in properties["siteConfig"]["appSettings"]}
            port = settings.get("BLOG_API__PORT") or settings.get("BLOG_CLIENT__PORT")
            expect(settings.get("WEBSITES_PORT") == port, f"{name}: WEBSITES_PORT is blogctl's port")
        if type_ == "Microsoft.Authorization/roleDefinitions":
            actions = [action for permission in properties["permissions"] for action in permission["dataActions"]]
            expect("*" not in "".join(actions) and not any("secrets" in action for action in actions), f"{name}: no secrets, no wildcard")
    identities = {name: body for name, (type_, body) in evaluated.items() if type_ == "Microsoft.App/containerApps"}
    if identities:
        expect(identities["api"]["properties"]["configuration"]["ingress"]["external"] is False, "the API is internal")
        expect(identities["site"]["properties"]["configuration"]["ingress"]["external"] is True, "the site is external")
    return problems


def container_app_promises(name: str, properties: dict[str, Any], expect: Any) -> None:
    configuration, template = properties["configuration"], properties["template"]
    container = template["containers"][0]
    expect(configuration["ingress"].get("allowInsecure") is False, f"{name}: no HTTP")
    expect(configuration["ingress"].get("transport") == "http", f"{name}: blogctl serves HTTP/1.1")
    settings = {item["name"]: item.get("value") for item in container["env"]}
    needed = int(settings["BLOG_SERVER__DRAIN_SECONDS"]) + int(settings["BLOG_SERVER__SHUTDOWN_SECONDS"]) + 5
    expect(needed <= template.get("terminationGracePeriodSeconds", 30) <= 600, f"{name}: grace period of {needed} to 600 s")
    probes = {probe["type"]: probe for probe in container["probes"]}
    expect(set(probes) == {"Startup", "Liveness", "Readiness"}, f"{name}: three probes")
    for kind, probe in probes.items():
        expect(probe["httpGet"]["port"] == configuration["ingress"]["targetPort"], f"{name}: port of the probe {kind}")
        expect(probe["httpGet"]["path"] == ("/health/ready" if kind == "Readiness" else "/health/live"), f"{name}: path of the probe {kind}")
    scale = template["scale"]
    expect(2 <= scale["minReplicas"] <= scale["maxReplicas"], f"{name}: two replicas or more")
    expect({rule["name"] for rule in scale["rules"]} == {"requests", "cpu"}, f"{name}: scales by requests and CPU")
    secret_promises(name, properties, expect)


def secret_promises(name: str, properties: dict[str, Any], expect: Any) -> None:
    """Every reference finds its secret, every secret comes from the vault, and no container can use the platform's identity."""
    configuration, template = properties["configuration"], properties["template"]
    secrets = {secret["name"]: secret for secret in configuration["secrets"]}
    for container in template["containers"]:
        for item in container["env"]:
            expect(("value" in item) != ("secretRef" in item), f"{name}: {item['name']} has one source")
            expect("secretRef" not in item or item["secretRef"] in secrets, f"{name}: {item['name']} names a secret")
        names = [item["name"] for item in container["env"]]
        expect(len(set(names)) == len(names), f"{name}: every setting once")
        volumes = {volume["name"]: volume for volume in template.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            expect(mount["volumeName"] in volumes, f"{name}: volume {mount['volumeName']}")
        for volume in volumes.values():
            for item in volume.get("secrets", []):
                expect(item["secretRef"] in secrets, f"{name}: the volume names a secret")
    for secret in secrets.values():
        expect("keyVaultUrl" in secret and "identity" in secret and "value" not in secret, f"{name}: {secret['name']} comes from the vault")
        lifecycles = {item["identity"]: item["lifecycle"] for item in configuration["identitySettings"]}
        expect(lifecycles.get(secret["identity"]) == "None", f"{name}: the container cannot use the platform's identity")
