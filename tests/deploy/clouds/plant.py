"""Plants faults into copies of deploy/azure and deploy/aws, and expects that check_azure.py and check_aws.py find each.

usage: plant.py DEPLOY WORK BLOGCTL CERTIFICATE
"""

import contextlib
import io
import re
import shutil
import sys
from pathlib import Path

import check_aws
import check_azure

# a file, what it has, and the fault
AZURE = [
    ("main.bicep", "terminationGracePeriodSeconds: gracePeriod", "terminationGracePeriodSecond: gracePeriod"),
    ("main.bicep", "transport: 'http'", "transport: 'https'"),
    ("main.bicep", r"bindingType: bindCertificate \? 'SniEnabled'", "bindingType: bindCertificate ? 'Sni'"),
    ("main.bicep", "minReplicas: minReplicas", "minReplicas: '2'"),
    ("main.bicep", r"environmentId: environment\.id", "environment: environment.id"),
    ("main.bicep", "containerApps@2026-07-01", "containerApps@2022-03-01"),
    ("main.bicep", "value: trustedProxies", "value: trustedProxy"),
    ("main.bicep", r"siteIdentity\.properties\.clientId", "siteIdentity.properties.applicationId"),
    ("main.bicep", r"data\.outputs\.redisUrlId", "data.outputs.redisUri"),
    ("main.bicep", "^    redisSku: redisSku$", ""),
    ("main.bicep", "^    redisSku: redisSku$", "    redisSize: redisSku"),
    ("main.bicep", "secretRef: 'database-url'", "secretRef: 'database'"),
    ("main.bicep", "port: 8000", "port: 8001"),
    ("main.bicep", "failureThreshold: 10", "failureThreshold: 30"),
    ("main.bicep", "path: '/health/ready'", "path: '/health/live'"),
    ("main.bicep", "gracePeriod = .*", "gracePeriod = drainSeconds"),
    ("main.bicep", "external: false", "external: true"),
    ("main.bicep", "allowInsecure: false", "allowInsecure: true"),
    ("main.bicep", "lifecycle: 'None'", "lifecycle: 'All'"),
    ("main.bicep", r"keyVaultUrl: data\.outputs\.databaseUrlId", "value: data.outputs.databaseUrlId"),
    ("main.bicep", "volumeName: 'secrets'", "volumeName: 'secret'"),
    ("main.bicep", r"applicationService: 'Microsoft\.App/environments'", "applicationService: 'Microsoft.App/containerApps'"),
    ("main.bicep", r"\?  *\[\] : \[$", "? [] : {"),
    ("main.bicep", r"uniqueString\(resourceGroup\(\)\.id\)", "uniqueText(resourceGroup().id)"),
    ("main.bicep", r"defaultDomain\}'$", "defaultDomain}"),
    ("main.bicep", r"if \(applications\)", "if (application)"),
    ("main.bicep", "^param minReplicas int = 2$", "param minReplicas int = 1"),
    ("main.bicep", "domainControlValidation: 'CNAME'", "validationToken: 'CNAME'"),
    ("main.bicep", "replicaRetryLimit: 0", "replicaRetryLimit: 3"),
    ("main.bicep", "^      triggerType: 'Manual'$", ""),
    ("main.parameters.json", '"image"', '"picture"'),
    ("main.parameters.json", '"value": false', '"value": "false"'),
    ("main.parameters.json", '"value": "secret"', '"value": "password"'),
    ("modules/data.bicep", r"accessKeysAuthentication: byToken \? 'Disabled'", "accessKeysAuthentication: byToken ? 'Off'"),
    ("modules/data.bicep", "clusteringPolicy: 'NoCluster'", "clusteringPolicy: 'OSSCluster'"),
    ("modules/data.bicep", r"passwordAuth: byToken \? 'Disabled'", "passwordAuth: byToken ? 'None'"),
    ("modules/data.bicep", "publicNetworkAccess: 'Disabled'", "publicNetworkAccess: 'Enabled'"),
    ("modules/data.bicep", r"^@secure\(\)$", ""),
    ("modules/data.bicep", "mode: highAvailability", "modes: highAvailability"),
    ("modules/access.bicep", "vaults/keys/sign/action", "vaults/secrets/getSecret/action"),
    ("modules/access.bicep", "principalType: 'ServicePrincipal'", "principalType: 'Application'"),
    ("modules/network.bicep", "serviceName: applicationService", "service: applicationService"),
    ("modules/network.bicep", "privateDnsZones@2024-06-01", "privateDnsZones@2018-09-01"),
    ("vault.bicep", "enablePurgeProtection: true", "enablePurgeProtection: false"),
    ("vault.bicep", "enableRbacAuthorization: true", "enableRbac: true"),
    ("vault.bicep", "family: 'A'", "family: 'B'"),
    ("appservice.bicep", "httpsOnly: true", "httpsOnly: false"),
    ("appservice.bicep", r"minTlsVersion: '1\.2'", "minTlsVersion: '1.0'"),
    ("appservice.bicep", r"keyVaultReferenceIdentity: platformIdentity\.id", "keyVaultIdentity: platformIdentity.id"),
    ("appservice.bicep", "name: 'WEBSITES_PORT'", "name: 'WEBSITE_PORT'"),
    ("appservice.bicep", "timeAggregation: 'Average'", "timeAggregation: 'Mean'"),
    ("appservice.bicep", "threshold: 65", "threshold: 'high'"),
    ("main.bicep", "BLOG_REDIS__URL", "BLOG_REDIS__ADDRESS"),
    ("main.bicep", "value: 'managed'", "value: 'manage'"),
    ("appservice.bicep", r"/var/ssl/private/\$\{loaded.*p12'", "-----BEGIN CERTIFICATE-----'"),
    ("appservice.bicep", "BLOG_CLIENT__API_SCOPE", "BLOG_CLIENT__SCOPE"),
]

AWS = [
    ("ecs.yaml", "StopTimeout: 40", "StopTimeOut: 40"),
    ("ecs.yaml", "StopTimeout: 40", "StopTimeout: 30"),
    ("ecs.yaml", "Condition: SUCCESS", "Condition: DONE"),
    ("ecs.yaml", "Condition: SUCCESS", "Condition: START"),
    ("ecs.yaml", "NetworkMode: awsvpc", "NetworkMode: vpc"),
    ("ecs.yaml", "ContainerPort: 5000, Protocol", "ContainerPort: 5001, Protocol"),
    ("ecs.yaml", "ContainerName: api,", "ContainerName: server,"),
    ("ecs.yaml", 'Value: "15"', 'Value: "60"'),
    ("ecs.yaml", "Scheme: internal$", "Scheme: internet-facing"),
    ("ecs.yaml", "ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-2016-08"),
    ("ecs.yaml", r"Drop: \[ALL\]", "Add: [SYS_PTRACE]"),
    ("ecs.yaml", "AssignPublicIp: DISABLED", "AssignPublicIp: ENABLED"),
    ("ecs.yaml", "Rollback: true", "Rollback: false"),
    ("ecs.yaml", "!GetAtt ExecutionRole.Arn", "!GetAtt TaskRole.Arn"),
    ("ecs.yaml", "!Ref LogRetentionDays", "!Ref LogRetention"),
    ("ecs.yaml", "HealthCheckPath: /health/ready", "HealthCheckPath: /health"),
    ("ecs.yaml", 'User: "65532:65532"', 'User: "0:0"'),
    ("ecs.yaml", "ReadOnly: true", "ReadOnly: false"),
    ("parameters.json", '"HostName"', '"Hostname"'),
    ("ecs.yaml", "BLOG_CLIENT__COOKIE_KEY_FILE", "BLOG_CLIENT__COOKIE_KEYFILE"),
    ("ecs.yaml", "umask 077", "umask 022"),
    ("ecs.yaml", r'\$COOKIE_KEY" >', '$COOKIE" >'),
    ("ecs.yaml", "CERT_PATH, Value: /run/blogctl/client.pem", "CERT_PATH, Value: /run/blogctl/cert.pem"),
]

folder, work, blogctl, certificate = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
missed = 0


def plant(cloud: str, name: str, pattern: str, replacement: str, check) -> None:
    global missed
    copy = work / cloud
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / cloud, copy)
    text = (copy / name).read_text()
    changed = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    (copy / name).write_text(changed)
    # The checks print what they find.
    with contextlib.redirect_stdout(io.StringIO()):
        found = changed != text and check(copy)
    if not found:
        print(f"the planted fault is not found: {cloud}/{name}: {pattern} -> {replacement}")
        missed += 1


for name, pattern, replacement in AZURE:
    # blogctl finds invalid settings; the other faults are found without it.
    needs_blogctl = re.search("BLOG_|BEGIN|'manage'", pattern + replacement)
    plant("azure", name, pattern, replacement, lambda copy: check_azure.main(copy, blogctl if needs_blogctl else None))
for name, pattern, replacement in AWS:
    plant("aws", name, pattern, replacement, lambda copy: check_aws.main(copy, blogctl, certificate))
print(f"{len(AZURE) + len(AWS) - missed} planted faults found")
sys.exit(bool(missed))
