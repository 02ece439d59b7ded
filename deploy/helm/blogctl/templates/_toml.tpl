{{/*
A table as TOML: first its values, then its tables. Helm's toToml writes some numbers as floats, which the settings reject.
Takes {path, table}.
*/}}
{{- define "blogctl.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ $key }} = {{ include "blogctl.tomlValue" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $name := ternary $key (printf "%s.%s" $path $key) (eq $path "") }}

[{{ $name }}]
{{- include "blogctl.toml" (dict "path" $name "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A JSON string is also a TOML string. */}}
{{- define "blogctl.tomlValue" -}}
{{- if kindIs "slice" . -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "blogctl.tomlValue" $item }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key }} = {{ include "blogctl.tomlValue" (get $ $key) }}{{ end }} }
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if typeIs "json.Number" . -}}
{{ printf "%v" . }}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ printf "%v" . }}{{ end -}}
{{- else if kindIs "string" . -}}
{{ toJson . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* A value of a setting for an environment variable: the text, or the value as in TOML. */}}
{{- define "blogctl.variable" -}}
{{- if and (kindIs "string" .) (not (typeIs "json.Number" .)) }}{{ . }}{{ else }}{{ include "blogctl.tomlValue" . }}{{ end -}}
{{- end -}}
