"""Faults in the templates that the checks must find: a text to replace, and what it becomes. Proves that they can fail."""

import shutil

import chart
import invariants
import validate

# (template, text, replacement, values set, part of a finding)
FAULTS = [
    ("deployment.yaml", "revisionHistoryLimit: 5", "revisionHistory: 5", "minimal", "revisionHistory"),
    ("service.yaml", "appProtocol:", "applicationProtocol:", "minimal", "applicationProtocol"),
    ("_pod.tpl", "imagePullPolicy:", "pullPolicy:", "minimal", "pullPolicy"),
    ("hpa.yaml", "averageUtilization: {{", "averageUse: {{", "hpa", "averageUse"),
    ("migrate.yaml", "backoffLimit: {{", "backOffLimit: {{", "postgres-redis", "backOffLimit"),
    ("httproute.yaml", "backendRefs:", "backends:", "gateway", "HTTPRoute"),
    ("httproute.yaml", "port: {{", "port: x{{", "gateway", "HTTPRoute"),
    ("servicemonitor.yaml", "interval: {{ $monitor.interval }}", "interval: often", "monitoring", "ServiceMonitor"),
    ("prometheusrule.yaml", "$rules.groups", '(list (dict "rules" list))', "monitoring", "PrometheusRule"),
    ("_names.tpl", 'contains "blogctl" $name', "true", "full", "alerts_select_the_jobs"),
    ("certificate.yaml", "secretName:", "secret:", "tls", "Certificate"),
    ("_settings.tpl", "$shutdown 5", "$shutdown 4", "minimal", "deployments_stop_in_time"),
    ("_settings.tpl", '"shutdown_seconds" "default" 10', '"shutdown_seconds" "default" 9', "minimal", "deployments_stop_in_time"),
    ("deployment.yaml", "{{- if not $values.autoscaling.enabled }}", "{{- if true }}", "hpa", "an upgrade would undo the autoscaler"),
    ("pdb.yaml", "and $values.enabled $values.podDisruptionBudget.enabled", "false", "postgres-redis", "without a PodDisruptionBudget"),
    ("deployment.yaml", "maxUnavailable: 0", "maxUnavailable: 1", "postgres-redis", "before its successor is ready"),
    ("pdb.yaml", 'include "blogctl.selectorLabels" $context', 'include "blogctl.labels" (merge (dict "role" "x") $context)', "minimal", "selectors_match"),
    ("service.yaml", "targetPort: http", "targetPort: web", "minimal", "services_reach_a_port"),
    ("_settings.tpl", "ternary 8000 5000", "ternary 8001 5000", "minimal", "the server listens on"),
    ("_settings.tpl", '"host" "0.0.0.0") -}}', '"host" "127.0.0.1") -}}', "minimal", "the server listens on"),
    ("_settings.tpl", 'include "blogctl.host" $api', 'include "blogctl.host" .', "minimal", "the API is not at"),
    ("ingress.yaml", "port: {name: http}", "port: {name: https}", "tls", "routes_reach_a_service"),
    ("_pod.tpl", 'ternary "HTTPS" "HTTP"', 'ternary "HTTP" "HTTP"', "tls", "which the server does not accept"),
    ("_pod.tpl", 'if include "blogctl.socket" .context', "if false", "socket", "probes_reach_the_server"),
    ("_pod.tpl", 'ternary (list "--ready") list', "ternary list list", "socket", "probes_reach_the_server"),
    ("networkpolicy.yaml", "port: {{ $port }}", "port: 80", "networkpolicy", "policies_match_the_ports"),
    ("networkpolicy.yaml", "{{- if and $.Values.metrics.enabled $policy.metricsFrom }}", "{{- if true }}", "networkpolicy-open", "every address may read the metrics"),
    ("networkpolicy.yaml", "port: 53, protocol: TCP", "port: 54, protocol: TCP", "networkpolicy", "policies_match_the_ports"),
    ("_pod.tpl", "toYaml $root.Values.containerSecurityContext", 'toYaml (omit $root.Values.containerSecurityContext "readOnlyRootFilesystem")', "minimal", "pods_are_restricted"),
    ("migrate.yaml", "toYaml .Values.podSecurityContext", "toYaml (dict)", "postgres-redis", "pods_are_restricted"),
    ("_pod.tpl", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "minimal", "pods_are_restricted"),
    ("_pod.tpl", "mountPath: /run/secrets/tls, readOnly: true", "mountPath: /run/secrets/tls, subPath: tls.crt", "minimal", "a subPath mount is never updated"),
    ("_pod.tpl", "defaultMode: 0440", "defaultMode: 0444", "minimal", "every account may read the files"),
    ("_pod.tpl", "- {name: certificate, mountPath", "- {name: cookie-key, mountPath", "minimal", "mounts_match_volumes"),
    ("migrate.yaml", "serviceAccountName: {{ $migrate.serviceAccountName }}", "serviceAccountName: {{ include \"blogctl.roleName\" $context }}", "postgres-redis", "do not exist yet"),
    ("_checks.tpl", '(?i)://', "(?i)never://", "secret-in-settings", "nothing_but_secrets_holds_secrets"),
]


def findings(sets, work):
    sets = dict(sets)
    sets["networkpolicy-open"] = {**sets["networkpolicy"], "networkPolicy": {"enabled": True}}
    settings = sets["workload-identity"]["settings"] | {"database": {"url": "postgres://blog:pw@db.example.com/blog"}}
    sets["secret-in-settings"] = sets["workload-identity"] | {"settings": settings}
    for number, (template, text, replacement, name, expected) in enumerate(FAULTS):
        folder = work / f"fault-{number}"
        shutil.copytree(chart.CHART, folder)
        path = folder / "templates" / template
        content = path.read_text()
        if text not in content:
            yield f"{template} has no {text!r}: adapt the fault"
            continue
        path.write_text(content.replace(text, replacement))
        found = problems(sets[name], folder)
        if not any(expected in problem for problem in found):
            yield f"{template} with {replacement!r} in the set {name}: expected {expected!r}, found {found}"
        shutil.rmtree(folder)


def problems(values, folder):
    found = []
    try:
        objects = chart.render(values, folder)
        found += validate.findings(objects)
        found += invariants.findings(objects)
    except Exception as error:  # a fault may also break a template, or the structure that a rule expects
        found.append(f"{type(error).__name__}: {error}")
    return found
