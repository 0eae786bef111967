"""Oracle's Python SDK as a client: sends requests to an endpoint, then signs what stands on its input.

Arguments: configuration file, endpoint. Input: a list of {method, url, headers, body}. Output: the
`authorization` header of each.
"""
import json
import sys

import oci
import oci._vendor.requests as requests

config = oci.config.from_file(sys.argv[1])
endpoint = sys.argv[2]
once = {"retry_strategy": oci.retry.NoneRetryStrategy()}
compartment = config["tenancy"]
repository = "ocid1.containerrepo.oc1..r"

artifacts = oci.artifacts.ArtifactsClient(config, service_endpoint=endpoint, **once)
models = oci.artifacts.models
artifacts.get_container_repository(repository)
artifacts.list_container_images(
    compartment, repository_name="team a/web+api", version="v1.0", limit=25, sort_by="TIMECREATED"
)
artifacts.create_container_repository(
    models.CreateContainerRepositoryDetails(compartment_id=compartment, display_name="team/größe")
)
artifacts.update_container_repository(repository, models.UpdateContainerRepositoryDetails(is_public=True))
artifacts.delete_container_repository(repository)

slash = oci.artifacts.ArtifactsClient(config, service_endpoint=endpoint + "/", **once)
slash.list_container_repositories(compartment, display_name="a/b")

identity = oci.identity.IdentityClient(config, service_endpoint=endpoint, **once)
identity.create_or_reset_ui_password(config["user"])

key = oci.signer.load_private_key_from_file(config["key_file"])
session = oci.auth.signers.SecurityTokenSigner("e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln", key)
oci.artifacts.ArtifactsClient(
    {"tenancy": compartment, "region": "local-1"}, signer=session, service_endpoint=endpoint, **once
).get_container_repository(repository)

signer = oci.signer.Signer.from_config(config)
signed = []
for case in json.load(sys.stdin):
    request = requests.Request(case["method"], case["url"], case["headers"], data=case["body"].encode(), auth=signer)
    signed.append(request.prepare().headers["authorization"])
json.dump(signed, sys.stdout)
