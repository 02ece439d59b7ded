{{/*
Names and labels. Most templates take a context with the keys root (the top-level scope), role ("api" or "client") and
values (the values of the role).
*/}}
{{- define "blogctl.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "blogctl.fullname" -}}
{{- $name := include "blogctl.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.roleName" -}}
{{- printf "%s-%s" (include "blogctl.fullname" .root) .role -}}
{{- end -}}

{{- define "blogctl.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "blogctl.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels that select the pods of a role. They never change, because a Deployment's selector is immutable. */}}
{{- define "blogctl.selectorLabels" -}}
app.kubernetes.io/name: {{ include "blogctl.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "blogctl.labels" -}}
{{ include "blogctl.selectorLabels" . }}
{{ include "blogctl.commonLabels" .root }}
{{- end -}}

{{/* metadata of an object of a role; suffix is appended to its name, annotations are added. */}}
{{- define "blogctl.metadata" -}}
name: {{ include "blogctl.roleName" . }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "blogctl.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "blogctl.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository: set the repository of the image, such as registry.example.com/blogctl" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.serviceAccountName" -}}
{{- $account := .values.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "blogctl.roleName" .) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{/* The address of a role inside the cluster, without port. cert-manager's Certificate has this name. */}}
{{- define "blogctl.host" -}}
{{- printf "%s.%s.svc" (include "blogctl.roleName" .) .root.Release.Namespace -}}
{{- end -}}

{{- define "blogctl.servicePort" -}}
{{- .values.service.port | default (ternary 443 80 .values.tls.enabled) | int -}}
{{- end -}}

{{- define "blogctl.usesPostgres" -}}
{{- $url := dig "database" "url" "" (include "blogctl.mergedSettings" . | fromYaml) -}}
{{- if or .root.Values.secrets.database.existingSecret (regexMatch "^postgres(ql)?://|(^| )host=" $url) -}}true{{- end -}}
{{- end -}}

{{- define "blogctl.usesRedis" -}}
{{- $settings := include "blogctl.mergedSettings" . | fromYaml -}}
{{- if or .root.Values.secrets.redis.existingSecret (dig "redis" "url" "" $settings) (dig "redis" "urls" "" $settings) -}}true{{- end -}}
{{- end -}}

{{/* The job of a role in Prometheus. */}}
{{- define "blogctl.job" -}}
{{- $name := include "blogctl.roleName" . -}}
{{ ternary $name (printf "blogctl-%s" $name) (contains "blogctl" $name) }}
{{- end -}}

{{/* Most replicas of a role at once. */}}
{{- define "blogctl.mostReplicas" -}}
{{- if .values.autoscaling.enabled }}{{ .values.autoscaling.maxReplicas | int }}{{ else }}{{ .values.replicas | int }}{{ end -}}
{{- end -}}
