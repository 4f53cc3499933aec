# deliveries
path "secret/data/apps/*" { capabilities = ["create", "read", "update"] }

# records
path "secret/data/keyturn/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/keyturn/*" { capabilities = ["list"] }

# to check that the mount does not delete records by itself
path "secret/config" { capabilities = ["read"] }
