{{/* The operator's settings of a role: those of both roles, and those of the role, which take precedence. YAML. */}}
{{- define "blogctl.mergedSettings" -}}
{{- mergeOverwrite (dict) (deepCopy .root.Values.settings) (deepCopy .values.settings) | toYaml -}}
{{- end -}}

{{/* What the chart derives from other values: addresses, and the paths of mounted files. YAML. */}}
{{- define "blogctl.derivedSettings" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $given := include "blogctl.mergedSettings" . | fromYaml -}}
{{- $secrets := $root.Values.secrets -}}
{{- $derived := dict .role (dict "host" "0.0.0.0") -}}
{{- if $root.Values.metrics.enabled -}}
{{- $_ := set $derived "metrics" (dict "enabled" true "host" "0.0.0.0" "port" $root.Values.metrics.port) -}}
{{- end -}}
{{- if $values.tls.enabled -}}
{{- $csi := $values.tls.csi -}}
{{- $tls := dict "cert_path" "/run/secrets/tls/tls.crt" "key_path" "/run/secrets/tls/tls.key" -}}
{{- if $csi.certificateFile -}}
{{- $tls = dict "cert_path" (printf "/run/secrets/csi/%s" $csi.certificateFile) "key_path" (printf "/run/secrets/csi/%s" (default $csi.certificateFile $csi.privateKeyFile)) -}}
{{- end -}}
{{- if include "blogctl.hasClientCA" . -}}
{{- $_ := set $tls "client_ca" "/run/secrets/client-ca/ca.crt" -}}
{{- end -}}
{{- $_ := set $derived "server" (dict "tls" $tls) -}}
{{- end -}}
{{- if $secrets.telemetryHeaders.existingSecret -}}
{{- $_ := set $derived "telemetry" (dict "headers_file" "/run/secrets/telemetry/headers") -}}
{{- end -}}
{{- if include "blogctl.caBundle" . -}}
{{- $_ := set $derived "entra" (dict "ca_file" "/run/secrets/ca/ca.crt") -}}
{{- end -}}
{{- if and (eq .role "api") (not (include "blogctl.usesPostgres" .)) -}}
{{- $_ := set $derived "database" (dict "url" "sqlite:////data/blog.db") -}}
{{- end -}}
{{- if eq .role "client" -}}
{{- $client := $derived.client -}}
{{- if include "blogctl.apiCA" . -}}
{{- $_ := set $client "api_ca_file" "/run/secrets/api-ca/ca.crt" -}}
{{- end -}}
{{- if $values.apiCertificate.existingSecret -}}
{{- $_ := set $client "api_tls_cert_path" "/run/secrets/api-certificate/tls.crt" -}}
{{- $_ := set $client "api_tls_key_path" "/run/secrets/api-certificate/tls.key" -}}
{{- end -}}
{{- $files := $values.csi.files -}}
{{- with $files.cookieKey -}}
{{- $_ := set $client "cookie_key_file" (printf "/run/secrets/csi/%s" .) -}}
{{- end -}}
{{- if $secrets.cookieKey.existingSecret -}}
{{- $_ := set $client "cookie_key_file" "/run/secrets/cookie-key/cookie-key" -}}
{{- end -}}
{{- with $files.certificate -}}
{{- $_ := set $client "cert_path" (printf "/run/secrets/csi/%s" .) -}}
{{- with $files.privateKey -}}
{{- $_ := set $client "key_path" (printf "/run/secrets/csi/%s" .) -}}
{{- end -}}
{{- with $files.passphrase -}}
{{- $_ := set $client "key_passphrase_file" (printf "/run/secrets/csi/%s" .) -}}
{{- end -}}
{{- end -}}
{{- if $secrets.certificate.existingSecret -}}
{{- $_ := set $client "cert_path" (printf "/run/secrets/certificate/%s" $secrets.certificate.certificateKey) -}}
{{- with $secrets.certificate.privateKeyKey -}}
{{- $_ := set $client "key_path" (printf "/run/secrets/certificate/%s" .) -}}
{{- end -}}
{{- with $secrets.certificate.passphraseKey -}}
{{- $_ := set $client "key_passphrase_file" (printf "/run/secrets/certificate/%s" .) -}}
{{- end -}}
{{- end -}}
{{- $host := "" -}}
{{- if $values.httpRoute.enabled }}{{ $host = first $values.httpRoute.hostnames | default "" }}{{ end -}}
{{- if $values.ingress.enabled }}{{ $host = first $values.ingress.hosts | default $host }}{{ end -}}
{{- if and $host (not (dig "client" "redirect_uri" "" $given)) -}}
{{- $_ := set $client "public_url" (printf "https://%s" $host) -}}
{{- end -}}
{{- if $root.Values.api.enabled -}}
{{- $api := dict "root" $root "role" "api" "values" $root.Values.api -}}
{{- $port := include "blogctl.servicePort" $api | int -}}
{{- $tls := $root.Values.api.tls.enabled -}}
{{- $suffix := ternary "" (printf ":%d" $port) (eq $port (ternary 443 80 $tls)) -}}
{{- $_ := set $client "api_base_url" (printf "%s://%s%s" (ternary "https" "http" $tls) (include "blogctl.host" $api) $suffix) -}}
{{- end -}}
{{- end -}}
{{- $derived | toYaml -}}
{{- end -}}

{{/* All settings of a role, without the sections that only the other role reads. YAML. */}}
{{- define "blogctl.settings" -}}
{{- $given := include "blogctl.mergedSettings" . | fromYaml -}}
{{- $derived := include "blogctl.derivedSettings" . | fromYaml -}}
{{- range include "blogctl.foreignSections" . | splitList " " }}{{ $_ := unset $given . }}{{ end -}}
{{- mergeOverwrite (dict) $derived $given | toYaml -}}
{{- end -}}

{{/* The sections that only the other role reads. */}}
{{- define "blogctl.foreignSections" -}}
{{ ternary "client" "api database" (eq .role "api") }}
{{- end -}}

{{/* A setting of the [server] section in seconds; the default is the program's. Takes {context, key, default}. */}}
{{- define "blogctl.seconds" -}}
{{- $value := dig "server" .key "" (include "blogctl.mergedSettings" .context | fromYaml) -}}
{{- if eq (toString $value) "" }}{{ .default }}{{ else }}{{ $value | int }}{{ end -}}
{{- end -}}

{{- define "blogctl.port" -}}
{{- $default := ternary 8000 5000 (eq .role "api") -}}
{{- dig .role "port" $default (include "blogctl.mergedSettings" . | fromYaml) | int -}}
{{- end -}}

{{/* The Unix socket that the server listens on; empty if it listens on a port. */}}
{{- define "blogctl.socket" -}}
{{- dig .role "socket_path" "" (include "blogctl.mergedSettings" . | fromYaml) -}}
{{- end -}}

{{/* Not empty if the server speaks TLS: from the chart's values or from the settings. */}}
{{- define "blogctl.servesTls" -}}
{{- $tls := dig "server" "tls" dict (include "blogctl.settings" . | fromYaml) -}}
{{- if or $tls.cert_path (dig "acme" "directory" "" $tls) -}}true{{- end -}}
{{- end -}}

{{- define "blogctl.hasClientCA" -}}
{{- if and (eq .role "api") (or (dig "clientCA" "existingSecret" "" .values.tls) (dig "clientCA" "existingConfigMap" "" .values.tls)) -}}true{{- end -}}
{{- end -}}

{{/* A projected volume source with CA certificates, as YAML; empty if there are none. Takes {existingSecret, existingConfigMap, key}. */}}
{{- define "blogctl.certificates" -}}
{{- if .existingSecret -}}
secret: {name: {{ .existingSecret }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- else if .existingConfigMap -}}
configMap: {name: {{ .existingConfigMap }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end -}}
{{- end -}}

{{- define "blogctl.caBundle" -}}
{{- include "blogctl.certificates" .values.caBundle -}}
{{- end -}}

{{/* The CA of the API's certificate, for the site. */}}
{{- define "blogctl.apiCA" -}}
{{- if eq .role "client" -}}
{{- $api := .root.Values.api -}}
{{- $given := include "blogctl.certificates" .values.apiCA -}}
{{- if $given -}}
{{- $given -}}
{{- else if and $api.enabled $api.tls.enabled $api.tls.certManager.enabled -}}
secret: {name: {{ include "blogctl.roleName" (dict "root" .root "role" "api") }}-tls, items: [{key: ca.crt, path: ca.crt}]}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.graceSeconds" -}}
{{- $drain := include "blogctl.seconds" (dict "context" . "key" "drain_seconds" "default" 5) | int -}}
{{- $shutdown := include "blogctl.seconds" (dict "context" . "key" "shutdown_seconds" "default" 10) | int -}}
{{- add (.values.preStopSleepSeconds | int) $drain $shutdown 5 -}}
{{- end -}}
