// Step 2 for Azure App Service: two Linux containers on one plan, the web site and the API. Only the site's subnet can reach the API.
// vault.bicep comes first. docs/deploy/app-service.md has the steps.

targetScope = 'resourceGroup'

@description('Prefix of all names, as in vault.bicep.')
@minLength(3)
@maxLength(11)
param name string = 'blogctl'

@description('Region of all resources.')
param location string = resourceGroup().location

@description('The image, by digest: ghcr.io/OWNER/blogctl@sha256:…')
param image string

@description('Pull the image from Azure Container Registry with the platform identity, which needs the role AcrPull there. If false, the image is public.')
param privateRegistry bool = false

@description('Client ID of the app registration of the web site.')
param siteClientId string

@description('Client ID of the app registration of the API.')
param apiClientId string

@description('App ID URI of the API.')
param apiAppIdUri string = 'api://${apiClientId}'

@description('Name of the certificate in the vault.')
param certificateName string = 'blog-site'

@description('Thumbprint of a certificate that was uploaded to App Service, in upper-case hex. App Service then loads it, with its key, into a file, and the site signs itself. Empty, the better way: the key stays in the vault, which signs.')
param loadedCertificateThumbprint string = ''

@description('Host name of the site, such as blog.example.com, once it is bound. Empty: the name that Azure gives it.')
param hostName string = ''

@description('How the applications log in to PostgreSQL and Redis: see main.bicep.')
@allowed(['secret', 'entra'])
param databaseAuthentication string = 'secret'

@description('Create a role for signing only: see modules/access.bicep.')
param customRole bool = true

@description('Network of the subnets: a /22 or larger.')
param addressPrefix string = '10.40.0.0/22'

@description('Where the front ends of App Service connect from. The default is the range that App Service uses inside its workers; the access log shows the address.')
param trustedProxies string = '169.254.0.0/16'

@description('Size of the plan.')
param planSku string = 'P1v3'

@description('Instances of the plan; each runs one replica of each role.')
@minValue(2)
param instances int = 2

@description('Compute of PostgreSQL.')
param postgresSku string = 'Standard_D2ds_v5'

@description('Compute tier of PostgreSQL.')
@allowed(['Burstable', 'GeneralPurpose', 'MemoryOptimized'])
param postgresTier string = 'GeneralPurpose'

@description('Standby servers for PostgreSQL and Redis, and instances in several zones.')
param highAvailability bool = true

@description('Size of Redis.')
param redisSku string = 'Balanced_B0'

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
    applicationService: 'Microsoft.Web/serverFarms'
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

// --- settings -----------------------------------------------------------------------------------------------------------

var unique = uniqueString(resourceGroup().id)
var apiHost = '${name}-api-${unique}.azurewebsites.net'
var publicHost = empty(hostName) ? '${name}-site-${unique}.azurewebsites.net' : hostName
var signsInVault = empty(loadedCertificateThumbprint)
var commonSettings = [
  {
    name: 'WEBSITES_ENABLE_APP_SERVICE_STORAGE'
    value: 'false'
  }
  {
    // How long App Service waits for a new container, and how long for one that it stops.
    name: 'WEBSITES_CONTAINER_START_TIME_LIMIT'
    value: '120'
  }
  {
    name: 'WEBSITES_CONTAINER_STOP_TIME_LIMIT'
    value: '30'
  }
  {
    name: 'BLOG_ENTRA__TENANT_ID'
    value: subscription().tenantId
  }
  {
    name: 'BLOG_SERVER__TRUSTED_PROXIES'
    value: trustedProxies
  }
  {
    name: 'BLOG_LOG__FORMAT'
    value: 'json'
  }
]
var apiSettings = [
  {
    name: 'WEBSITES_PORT'
    value: '8000'
  }
  {
    name: 'BLOG_API__HOST'
    value: '0.0.0.0'
  }
  {
    name: 'BLOG_API__PORT'
    value: '8000'
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
    value: '@Microsoft.KeyVault(SecretUri=${data.outputs.databaseUrlId})'
  }
  {
    // App Service has no job: the replicas migrate when they start, one after the other.
    name: 'BLOG_DATABASE__MIGRATE_AT_START'
    value: 'true'
  }
]
var siteSettings = [
  {
    name: 'WEBSITES_PORT'
    value: '5000'
  }
  {
    name: 'BLOG_CLIENT__HOST'
    value: '0.0.0.0'
  }
  {
    name: 'BLOG_CLIENT__PORT'
    value: '5000'
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
    value: 'https://${apiHost}'
  }
  {
    name: 'BLOG_CLIENT__COOKIE_KEY'
    value: '@Microsoft.KeyVault(SecretUri=${vault.properties.vaultUri}secrets/client-cookie-key)'
  }
  {
    name: 'BLOG_REDIS__URL'
    value: '@Microsoft.KeyVault(SecretUri=${data.outputs.redisUrlId})'
  }
]
var siteIdentitySettings = [
  {
    name: 'BLOG_AZURE__IDENTITY'
    value: 'managed'
  }
  {
    name: 'BLOG_AZURE__CLIENT_ID'
    value: siteIdentity.properties.clientId
  }
]
// The API logs in to PostgreSQL, and the site to Redis, with tokens of their identities.
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
var usesSiteIdentity = signsInVault || databaseAuthentication == 'entra'
var vaultSettings = [
  {
    // The key stays in the vault, which signs.
    name: 'BLOG_CLIENT__CREDENTIAL'
    value: '[{"source":"key_vault_sign","vault_url":"${vault.properties.vaultUri}","certificate":"${certificateName}"}]'
  }
]
var fileSettings = [
  {
    name: 'WEBSITE_LOAD_CERTIFICATES'
    value: loadedCertificateThumbprint
  }
  {
    // A PFX file without a passphrase.
    name: 'BLOG_CLIENT__CERT_PATH'
    value: '/var/ssl/private/${loadedCertificateThumbprint}.p12'
  }
  {
    name: 'BLOG_CLIENT__CERT_THUMBPRINT'
    value: loadedCertificateThumbprint
  }
]

// --- plan and applications ----------------------------------------------------------------------------------------------

resource plan 'Microsoft.Web/serverfarms@2025-05-01' = {
  name: '${name}-plan'
  location: location
  kind: 'linux'
  sku: {
    name: planSku
    capacity: instances
  }
  properties: {
    reserved: true
    zoneRedundant: highAvailability
  }
}

resource api 'Microsoft.Web/sites@2025-05-01' = {
  name: '${name}-api-${unique}'
  location: location
  kind: 'app,linux,container'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${platformIdentity.id}': {}
      '${apiIdentity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    keyVaultReferenceIdentity: platformIdentity.id
    virtualNetworkSubnetId: network.outputs.applicationsSubnetId
    siteConfig: {
      linuxFxVersion: 'DOCKER|${image}'
      appCommandLine: 'serve-api'
      acrUseManagedIdentityCreds: privateRegistry
      acrUserManagedIdentityID: privateRegistry ? platformIdentity.properties.clientId : null
      alwaysOn: true
      ftpsState: 'Disabled'
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: false
      healthCheckPath: '/health/ready'
      vnetRouteAllEnabled: true
      ipSecurityRestrictionsDefaultAction: 'Deny'
      ipSecurityRestrictions: [
        {
          name: 'site'
          action: 'Allow'
          priority: 100
          vnetSubnetResourceId: network.outputs.applicationsSubnetId
        }
      ]
      appSettings: concat(commonSettings, apiSettings, databaseTokens)
    }
  }
  dependsOn: [access]
}

resource site 'Microsoft.Web/sites@2025-05-01' = {
  name: '${name}-site-${unique}'
  location: location
  kind: 'app,linux,container'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${platformIdentity.id}': {}
      '${siteIdentity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // Sessions are in Redis.
    clientAffinityEnabled: false
    keyVaultReferenceIdentity: platformIdentity.id
    virtualNetworkSubnetId: network.outputs.applicationsSubnetId
    siteConfig: {
      linuxFxVersion: 'DOCKER|${image}'
      appCommandLine: 'serve-client'
      acrUseManagedIdentityCreds: privateRegistry
      acrUserManagedIdentityID: privateRegistry ? platformIdentity.properties.clientId : null
      alwaysOn: true
      ftpsState: 'Disabled'
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: false
      healthCheckPath: '/health/ready'
      vnetRouteAllEnabled: true
      appSettings: concat(commonSettings, siteSettings, signsInVault ? vaultSettings : fileSettings, usesSiteIdentity ? siteIdentitySettings : [], redisTokens)
    }
  }
  dependsOn: [access]
}

// --- logs ---------------------------------------------------------------------------------------------------------------

resource apiLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: api
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        category: 'AppServiceConsoleLogs'
        enabled: true
      }
      {
        category: 'AppServicePlatformLogs'
        enabled: true
      }
    ]
  }
}

resource siteLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: site
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        category: 'AppServiceConsoleLogs'
        enabled: true
      }
      {
        category: 'AppServicePlatformLogs'
        enabled: true
      }
    ]
  }
}

// --- scaling ------------------------------------------------------------------------------------------------------------

resource scaling 'Microsoft.Insights/autoscalesettings@2022-10-01' = {
  name: '${name}-scaling'
  location: location
  properties: {
    enabled: true
    targetResourceUri: plan.id
    profiles: [
      {
        name: 'cpu'
        capacity: {
          minimum: string(instances)
          maximum: string(instances * 3)
          default: string(instances)
        }
        rules: [
          {
            metricTrigger: {
              metricName: 'CpuPercentage'
              metricResourceUri: plan.id
              timeGrain: 'PT1M'
              statistic: 'Average'
              timeWindow: 'PT5M'
              timeAggregation: 'Average'
              operator: 'GreaterThan'
              threshold: 65
            }
            scaleAction: {
              direction: 'Increase'
              type: 'ChangeCount'
              value: '1'
              cooldown: 'PT5M'
            }
          }
          {
            metricTrigger: {
              metricName: 'CpuPercentage'
              metricResourceUri: plan.id
              timeGrain: 'PT1M'
              statistic: 'Average'
              timeWindow: 'PT10M'
              timeAggregation: 'Average'
              operator: 'LessThan'
              threshold: 30
            }
            scaleAction: {
              direction: 'Decrease'
              type: 'ChangeCount'
              value: '1'
              cooldown: 'PT15M'
            }
          }
        ]
      }
    ]
  }
}

output siteUrl string = 'https://${publicHost}'
output siteAddress string = site.properties.defaultHostName
output domainVerificationId string = site.properties.customDomainVerificationId
