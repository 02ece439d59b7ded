// Who may use what in the vault. The site's identity may read the certificate and sign with its key, and nothing else; the
// key cannot be downloaded. The platform's identity may read the secrets that it hands to the applications.

@description('Name of the vault.')
param vaultName string

@description('Name of the certificate in the vault, which must exist.')
param certificateName string

@description('Principal ID of the identity that signs.')
param sitePrincipalId string

@description('Principal ID of the identity that resolves references to secrets.')
param platformPrincipalId string

@description('Names of the secrets that the platform may read.')
param secretNames array

@description('Create a role that allows signing only. If false, use the built-in roles Key Vault Reader and Key Vault Crypto User, which also allow reading metadata of all objects, and decrypting and wrapping with the key.')
param customRole bool = true

var reader = '21090545-7ca7-4776-b22c-e363652d74d2'
var cryptoUser = '12338af0-0e69-4776-bea7-57ae8d297424'
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

// Creating a certificate in the vault creates a key of the same name.
resource key 'Microsoft.KeyVault/vaults/keys@2026-05-15' existing = {
  parent: vault
  name: certificateName
}

resource signRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = if (customRole) {
  name: guid(resourceGroup().id, 'blogctl-sign')
  properties: {
    roleName: 'Sign with a certificate of ${vaultName}'
    description: 'Read certificates without their keys, and sign with the keys of the vault.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/certificates/read'
          'Microsoft.KeyVault/vaults/keys/sign/action'
        ]
        notDataActions: []
      }
    ]
  }
}

resource signAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (customRole) {
  name: guid(vault.id, sitePrincipalId, 'blogctl-sign')
  scope: vault
  properties: {
    roleDefinitionId: signRole.id
    principalId: sitePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource readerAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!customRole) {
  name: guid(vault.id, sitePrincipalId, reader)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', reader)
    principalId: sitePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource cryptoUserAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!customRole) {
  name: guid(key.id, sitePrincipalId, cryptoUser)
  scope: key
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoUser)
    principalId: sitePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource secrets 'Microsoft.KeyVault/vaults/secrets@2026-05-15' existing = [for secret in secretNames: {
  parent: vault
  name: secret
}]

resource secretAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (secret, index) in secretNames: {
  name: guid(vault.id, secret, platformPrincipalId, secretsUser)
  scope: secrets[index]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    principalId: platformPrincipalId
    principalType: 'ServicePrincipal'
  }
}]
