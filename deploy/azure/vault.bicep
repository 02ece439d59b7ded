// Step 1: the vault, the identities and the log workspace. They come first, because the certificate and the secrets must be in
// the vault before the applications start. docs/deploy/container-apps.md and docs/deploy/app-service.md have the steps.

targetScope = 'resourceGroup'

@description('Prefix of all names: 3 to 11 lower-case letters and digits.')
@minLength(3)
@maxLength(11)
param name string = 'blogctl'

@description('Region of all resources.')
param location string = resourceGroup().location

@description('Object ID of the user or group that creates the certificate and the secrets in the vault.')
param operatorObjectId string

@description('What operatorObjectId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorType string = 'User'

@description('Days that Log Analytics keeps the logs.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

// Names of vaults are unique in the whole cloud.
var vaultName = '${name}${uniqueString(resourceGroup().id)}'
// Built-in role Key Vault Administrator: certificates, keys and secrets, but not the vault itself.
var administrator = '00482a5a-887f-4fb3-b363-3b7fe8e74483'

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  name: vaultName
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    // main.bicep reads the database's password with getSecret().
    enabledForTemplateDeployment: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Without it, an attacker with rights on the vault can destroy the key for good.
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
  }
}

resource operatorAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, operatorObjectId, administrator)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', administrator)
    principalId: operatorObjectId
    principalType: operatorType
  }
}

// The web site signs with this identity.
resource siteIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-site'
  location: location
}

// The API and the migration have this identity: see databaseAuthentication in main.bicep.
resource apiIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-api'
  location: location
}

// The platform uses this identity to resolve references to the vault and to pull the image.
resource platformIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-platform'
  location: location
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionDays
  }
}

// Every use of the key and every read of a secret is logged.
resource vaultLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output vaultName string = vault.name
output vaultUrl string = vault.properties.vaultUri
output siteIdentityClientId string = siteIdentity.properties.clientId
