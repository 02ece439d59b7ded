{{/* The spec of the pods of a role. With `arguments` and without probes it is also the pod of `helm test`. */}}
{{- define "blogctl.podSpec" -}}
{{- $root := .root -}}
{{- $values := .values -}}
serviceAccountName: {{ include "blogctl.serviceAccountName" . }}
automountServiceAccountToken: false
# Service links would set BLOG_… variables if a Service has the name blog.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds | default (include "blogctl.graceSeconds" .) }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: blogctl
    image: {{ include "blogctl.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ .arguments | default (list (printf "serve-%s" .role)) | toJson }}
    env:
      {{- include "blogctl.env" . | nindent 6 }}
    {{- with $values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if not .arguments }}
    {{- if or $root.Values.metrics.enabled (not (include "blogctl.socket" .)) }}
    ports:
      {{- if not (include "blogctl.socket" .) }}
      - {name: http, containerPort: {{ include "blogctl.port" . }}, protocol: TCP}
      {{- end }}
      {{- if $root.Values.metrics.enabled }}
      - {name: metrics, containerPort: {{ $root.Values.metrics.port | int }}, protocol: TCP}
      {{- end }}
    {{- end }}
    startupProbe:
      {{- include "blogctl.probe" (dict "context" . "check" "live" "timing" $values.probes.startup) | nindent 6 }}
    livenessProbe:
      {{- include "blogctl.probe" (dict "context" . "check" "live" "timing" $values.probes.liveness) | nindent 6 }}
    readinessProbe:
      {{- include "blogctl.probe" (dict "context" . "check" "ready" "timing" $values.probes.readiness) | nindent 6 }}
    {{- if $values.preStopSleepSeconds }}
    lifecycle:
      preStop:
        sleep: {seconds: {{ $values.preStopSleepSeconds | int }}}
    {{- end }}
    {{- end }}
    resources:
      {{- toYaml $values.resources | nindent 6 }}
    securityContext:
      {{- toYaml $root.Values.containerSecurityContext | nindent 6 }}
    volumeMounts:
      {{- include "blogctl.volumeMounts" . | nindent 6 }}
  {{- with $values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "blogctl.volumes" . | nindent 2 }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with ternary "" (include "blogctl.spread" .) (hasKey . "arguments") }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment variables win over blog.toml, so only secrets are in them. */}}
{{- define "blogctl.env" -}}
{{- $secrets := .root.Values.secrets -}}
- {name: BLOG_CONFIG, value: /etc/blogctl/blog.toml}
# The image sets these, and an empty variable means that blog.toml decides.
- {name: BLOG_{{ upper .role }}__HOST, value: ""}
{{- if eq .role "api" }}
{{- if $secrets.database.existingSecret }}
{{ include "blogctl.secretVariable" (dict "name" "BLOG_DATABASE__URL" "secret" $secrets.database) }}
{{- else }}
- {name: BLOG_DATABASE__URL, value: ""}
{{- end }}
{{- end }}
{{- if and (eq .role "client") $secrets.redis.existingSecret }}
{{ include "blogctl.secretVariable" (dict "name" "BLOG_REDIS__URL" "secret" $secrets.redis) }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "blogctl.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret.existingSecret }}, key: {{ .secret.key }}}
{{- end -}}

{{/*
A probe over the network, or by a command where the server listens on a Unix socket. The health of a server that requires
client certificates needs none. Takes {context, check, timing}.
*/}}
{{- define "blogctl.probe" -}}
{{- if include "blogctl.socket" .context -}}
exec:
  command: {{ concat (list "/usr/bin/blogctl" "health" "--role" .context.role) (ternary (list "--ready") list (eq .check "ready")) | toJson }}
{{- else -}}
httpGet:
  path: /health/{{ .check }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (ne (include "blogctl.servesTls" .context) "") }}
{{- end }}
{{ toYaml .timing }}
{{- end -}}

{{/* Secrets are mounted as folders, never with subPath: the kubelet updates only folders. */}}
{{- define "blogctl.volumeMounts" -}}
{{- $secrets := .root.Values.secrets -}}
- {name: settings, mountPath: /etc/blogctl, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if and (eq .role "api") (not (include "blogctl.usesPostgres" .)) }}
- {name: data, mountPath: /data}
{{- end }}
{{- if and (eq .role "client") $secrets.certificate.existingSecret }}
- {name: certificate, mountPath: /run/secrets/certificate, readOnly: true}
{{- end }}
{{- if and (eq .role "client") $secrets.cookieKey.existingSecret }}
- {name: cookie-key, mountPath: /run/secrets/cookie-key, readOnly: true}
{{- end }}
{{- if include "blogctl.tlsSecret" . }}
- {name: tls, mountPath: /run/secrets/tls, readOnly: true}
{{- end }}
{{- if and .values.tls.enabled (include "blogctl.hasClientCA" .) }}
- {name: client-ca, mountPath: /run/secrets/client-ca, readOnly: true}
{{- end }}
{{- if include "blogctl.apiCA" . }}
- {name: api-ca, mountPath: /run/secrets/api-ca, readOnly: true}
{{- end }}
{{- if and (eq .role "client") .values.apiCertificate }}
{{- if .values.apiCertificate.existingSecret }}
- {name: api-certificate, mountPath: /run/secrets/api-certificate, readOnly: true}
{{- end }}
{{- end }}
{{- if $secrets.telemetryHeaders.existingSecret }}
- {name: telemetry, mountPath: /run/secrets/telemetry, readOnly: true}
{{- end }}
{{- if include "blogctl.caBundle" . }}
- {name: ca, mountPath: /run/secrets/ca, readOnly: true}
{{- end }}
{{- if .values.csi.secretProviderClass }}
- {name: csi, mountPath: /run/secrets/csi, readOnly: true}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "blogctl.volumes" -}}
{{- $secrets := .root.Values.secrets -}}
- name: settings
  configMap: {name: {{ include "blogctl.roleName" . }}, defaultMode: 0440}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: {{ .values.tmpSizeLimit }}}
{{- if and (eq .role "api") (not (include "blogctl.usesPostgres" .)) }}
- name: data
  {{- if .values.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ .values.persistence.existingClaim | default (include "blogctl.roleName" .) }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .values.persistence.size }}}
  {{- end }}
{{- end }}
{{- if eq .role "client" }}
{{- with $secrets.certificate }}
{{- if .existingSecret }}
- name: certificate
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
      {{- range list .certificateKey .privateKeyKey .passphraseKey | compact | uniq }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- end }}
{{- with $secrets.cookieKey }}
{{- if .existingSecret }}
- name: cookie-key
  secret: {secretName: {{ .existingSecret }}, defaultMode: 0440, items: [{key: {{ .key }}, path: cookie-key}]}
{{- end }}
{{- end }}
{{- end }}
{{- with include "blogctl.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: {{ $.values.tls.certificateKey }}, path: tls.crt}, {key: {{ $.values.tls.privateKeyKey }}, path: tls.key}]
{{- end }}
{{- if and .values.tls.enabled (include "blogctl.hasClientCA" .) }}
{{ include "blogctl.projected" (dict "name" "client-ca" "source" (include "blogctl.certificates" .values.tls.clientCA)) }}
{{- end }}
{{- with include "blogctl.apiCA" . }}
{{ include "blogctl.projected" (dict "name" "api-ca" "source" .) }}
{{- end }}
{{- if eq .role "client" }}
{{- with .values.apiCertificate }}
{{- if .existingSecret }}
- name: api-certificate
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items: [{key: {{ .certificateKey }}, path: tls.crt}, {key: {{ .privateKeyKey }}, path: tls.key}]
{{- end }}
{{- end }}
{{- end }}
{{- with $secrets.telemetryHeaders }}
{{- if .existingSecret }}
- name: telemetry
  secret: {secretName: {{ .existingSecret }}, defaultMode: 0440, items: [{key: {{ .key }}, path: headers}]}
{{- end }}
{{- end }}
{{- with include "blogctl.caBundle" . }}
{{ include "blogctl.projected" (dict "name" "ca" "source" .) }}
{{- end }}
{{- if .values.csi.secretProviderClass }}
- name: csi
  csi:
    driver: {{ .values.csi.driver }}
    readOnly: true
    volumeAttributes: {secretProviderClass: {{ .values.csi.secretProviderClass }}}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "blogctl.projected" -}}
- name: {{ .name }}
  projected:
    defaultMode: 0440
    sources:
      - {{ .source }}
{{- end -}}

{{/* The Secret with the server's certificate; empty if there is none. */}}
{{- define "blogctl.tlsSecret" -}}
{{- $tls := .values.tls -}}
{{- if $tls.enabled -}}
{{- if $tls.existingSecret -}}
{{- $tls.existingSecret -}}
{{- else if $tls.certManager.enabled -}}
{{- include "blogctl.roleName" . }}-tls
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Topology spread constraints; those of the operator get the selector of the role. */}}
{{- define "blogctl.spread" -}}
{{- $selector := dict "matchLabels" (include "blogctl.selectorLabels" . | fromYaml) -}}
{{- $zone := dict "maxSkew" 1 "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $node := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $constraints := .values.topologySpreadConstraints -}}
{{- if kindIs "invalid" $constraints }}{{ $constraints = list $zone $node }}{{ end -}}
{{- $all := list -}}
{{- range $constraints -}}
{{- $all = append $all (merge (dict) . (dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash"))) -}}
{{- end -}}
{{- with $all }}{{ toYaml . }}{{ end -}}
{{- end -}}
