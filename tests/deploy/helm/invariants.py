"""Rules for the objects of a release that no schema knows. Each yields one text per violation."""

import re
import tomllib

import settings_list
from chart import component

SECRET_ENVIRONMENT = ("BLOG_DATABASE__URL", "BLOG_REDIS__URL")
SECRET_TEXT = re.compile(r"://[^/@\s]*:[^/@\s]+@|-----BEGIN|password=", re.I)


def findings(objects):
    for rule in (
        deployments_stop_in_time,
        deployments_scale_once,
        selectors_match,
        services_reach_a_port,
        routes_reach_a_service,
        probes_reach_the_server,
        policies_match_the_ports,
        alerts_select_the_jobs,
        pods_are_restricted,
        mounts_match_volumes,
        nothing_but_secrets_holds_secrets,
        hooks_need_nothing_of_the_release,
        names_are_unique,
    ):
        for violation in rule(objects):
            yield f"{rule.__name__}: {violation}"


def name(item):
    return f"{item['kind']} {item['metadata']['name']}"


def labels_of(item):
    return item["spec"]["template"]["metadata"]["labels"]


def matches(selector, labels):
    return selector.items() <= labels.items()


def container(item):
    return item["spec"]["template"]["spec"]["containers"][0]


def blog_toml(objects, role):
    return tomllib.loads(objects.of_role("ConfigMap", role)["data"]["blog.toml"])


def deployments_stop_in_time(objects):
    program = settings_list.all_settings()
    for item in objects.of_kind("Deployment"):
        server = blog_toml(objects, component(item)).get("server", {})
        seconds = [server.get(key, program[f"server.{key}"].default) for key in ("drain_seconds", "shutdown_seconds")]
        sleep = container(item).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        if grace < sleep + sum(seconds) + 5:
            yield f"{name(item)}: grace period {grace} s, but it sleeps {sleep} s, drains {seconds[0]} s, stops {seconds[1]} s"


def deployments_scale_once(objects):
    for item in objects.of_kind("Deployment"):
        role, spec = component(item), item["spec"]
        scaler = objects.of_role("HorizontalPodAutoscaler", role)
        if scaler and "replicas" in spec:
            yield f"{name(item)}: an upgrade would undo the autoscaler, as replicas is set, too"
        if not scaler and "replicas" not in spec:
            yield f"{name(item)}: neither replicas nor an autoscaler"
        if scaler and scaler["spec"]["scaleTargetRef"]["name"] != item["metadata"]["name"]:
            yield f"{name(scaler)}: scales another object"
        several = (scaler["spec"]["maxReplicas"] if scaler else spec["replicas"]) > 1
        budget = objects.of_role("PodDisruptionBudget", role)
        if several and (not budget or budget["spec"]["maxUnavailable"] != 1):
            yield f"{name(item)}: several replicas without a PodDisruptionBudget of maxUnavailable 1"
        rolling = spec["strategy"].get("rollingUpdate", {})
        if several and rolling.get("maxUnavailable") != 0:
            yield f"{name(item)}: a rollout may stop a replica before its successor is ready"
        if several and not spec["template"]["spec"].get("topologySpreadConstraints"):
            yield f"{name(item)}: all replicas may be in one zone"


def selectors_match(objects):
    pods = [(item, labels_of(item)) for item in objects.of_kind("Deployment")]
    for item, labels in pods:
        if not matches(item["spec"]["selector"]["matchLabels"], labels):
            yield f"{name(item)}: its selector does not match its pods"
        for constraint in item["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not matches(constraint["labelSelector"]["matchLabels"], labels):
                yield f"{name(item)}: a topology spread constraint does not match its pods"
    for item in objects:
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(item["kind"])
        if selector:
            found = [deployment for deployment, labels in pods if matches(selector(item["spec"]), labels)]
            if [component(deployment) for deployment in found] != [component(item)]:
                yield f"{name(item)}: selects {[name(deployment) for deployment in found]}"
    for monitor in objects.of_kind("ServiceMonitor"):
        services = [s for s in objects.of_kind("Service") if matches(monitor["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])]
        ports = [port["name"] for service in services for port in service["spec"]["ports"]]
        if ports.count(monitor["spec"]["endpoints"][0]["port"]) != 1:
            yield f"{name(monitor)}: its port is not in exactly one Service: {ports}"


def ports_of(deployment):
    """Of all containers of the pod, by name."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {port["name"]: port["containerPort"] for one in containers for port in one.get("ports", [])}


def services_reach_a_port(objects):
    for service in objects.of_kind("Service"):
        deployment = objects.of_role("Deployment", component(service))
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports_of(deployment):
                yield f"{name(service)}: {name(deployment)} has no port {port['targetPort']}"
        names = {port["name"] for port in service["spec"]["ports"]}
        if "http" in names and "metrics" in names:
            yield f"{name(service)}: publishes the metrics together with the server"
    for role in ("api", "client"):
        if deployment := objects.of_role("Deployment", role):
            settings = blog_toml(objects, role)
            listening = settings[role].get("port", settings_list.all_settings()[f"{role}.port"].default)
            if ports_of(deployment)["http"] != listening or settings[role]["host"] not in ("0.0.0.0", "::"):
                yield f"{name(deployment)}: the server listens on {settings[role]['host']}:{listening}"
            metrics = settings.get("metrics", {})
            if metrics.get("enabled") and ports_of(deployment).get("metrics") != metrics["port"]:
                yield f"{name(deployment)}: the metrics are on port {metrics['port']}"


def routes_reach_a_service(objects):
    services = {s["metadata"]["name"]: s["spec"]["ports"] for s in objects.of_kind("Service")}
    for ingress in objects.of_kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            if backend["port"]["name"] not in [port["name"] for port in services.get(backend["name"], [])]:
                yield f"{name(ingress)}: no Service has {backend}"
    for route in objects.of_kind("HTTPRoute"):
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            if backend["port"] not in [port["port"] for port in services.get(backend["name"], [])]:
                yield f"{name(route)}: no Service has {backend}"
    if client := objects.of_role("ConfigMap", "client"):
        url = blog_toml(objects, "client")["client"]["api_base_url"]
        found = re.fullmatch(r"(https?)://([a-z0-9-]+)\.blog\.svc(?::(\d+))?", url)
        if found:
            port = int(found[3] or (443 if found[1] == "https" else 80))
            speaks_tls = "cert_path" in blog_toml(objects, "api").get("server", {}).get("tls", {})
            if port not in [p["port"] for p in services.get(found[2], [])] or speaks_tls != (found[1] == "https"):
                yield f"{name(client)}: the API is not at {url}"


def probes_reach_the_server(objects):
    for item in objects.of_kind("Deployment"):
        tls = blog_toml(objects, component(item)).get("server", {}).get("tls", {})
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container(item).get(kind)
            if not probe:
                yield f"{name(item)}: no {kind}"
                continue
            ready = kind == "readinessProbe"
            if http := probe.get("httpGet"):
                if http["port"] not in [port["name"] for port in container(item).get("ports", [])]:
                    yield f"{name(item)}: {kind} uses port {http['port']}, which does not exist"
                if http["scheme"] != ("HTTPS" if tls else "HTTP"):
                    yield f"{name(item)}: {kind} uses {http['scheme']}, which the server does not accept"
                if http["path"] != ("/health/ready" if ready else "/health/live"):
                    yield f"{name(item)}: {kind} asks {http['path']}"
            elif ("--ready" in probe["exec"]["command"]) != ready:
                yield f"{name(item)}: {kind} runs {probe['exec']['command']}"


def policies_match_the_ports(objects):
    for policy in objects.of_kind("NetworkPolicy"):
        role, spec = component(policy), policy["spec"]
        deployment = objects.of_role("Deployment", role)
        ports = ports_of(deployment)
        allowed = {port["port"]: rule for rule in spec["ingress"] for port in rule["ports"]}
        if set(allowed) - set(ports.values()):
            yield f"{name(policy)}: lets connections to {sorted(allowed)}, but the pod has {ports}"
        if ports["http"] not in allowed:
            yield f"{name(policy)}: nothing may reach the server"
        if "metrics" in ports and not allowed.get(ports["metrics"], {"from": True}).get("from"):
            yield f"{name(policy)}: every address may read the metrics"
        every = {(port["port"], port["protocol"]) for rule in spec["egress"] for port in rule["ports"]}
        egress = {port for port, _ in every}
        variables = {variable["name"] for variable in container(deployment)["env"]}
        needs_store = variables & set(SECRET_ENVIRONMENT)
        if not {(53, "UDP"), (53, "TCP"), (443, "TCP")} <= every or (needs_store and not egress - {53, 443, 8000}):
            yield f"{name(policy)}: lets connections to {sorted(every)} only"
        if role == "client" and (api := objects.of_role("Deployment", "api")) and ports_of(api)["http"] not in egress:
            yield f"{name(policy)}: the site may not reach the API"


def alerts_select_the_jobs(objects):
    rules = [rule for item in objects.of_kind("PrometheusRule") for group in item["spec"]["groups"] for rule in group["rules"]]
    selected = {pattern for rule in rules for pattern in re.findall(r'job=~"([^"]*)"', str(rule["expr"]))}
    if rules and not selected:
        yield "no alert selects a job: has the form of the rules changed?"
    for monitor in objects.of_kind("ServiceMonitor"):
        jobs = [one["replacement"] for one in monitor["spec"]["endpoints"][0]["relabelings"] if one["targetLabel"] == "job"]
        if len(jobs) != 1 or not all(re.fullmatch(pattern, jobs[0]) for pattern in selected):
            yield f"{name(monitor)}: its job is {jobs}, the alerts select {selected}"


def pods_are_restricted(objects):
    """The restricted Pod Security Standard, a read-only root, and no token of the cluster."""
    for item, template in objects.pods():
        spec = template["spec"]
        context = spec["securityContext"]
        if not context.get("runAsNonRoot") or context.get("runAsUser") != 65532 or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name(item)}: {context}"
        if spec["automountServiceAccountToken"] or spec["enableServiceLinks"]:
            yield f"{name(item)}: has a token of the cluster, or variables of Services"
        if {"hostNetwork", "hostPID", "hostIPC"} & set(spec) or any("hostPath" in volume for volume in spec["volumes"]):
            yield f"{name(item)}: shares something with its node"
        for one in spec["containers"]:
            if not one["image"].startswith("registry.example.com/"):
                yield f"{name(item)}: {one['image']}"
            own = one["securityContext"]
            if (
                own.get("allowPrivilegeEscalation") is not False
                or own.get("readOnlyRootFilesystem") is not True
                or own.get("capabilities") != {"drop": ["ALL"]}
                or own.get("privileged")
            ):
                yield f"{name(item)}: {own}"
            if "memory" not in one["resources"]["limits"] or "cpu" in one["resources"]["limits"]:
                yield f"{name(item)}: wants a limit of memory and none of CPU: {one['resources']}"


def mounts_match_volumes(objects):
    for item, template in objects.pods():
        volumes = [volume["name"] for volume in template["spec"]["volumes"]]
        mounts = template["spec"]["containers"][0]["volumeMounts"]
        # Those of extraVolumes are the operator's.
        of_the_chart = {m["name"] for m in mounts if m["mountPath"].startswith(("/etc/blogctl", "/run/secrets/"))}
        if sorted(volumes) != sorted(mount["name"] for mount in mounts):
            yield f"{name(item)}: volumes {volumes}, mounts {mounts}"
        if any("subPath" in mount for mount in mounts):
            yield f"{name(item)}: a subPath mount is never updated"
        for volume in template["spec"]["volumes"]:
            source = volume.get("secret") or volume.get("configMap") or volume.get("projected")
            if source and volume["name"] in of_the_chart and source.get("defaultMode") != 0o440:
                yield f"{name(item)}: every account may read the files of {volume['name']}"
        if len({mount["mountPath"] for mount in mounts}) != len(mounts):
            yield f"{name(item)}: two volumes at one path"


def nothing_but_secrets_holds_secrets(objects):
    for item in objects:
        if item["kind"] == "Secret":
            yield f"{name(item)}: the values of a release are not encrypted, so the chart must not create Secrets"
        if found := SECRET_TEXT.search(str(item)):
            yield f"{name(item)}: contains {found[0]!r}"
    for item, template in objects.pods():
        for variable in template["spec"]["containers"][0]["env"]:
            if variable["name"] in SECRET_ENVIRONMENT and "value" in variable and "@" in variable["value"].split("@")[0].partition("://")[2]:
                yield f"{name(item)}: {variable['name']} is a plain value"


def hooks_need_nothing_of_the_release(objects):
    """A hook before the installation must not refer to objects that the release creates later."""
    ours = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for job in objects.of_kind("Job"):
        if "pre-install" not in job["metadata"]["annotations"]["helm.sh/hook"]:
            continue
        spec = job["spec"]["template"]["spec"]
        used = {("ServiceAccount", spec["serviceAccountName"])}
        for volume in spec["volumes"]:
            used.add(("ConfigMap", volume.get("configMap", {}).get("name")))
            used.add(("PersistentVolumeClaim", volume.get("persistentVolumeClaim", {}).get("claimName")))
        if too_early := used & ours:
            yield f"{name(job)}: uses {too_early}, which do not exist yet"


def names_are_unique(objects):
    names = [name(item) for item in objects]
    for one in {one for one in names if names.count(one) > 1}:
        yield one
