// PostgreSQL and Redis, and the two secrets that name them. See databaseAuthentication for how the applications log in.

@description('Prefix of all names.')
param name string

@description('Region.')
param location string

@description('Name of the vault that gets the secrets database-url and redis-url.')
param vaultName string

@description('How the applications log in: see main.bicep.')
@allowed(['secret', 'entra'])
param authentication string

@description('Password of the server administrator; ignored with entra.')
@secure()
param postgresPassword string

@description('Name and principal ID of the identities that may log in with a token.')
param apiIdentityName string
param apiPrincipalId string
param sitePrincipalId string

@description('Subnets and zones of network.bicep.')
param postgresSubnetId string
param postgresZoneId string
param endpointsSubnetId string
param redisZoneId string

@description('Compute of the database server.')
param postgresSku string

@description('Compute tier of the database server.')
@allowed(['Burstable', 'GeneralPurpose', 'MemoryOptimized'])
param postgresTier string

@description('A standby server in another zone. Needs GeneralPurpose or MemoryOptimized.')
param highAvailability bool

@description('Size of Redis.')
param redisSku string

@description('Path of the certificate authorities inside the image.')
param certificateAuthorities string = '/etc/ssl/certs/ca-certificates.crt'

var byToken = authentication == 'entra'
var administratorLogin = 'blogctl'
var databaseName = 'blog'
// With a token, the user is the identity's name, and there is no password.
var credentials = byToken ? uriComponent(apiIdentityName) : '${administratorLogin}:${uriComponent(postgresPassword)}'

resource postgres 'Microsoft.DBforPostgreSQL/flexibleServers@2026-10-01' = {
  name: '${name}-${uniqueString(resourceGroup().id)}'
  location: location
  sku: {
    name: postgresSku
    tier: postgresTier
  }
  properties: {
    version: '17'
    administratorLogin: byToken ? null : administratorLogin
    administratorLoginPassword: byToken ? null : postgresPassword
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: byToken ? 'Disabled' : 'Enabled'
      tenantId: subscription().tenantId
    }
    storage: {
      storageSizeGB: 32
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: 'Disabled'
    }
    highAvailability: {
      mode: highAvailability ? 'ZoneRedundant' : 'Disabled'
    }
    network: {
      publicNetworkAccess: 'Disabled'
      delegatedSubnetResourceId: postgresSubnetId
      privateDnsZoneArmResourceId: postgresZoneId
    }
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2026-10-01' = {
  parent: postgres
  name: databaseName
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

// The API's identity migrates too, so it must own the tables.
resource postgresAdministrator 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2026-10-01' = if (byToken) {
  parent: postgres
  name: apiPrincipalId
  properties: {
    principalName: apiIdentityName
    principalType: 'ServicePrincipal'
    tenantId: subscription().tenantId
  }
}

resource redis 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: '${name}-${uniqueString(resourceGroup().id)}'
  location: location
  sku: {
    name: redisSku
  }
  properties: {
    minimumTlsVersion: '1.2'
    highAvailability: highAvailability ? 'Enabled' : 'Disabled'
    publicNetworkAccess: 'Disabled'
  }
}

resource redisDatabase 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: redis
  name: 'default'
  properties: {
    clientProtocol: 'Encrypted'
    port: 10000
    // blogctl is not a cluster client.
    clusteringPolicy: 'NoCluster'
    // A full Redis rejects new sessions; evicting would end those of signed-in users.
    evictionPolicy: 'NoEviction'
    accessKeysAuthentication: byToken ? 'Disabled' : 'Enabled'
  }
}

resource redisAccess 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = if (byToken) {
  parent: redisDatabase
  name: 'site'
  properties: {
    accessPolicyName: 'default'
    user: {
      objectId: sitePrincipalId
    }
  }
}

resource redisEndpoint 'Microsoft.Network/privateEndpoints@2025-07-01' = {
  name: '${name}-redis'
  location: location
  properties: {
    subnet: {
      id: endpointsSubnetId
    }
    privateLinkServiceConnections: [
      {
        name: 'redis'
        properties: {
          privateLinkServiceId: redis.id
          groupIds: ['redisEnterprise']
        }
      }
    ]
  }
}

resource redisRecords 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-07-01' = {
  parent: redisEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'redis'
        properties: {
          privateDnsZoneId: redisZoneId
        }
      }
    ]
  }
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource databaseUrl 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: 'database-url'
  properties: {
    contentType: 'text/plain'
    value: 'postgres://${credentials}@${postgres.properties.fullyQualifiedDomainName}:5432/${databaseName}?sslmode=verify-full&sslrootcert=${certificateAuthorities}'
  }
}

resource redisUrl 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: 'redis-url'
  properties: {
    contentType: 'text/plain'
    // The user of a token is the object ID of the identity.
    value: byToken ? 'rediss://${sitePrincipalId}@${redis.properties.hostName}:10000/0' : 'rediss://:${uriComponent(redisDatabase.listKeys().primaryKey)}@${redis.properties.hostName}:10000/0'
  }
}

output databaseUrlId string = databaseUrl.properties.secretUri
output redisUrlId string = redisUrl.properties.secretUri
