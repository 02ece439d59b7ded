// The network: PostgreSQL and Redis have private addresses only.

@description('Prefix of all names.')
param name string

@description('Region.')
param location string

@description('Network of all subnets: a /22 or larger.')
param addressPrefix string

@description('Service that the subnet of the applications belongs to.')
@allowed(['Microsoft.App/environments', 'Microsoft.Web/serverFarms'])
param applicationService string

resource network 'Microsoft.Network/virtualNetworks@2025-07-01' = {
  name: '${name}-network'
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'applications'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 24, 0)
          delegations: [
            {
              name: 'applications'
              properties: {
                serviceName: applicationService
              }
            }
          ]
          // App Service recognizes the site by it; Container Apps does not need it.
          serviceEndpoints: applicationService == 'Microsoft.Web/serverFarms' ? [
            {
              service: 'Microsoft.Web'
            }
          ] : []
        }
      }
      {
        name: 'postgres'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 24, 1)
          delegations: [
            {
              name: 'postgres'
              properties: {
                serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 24, 2)
        }
      }
    ]
  }
}

resource postgresZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: '${name}.private.postgres.database.azure.com'
  location: 'global'
}

resource postgresLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: postgresZone
  name: name
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource redisZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.redis.azure.net'
  location: 'global'
}

resource redisLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: redisZone
  name: name
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

output applicationsSubnetId string = '${network.id}/subnets/applications'
output postgresSubnetId string = '${network.id}/subnets/postgres'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
output postgresZoneId string = postgresZone.id
output redisZoneId string = redisZone.id
