{{/* Rejects combinations that cannot work, with what to do about each. */}}
{{- define "blogctl.checks" -}}
{{- $root := . -}}
{{- $api := dict "root" . "role" "api" "values" .Values.api -}}
{{- $client := dict "root" . "role" "client" "values" .Values.client -}}
{{- if not (or .Values.api.enabled .Values.client.enabled) -}}
{{- fail "api.enabled, client.enabled: at least one role must be enabled" -}}
{{- end -}}
{{- range list $api $client -}}
{{- if .values.enabled -}}
{{- include "blogctl.checkRole" . -}}
{{- end -}}
{{- end -}}
{{- if .Values.api.enabled }}{{ include "blogctl.checkApi" $api }}{{ end -}}
{{- if .Values.client.enabled }}{{ include "blogctl.checkClient" $client }}{{ end -}}
{{- if not .Values.metrics.enabled -}}
{{- if or .Values.metrics.serviceMonitor.enabled .Values.metrics.prometheusRule.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.prometheusRule need metrics.enabled: true" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.checkRole" -}}
{{- $role := .role -}}
{{- $values := .values -}}
{{- $given := include "blogctl.mergedSettings" . | fromYaml -}}
{{- $secrets := .root.Files.Lines "files/secret-settings.txt" -}}
{{- include "blogctl.checkSecrets" (dict "path" "" "table" $given "secrets" $secrets) -}}
{{- range include "blogctl.foreignSections" . | splitList " " -}}
{{- if hasKey $values.settings . -}}
{{- fail (printf "%s.settings.%s has no effect, because only the other role reads this section. Use settings.%s" $role . .) -}}
{{- end -}}
{{- end -}}
{{- $_ := required "settings.entra.tenant_id: set the directory (tenant) ID" (dig "entra" "tenant_id" "" $given) -}}
{{- $port := include "blogctl.port" . | int -}}
{{- if eq $port 0 -}}
{{- fail (printf "settings.%s.port: 0 picks a random port, which no Service can reach; set a port, or leave it unset" $role) -}}
{{- end -}}
{{- if lt $port 1024 -}}
{{- fail (printf "settings.%s.port: %d needs a privilege that the container does not have; use a port from 1024, and %s.service.port for the port of the Service" $role $port $role) -}}
{{- end -}}
{{- if and .root.Values.metrics.enabled (eq $port (.root.Values.metrics.port | int)) -}}
{{- fail (printf "metrics.port: %d is also settings.%s.port; the metrics need a separate port" $port $role) -}}
{{- end -}}
{{- $grace := include "blogctl.graceSeconds" . | int -}}
{{- with $values.terminationGracePeriodSeconds -}}
{{- if lt (int .) $grace -}}
{{- fail (printf "%s.terminationGracePeriodSeconds: %d is too short. A stopping pod needs %d seconds: %s.preStopSleepSeconds + server.drain_seconds + server.shutdown_seconds + 5" $role (int .) $grace $role) -}}
{{- end -}}
{{- end -}}
{{- with $values.autoscaling -}}
{{- if .enabled -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas (%d) is greater than maxReplicas (%d)" $role (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .requestsInFlight.enabled (not $.root.Values.metrics.enabled) -}}
{{- fail (printf "%s.autoscaling.requestsInFlight needs metrics.enabled: true, and an adapter that provides the metric" $role) -}}
{{- end -}}
{{- if not (or .cpuPercent .requestsInFlight.enabled) -}}
{{- fail (printf "%s.autoscaling: set cpuPercent or requestsInFlight.enabled; without a metric nothing scales" $role) -}}
{{- end -}}
{{- if and .cpuPercent (not (dig "requests" "cpu" "" $values.resources)) -}}
{{- fail (printf "%s.autoscaling.cpuPercent is relative to %s.resources.requests.cpu, which is not set" $role $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.workloadIdentity.enabled (not $values.workloadIdentity.clientId) -}}
{{- fail (printf "%s.workloadIdentity.clientId: set the client ID of the managed identity or app registration" $role) -}}
{{- end -}}
{{- if and $values.workloadIdentity.enabled (not $values.serviceAccount.create) (not $values.serviceAccount.name) -}}
{{- fail (printf "%s.serviceAccount.name: workload identity needs a separate ServiceAccount; name it, or let the chart create one" $role) -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail (printf "%s.ingress.hosts: set at least one host name" $role) -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail (printf "%s.httpRoute.parentRefs: name at least one Gateway" $role) -}}
{{- end -}}
{{- include "blogctl.checkTls" . -}}
{{- include "blogctl.checkVolumes" . -}}
{{- end -}}

{{- define "blogctl.checkTls" -}}
{{- $tls := .values.tls -}}
{{- $role := .role -}}
{{- $sources := compact (list $tls.existingSecret $tls.csi.certificateFile (ternary "certManager" "" $tls.certManager.enabled)) -}}
{{- if $tls.enabled -}}
{{- if ne (len $sources) 1 -}}
{{- fail (printf "%s.tls: set exactly one of existingSecret, csi.certificateFile and certManager.enabled" $role) -}}
{{- end -}}
{{- if dig "server" "tls" "cert_path" "" (include "blogctl.mergedSettings" . | fromYaml) -}}
{{- fail (printf "settings.server.tls.cert_path: %s.tls sets the path of the mounted certificate; use one of them" $role) -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.certManager.issuerRef.name) -}}
{{- fail (printf "%s.tls.certManager.issuerRef: name the issuer, such as {name: internal-ca, kind: ClusterIssuer}" $role) -}}
{{- end -}}
{{- else if $sources -}}
{{- fail (printf "%s.tls.enabled: a certificate is configured, but TLS is off" $role) -}}
{{- else if include "blogctl.hasClientCA" . -}}
{{- fail (printf "%s.tls.clientCA needs %s.tls.enabled: true" $role $role) -}}
{{- end -}}
{{- if and (eq $role "api") $tls.clientCA.existingSecret $tls.clientCA.existingConfigMap -}}
{{- fail "api.tls.clientCA: set existingSecret or existingConfigMap, not both" -}}
{{- end -}}
{{- if dig "server" "tls" "acme" "directory" "" (include "blogctl.mergedSettings" .| fromYaml) -}}
{{- if gt (include "blogctl.mostReplicas" . | int) 1 -}}
{{- fail (printf "settings.server.tls.acme: %s has several replicas, and the CA's request reaches only one of them. Use cert-manager: %s.tls.certManager" $role $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.checkVolumes" -}}
{{- $role := .role -}}
{{- $files := list .values.tls.csi.certificateFile .values.tls.csi.privateKeyFile -}}
{{- with .values.csi.files }}{{ $files = concat $files (values .) }}{{ end -}}
{{- if and (compact $files) (not .values.csi.secretProviderClass) -}}
{{- fail (printf "%s.csi.secretProviderClass: files of a CSI volume are configured, but no SecretProviderClass" $role) -}}
{{- end -}}
{{- if and .values.caBundle.existingSecret .values.caBundle.existingConfigMap -}}
{{- fail (printf "%s.caBundle: set existingSecret or existingConfigMap, not both" $role) -}}
{{- end -}}
{{- if and (include "blogctl.caBundle" .) (dig "entra" "ca_file" "" (include "blogctl.mergedSettings" . | fromYaml)) -}}
{{- fail (printf "settings.entra.ca_file: %s.caBundle sets it; use one of them, with all certificates in one file" $role) -}}
{{- end -}}
{{- if include "blogctl.socket" . -}}
{{- $port := include "blogctl.port" . | int -}}
{{- $ports := list -}}
{{- range .values.extraContainers }}{{ range .ports }}{{ if eq .name "http" }}{{ $ports = append $ports (int .containerPort) }}{{ end }}{{ end }}{{ end -}}
{{- if not (has $port $ports) -}}
{{- fail (printf "settings.%s.socket_path: a Service reaches no socket. Add a proxy to %s.extraContainers with a port named http and containerPort %d" $role $role $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.checkApi" -}}
{{- $given := include "blogctl.mergedSettings" . | fromYaml -}}
{{- if not (or (dig "api" "app_id_uri" "" $given) (dig "api" "client_id" "" $given)) -}}
{{- fail "settings.api.app_id_uri: set the App ID URI of the API's registration, such as api://GUID (or settings.api.client_id)" -}}
{{- end -}}
{{- if and .root.Values.secrets.database.existingSecret (dig "database" "url" "" $given) -}}
{{- fail "settings.database.url: secrets.database.existingSecret sets it; use one of them" -}}
{{- end -}}
{{- $persistence := .values.persistence -}}
{{- if include "blogctl.usesPostgres" . -}}
{{- if $persistence.enabled -}}
{{- fail "api.persistence: PostgreSQL is configured, so the API needs no volume" -}}
{{- end -}}
{{- else -}}
{{- if gt (include "blogctl.mostReplicas" . | int) 1 -}}
{{- fail "api: more than one replica needs PostgreSQL, because only one may write a SQLite file. Set secrets.database.existingSecret, or api.replicas: 1 without autoscaling" -}}
{{- end -}}
{{- if not (or $persistence.enabled $persistence.ephemeral) -}}
{{- fail "api.persistence.enabled: without PostgreSQL (secrets.database.existingSecret) the posts are in a SQLite file, which needs a volume. For a trial, api.persistence.ephemeral: true loses them with the pod" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "blogctl.checkClient" -}}
{{- $given := include "blogctl.mergedSettings" . | fromYaml -}}
{{- $settings := include "blogctl.settings" . | fromYaml -}}
{{- $secrets := .root.Values.secrets -}}
{{- $files := .values.csi.files -}}
{{- $_ := required "settings.client.client_id: set the client ID of the site's registration" (dig "client" "client_id" "" $given) -}}
{{- $_ := required "settings.client.api_scope: set the scope of the API, such as api://GUID/access_as_user" (dig "client" "api_scope" "" $given) -}}
{{- $credentials := compact (list $secrets.certificate.existingSecret $files.certificate (dig "client" "cert_path" "" $given)) -}}
{{- $list := dig "client" "credential" list $given -}}
{{- if not (or $credentials $list) -}}
{{- fail "secrets.certificate.existingSecret: the site needs a client credential. Set it, or client.csi.files.certificate, or settings.client.credential (Key Vault, workload identity)" -}}
{{- end -}}
{{- if or (gt (len $credentials) 1) (and $credentials $list) -}}
{{- fail "secrets.certificate, client.csi.files.certificate, settings.client.cert_path, settings.client.credential: set only one of them; a list in settings.client.credential can name several credentials" -}}
{{- end -}}
{{- $keys := compact (list $secrets.cookieKey.existingSecret $files.cookieKey (dig "client" "cookie_key_file" "" $given)) -}}
{{- if ne (len $keys) 1 -}}
{{- fail "secrets.cookieKey.existingSecret: the site needs one cookie key, the same in all replicas. Set it, or client.csi.files.cookieKey" -}}
{{- end -}}
{{- if and .values.apiCA.existingSecret .values.apiCA.existingConfigMap -}}
{{- fail "client.apiCA: set existingSecret or existingConfigMap, not both" -}}
{{- end -}}
{{- if and (include "blogctl.apiCA" .) (dig "client" "api_ca_file" "" $given) -}}
{{- fail "settings.client.api_ca_file: client.apiCA (or the CA of cert-manager) sets it; use one of them" -}}
{{- end -}}
{{- if and .root.Values.api.enabled (include "blogctl.hasClientCA" (dict "role" "api" "values" .root.Values.api)) (not (or .values.apiCertificate.existingSecret (dig "client" "api_tls_cert_path" "" $given))) -}}
{{- fail "client.apiCertificate.existingSecret: the API requires client certificates (api.tls.clientCA), so the site needs one" -}}
{{- end -}}
{{- if and $secrets.redis.existingSecret (dig "redis" "url" "" $given) -}}
{{- fail "settings.redis.url: secrets.redis.existingSecret sets it; use one of them" -}}
{{- end -}}
{{- if and (gt (include "blogctl.mostReplicas" . | int) 1) (not (include "blogctl.usesRedis" .)) -}}
{{- fail "client: more than one replica needs Redis, or requests reach replicas that do not know the session. Set secrets.redis.existingSecret, or client.replicas: 1 without autoscaling" -}}
{{- end -}}
{{- if not (or (dig "client" "public_url" "" $settings) (dig "client" "redirect_uri" "" $settings)) -}}
{{- fail "settings.client.public_url: set how browsers reach the site, such as https://blog.example.com (default: the first host of client.ingress or client.httpRoute)" -}}
{{- end -}}
{{- $url := dig "client" "api_base_url" "" $settings -}}
{{- if not $url -}}
{{- fail "settings.client.api_base_url: api.enabled is false, so set the URL of the API" -}}
{{- end -}}
{{- $isLocal := regexMatch "^http://(localhost|127\\.[0-9.]+|\\[::1\\])([:/]|$)" $url -}}
{{- $isProduction := ne (dig "server" "environment" "production" $settings) "development" -}}
{{- if and $isProduction (hasPrefix "http://" $url) (not $isLocal) -}}
{{- fail (printf "client.api_base_url is %s, but in production the site sends access tokens over HTTPS only. Set api.tls (a Secret, or certManager), or settings.client.api_base_url to an https URL" $url) -}}
{{- end -}}
{{- end -}}

{{/* Every text of the settings is in a ConfigMap, which more accounts may read than Secrets. Takes {path, table, secrets}. */}}
{{- define "blogctl.checkSecrets" -}}
{{- $path := .path -}}
{{- $secrets := .secrets -}}
{{- range $key, $value := .table -}}
{{- $name := ternary $key (printf "%s.%s" $path $key) (eq $path "") -}}
{{- if has $name $secrets -}}
{{- fail (printf "settings.%s is a secret, and settings are in a ConfigMap. Use the values `secrets`, or api.extraEnv and client.extraEnv with a secretKeyRef" $name) -}}
{{- end -}}
{{- $texts := ternary $value (list $value) (kindIs "slice" $value) -}}
{{- if kindIs "map" $value -}}
{{- include "blogctl.checkSecrets" (dict "path" $name "table" $value "secrets" $secrets) -}}
{{- else -}}
{{- range $texts -}}
{{- if kindIs "map" . -}}
{{- include "blogctl.checkSecrets" (dict "path" $name "table" . "secrets" $secrets) -}}
{{- else if regexMatch "(?i)://[^/@?#]*:[^/@?#]+@|password=|-----BEGIN [A-Z ]*PRIVATE KEY" (toString .) -}}
{{- fail (printf "settings.%s contains a secret, and settings are in a ConfigMap. Put it into a Secret: secrets.database, secrets.redis, or api.extraEnv and client.extraEnv with a secretKeyRef" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
