"""Sets a team up with Oracle's SDK: two compartments, four groups of a user each, and what each may do.

Arguments: configuration file, endpoint. Prints the users' auth tokens by name, as JSON.
"""
import json
import sys

import oci
from oci.identity import models

config_file, endpoint = sys.argv[1:]
config = oci.config.from_file(config_file)
tenancy = config["tenancy"]
identity = oci.identity.IdentityClient(config, service_endpoint=endpoint)

for name in ("dev", "prod"):
    identity.create_compartment(
        models.CreateCompartmentDetails(compartment_id=tenancy, name=name, description=f"Images for {name}")
    )

users = {"ci": "ci-bot", "release": "release-bot", "runtime": "cluster", "developers": "dana"}
tokens = {}
for group, user in users.items():
    in_root = {"compartment_id": tenancy, "description": f"Of {group}"}
    group_id = identity.create_group(models.CreateGroupDetails(name=group, **in_root)).data.id
    user_id = identity.create_user(models.CreateUserDetails(name=user, **in_root)).data.id
    identity.add_user_to_group(models.AddUserToGroupDetails(user_id=user_id, group_id=group_id))
    token = identity.create_auth_token(models.CreateAuthTokenDetails(description="docker"), user_id).data
    tokens[user] = token.token

# `use` adds nothing to `read` for repositories, and `manage` lets delete them: who only pushes gets the permissions.
push = "{REPOSITORY_INSPECT, REPOSITORY_READ, REPOSITORY_UPDATE}"
policies = {
    "ci": [f"{push} in compartment dev"],
    "release": ["read repos in compartment dev", f"{push} in compartment prod"],
    "runtime": ["read repos in compartment prod"],
    "developers": ["read repos in compartment dev", "inspect repos in compartment prod"],
}
for group, allowed in policies.items():
    details = models.CreatePolicyDetails(
        compartment_id=tenancy,
        name=group,
        description=f"What {group} may do",
        statements=[f"Allow group {group} to {right}" for right in allowed],
    )
    identity.create_policy(details)
print(json.dumps(tokens))
