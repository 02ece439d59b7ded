// Step 2 for Azure Container Apps: the web site, reachable from the internet, the API, reachable inside the environment only, and a
// job that migrates the database. vault.bicep comes first. docs/deploy/container-apps.md has the steps.

targetScope = 'resourceGroup'

@description('Prefix of all names, as in vault.bicep.')
@minLength(3)
@maxLength(11)
param name string = 'blogctl'

@description('Region of all resources.')
param location string = resourceGroup().location

@description('The image, by digest: ghcr.io/OWNER/blogctl@sha256:…')
param image string

@description('Registry to pull from with the platform identity, such as NAME.azurecr.io, which needs the role AcrPull there. Empty for a public image.')
param registryServer string = ''

@description('Client ID of the app registration of the web site.')
param siteClientId string

@description('Client ID of the app registration of the API.')
param apiClientId string

@description('App ID URI of the API.')
param apiAppIdUri string = 'api://${apiClientId}'

@description('Deploy the site and the API, too. The first time, deploy with false, start the migration job, and deploy again with true: an API whose database has no tables does not become ready, and its deployment fails.')
param applications bool = true

@description('Name of the certificate in the vault.')
param certificateName string = 'blog-site'

@description('Host name of the site, such as blog.example.com. Empty: the name that Azure gives it.')
param hostName string = ''

@description('Bind a managed certificate to hostName. First deploy with false, so that Azure knows the name; then with true.')
param bindCertificate bool = false

@description('How the applications log in to PostgreSQL and Redis. secret: a password and an access key, which stay in the vault and reach the applications as references. entra: no secret at all, with the identities of vault.bicep; the servers then refuse passwords and keys. Needs blogctl 0.3 or newer.')
@allowed(['secret', 'entra'])
param databaseAuthentication string = 'secret'

@description('Create a role for signing only: see modules/access.bicep.')
param customRole bool = true

@description('Network of the subnets: a /22 or larger.')
param addressPrefix string = '10.40.0.0/22'

@description('Where the ingress of the environment connects from. The default is the range that Container Apps reserves for itself; the access log shows the address.')
param trustedProxies string = '100.100.0.0/16'

@description('Compute of PostgreSQL.')
param postgresSku string = 'Standard_D2ds_v5'

@description('Compute tier of PostgreSQL.')
@allowed(['Burstable', 'GeneralPurpose', 'MemoryOptimized'])
param postgresTier string = 'GeneralPurpose'

@description('Standby servers for PostgreSQL and Redis, and replicas in several zones.')
param highAvailability bool = true

@description('Size of Redis.')
param redisSku string = 'Balanced_B0'

@description('Fewest replicas of each role.')
@minValue(1)
param minReplicas int = 2

@description('Most replicas of each role. Each replica of the API opens up to 14 connections to PostgreSQL.')
@minValue(1)
param maxReplicas int = 10

@description('Seconds that a stopping replica still accepts requests, until the ingress has noticed.')
@minValue(0)
@maxValue(300)
param drainSeconds int = 15

@description('Seconds that a stopping replica then waits for requests that are still running.')
@minValue(0)
@maxValue(280)
param shutdownSeconds int = 10

// --- what step 1 created ------------------------------------------------------------------------------------------------

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: '${name}${uniqueString(resourceGroup().id)}'
}

resource siteIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: '${name}-site'
}

resource apiIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: '${name}-api'
}

resource platformIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: '${name}-platform'
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: '${name}-logs'
}

// --- network, data and rights -------------------------------------------------------------------------------------------

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    name: name
    location: location
    addressPrefix: addressPrefix
    applicationService: 'Microsoft.App/environments'
  }
}

module data 'modules/data.bicep' = {
  name: 'data'
  params: {
    name: name
    location: location
    vaultName: vault.name
    authentication: databaseAuthentication
    postgresPassword: vault.getSecret('postgres-password')
    apiIdentityName: apiIdentity.name
    apiPrincipalId: apiIdentity.properties.principalId
    sitePrincipalId: siteIdentity.properties.principalId
    postgresSubnetId: network.outputs.postgresSubnetId
    postgresZoneId: network.outputs.postgresZoneId
    endpointsSubnetId: network.outputs.endpointsSubnetId
    redisZoneId: network.outputs.redisZoneId
    postgresSku: postgresSku
    postgresTier: postgresTier
    highAvailability: highAvailability
    redisSku: redisSku
  }
}

module access 'modules/access.bicep' = {
  name: 'access'
  params: {
    vaultName: vault.name
    certificateName: certificateName
    sitePrincipalId: siteIdentity.properties.principalId
    platformPrincipalId: platformIdentity.properties.principalId
    secretNames: ['client-cookie-key', 'database-url', 'redis-url']
    customRole: customRole
  }
  dependsOn: [data]
}

// --- the environment ----------------------------------------------------------------------------------------------------

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' = {
  name: '${name}-environment'
  location: location
  properties: {
    vnetConfiguration: {
      infrastructureSubnetId: network.outputs.applicationsSubnetId
      internal: false
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    zoneRedundant: highAvailability
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: workspace.properties.customerId
        sharedKey: workspace.listKeys().primarySharedKey
      }
    }
    // Traffic between ingress and replicas is encrypted, too.
    peerTrafficConfiguration: {
      encryption: {
        enabled: true
      }
    }
  }
}

// Stays the same when the certificate is bound, so it must not depend on the site.
var certificateId = '${environment.id}/managedCertificates/site'
var siteAddress = '${name}-site.${environment.properties.defaultDomain}'
var publicHost = empty(hostName) ? siteAddress : hostName
var registries = empty(registryServer) ? [] : [
  {
    server: registryServer
    identity: platformIdentity.id
  }
]
var gracePeriod = drainSeconds + shutdownSeconds + 10
var commonSettings = [
  {
    name: 'BLOG_ENTRA__TENANT_ID'
    value: subscription().tenantId
  }
  {
    name: 'BLOG_SERVER__TRUSTED_PROXIES'
    value: trustedProxies
  }
  {
    name: 'BLOG_SERVER__DRAIN_SECONDS'
    value: string(drainSeconds)
  }
  {
    name: 'BLOG_SERVER__SHUTDOWN_SECONDS'
    value: string(shutdownSeconds)
  }
  {
    name: 'BLOG_LOG__FORMAT'
    value: 'json'
  }
]
var apiSettings = [
  {
    name: 'BLOG_API__HOST'
    value: '0.0.0.0'
  }
  {
    name: 'BLOG_API__APP_ID_URI'
    value: apiAppIdUri
  }
  {
    name: 'BLOG_API__CLIENT_ID'
    value: apiClientId
  }
  {
    name: 'BLOG_DATABASE__URL'
    secretRef: 'database-url'
  }
]
// The API and the migration log in with tokens of this identity.
var databaseTokens = databaseAuthentication != 'entra' ? [] : [
  {
    name: 'BLOG_DATABASE__AZURE'
    value: 'true'
  }
  {
    name: 'BLOG_AZURE__IDENTITY'
    value: 'managed'
  }
  {
    name: 'BLOG_AZURE__CLIENT_ID'
    value: apiIdentity.properties.clientId
  }
]
var redisTokens = databaseAuthentication != 'entra' ? [] : [
  {
    name: 'BLOG_REDIS__AZURE'
    value: 'true'
  }
]
var siteSettings = [
  {
    name: 'BLOG_CLIENT__HOST'
    value: '0.0.0.0'
  }
  {
    name: 'BLOG_CLIENT__PUBLIC_URL'
    value: 'https://${publicHost}'
  }
  {
    name: 'BLOG_CLIENT__CLIENT_ID'
    value: siteClientId
  }
  {
    name: 'BLOG_CLIENT__API_SCOPE'
    value: '${apiAppIdUri}/access_as_user'
  }
  {
    name: 'BLOG_CLIENT__API_BASE_URL'
    // The name of an application with internal ingress.
    value: 'https://${name}-api.internal.${environment.properties.defaultDomain}'
  }
  {
    // The key stays in the vault, which signs.
    name: 'BLOG_CLIENT__CREDENTIAL'
    value: '[{"source":"key_vault_sign","vault_url":"${vault.properties.vaultUri}","certificate":"${certificateName}"}]'
  }
  {
    name: 'BLOG_AZURE__IDENTITY'
    value: 'managed'
  }
  {
    name: 'BLOG_AZURE__CLIENT_ID'
    value: siteIdentity.properties.clientId
  }
  {
    name: 'BLOG_CLIENT__COOKIE_KEY_FILE'
    value: '/run/secrets/client-cookie-key'
  }
  {
    name: 'BLOG_REDIS__URL'
    secretRef: 'redis-url'
  }
]

// --- the API ------------------------------------------------------------------------------------------------------------

resource api 'Microsoft.App/containerApps@2026-07-01' = if (applications) {
  name: '${name}-api'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${platformIdentity.id}': {}
      '${apiIdentity.id}': {}
    }
  }
  properties: {
    managedEnvironmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 10
      ingress: {
        external: false
        targetPort: 8000
        transport: 'http'
        allowInsecure: false
      }
      registries: registries
      secrets: [
        {
          name: 'database-url'
          keyVaultUrl: data.outputs.databaseUrlId
          identity: platformIdentity.id
        }
      ]
      identitySettings: [
        {
          // An attacker inside the container cannot use it.
          identity: platformIdentity.id
          lifecycle: 'None'
        }
        {
          identity: apiIdentity.id
          lifecycle: 'Main'
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: gracePeriod
      containers: [
        {
          name: 'api'
          image: image
          args: ['serve-api']
          env: concat(commonSettings, apiSettings, databaseTokens)
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/health/live'
                port: 8000
              }
              periodSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/health/live'
                port: 8000
              }
              periodSeconds: 10
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/health/ready'
                port: 8000
              }
              periodSeconds: 5
              failureThreshold: 2
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [
          {
            name: 'requests'
            http: {
              metadata: {
                concurrentRequests: '100'
              }
            }
          }
          {
            name: 'cpu'
            custom: {
              type: 'cpu'
              metadata: {
                type: 'Utilization'
                value: '70'
              }
            }
          }
        ]
      }
    }
  }
  dependsOn: [access]
}

// --- the web site -------------------------------------------------------------------------------------------------------

resource site 'Microsoft.App/containerApps@2026-07-01' = if (applications) {
  name: '${name}-site'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${platformIdentity.id}': {}
      '${siteIdentity.id}': {}
    }
  }
  properties: {
    managedEnvironmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 10
      ingress: {
        external: true
        targetPort: 5000
        transport: 'http'
        allowInsecure: false
        customDomains: empty(hostName) ? [] : [
          {
            name: hostName
            bindingType: bindCertificate ? 'SniEnabled' : 'Disabled'
            certificateId: bindCertificate ? certificateId : null
          }
        ]
      }
      registries: registries
      secrets: [
        {
          name: 'client-cookie-key'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/client-cookie-key'
          identity: platformIdentity.id
        }
        {
          name: 'redis-url'
          keyVaultUrl: data.outputs.redisUrlId
          identity: platformIdentity.id
        }
      ]
      identitySettings: [
        {
          identity: platformIdentity.id
          lifecycle: 'None'
        }
        {
          identity: siteIdentity.id
          lifecycle: 'Main'
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: gracePeriod
      containers: [
        {
          name: 'site'
          image: image
          args: ['serve-client']
          env: concat(commonSettings, siteSettings, redisTokens)
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          volumeMounts: [
            {
              volumeName: 'secrets'
              mountPath: '/run/secrets'
            }
          ]
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/health/live'
                port: 5000
              }
              periodSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/health/live'
                port: 5000
              }
              periodSeconds: 10
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/health/ready'
                port: 5000
              }
              periodSeconds: 5
              failureThreshold: 2
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'secrets'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'client-cookie-key'
              path: 'client-cookie-key'
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [
          {
            name: 'requests'
            http: {
              metadata: {
                concurrentRequests: '50'
              }
            }
          }
          {
            name: 'cpu'
            custom: {
              type: 'cpu'
              metadata: {
                type: 'Utilization'
                value: '70'
              }
            }
          }
        ]
      }
    }
  }
  dependsOn: [access]
}

// Free, and renewed by Azure. It needs the DNS records that docs/deploy/container-apps.md names.
resource certificate 'Microsoft.App/managedEnvironments/managedCertificates@2026-07-01' = if (applications && !empty(hostName)) {
  parent: environment
  name: 'site'
  location: location
  properties: {
    subjectName: hostName
    domainControlValidation: 'CNAME'
  }
  // Azure issues it only for a name that the site has.
  dependsOn: [site]
}

// --- migrations ---------------------------------------------------------------------------------------------------------

var migrationSettings = [
  {
    name: 'BLOG_DATABASE__URL'
    secretRef: 'database-url'
  }
  {
    name: 'BLOG_LOG__FORMAT'
    value: 'json'
  }
]

resource migrate 'Microsoft.App/jobs@2026-07-01' = {
  name: '${name}-migrate'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${platformIdentity.id}': {}
      '${apiIdentity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      manualTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
      }
      // A migration of a large table takes long; an interrupted one is rolled back.
      replicaTimeout: 7200
      replicaRetryLimit: 0
      registries: registries
      secrets: [
        {
          name: 'database-url'
          keyVaultUrl: data.outputs.databaseUrlId
          identity: platformIdentity.id
        }
      ]
      identitySettings: [
        {
          identity: platformIdentity.id
          lifecycle: 'None'
        }
        {
          identity: apiIdentity.id
          lifecycle: 'Main'
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'migrate'
          image: image
          args: ['migrate', 'run']
          env: concat(migrationSettings, databaseTokens)
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
    }
  }
  dependsOn: [access]
}

output siteUrl string = 'https://${publicHost}'
output siteAddress string = siteAddress
output domainVerificationId string = environment.properties.customDomainConfiguration.customDomainVerificationId
