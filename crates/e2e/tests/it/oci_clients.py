"""Oracle's command line and SDK against a running server: users, groups, credentials, network sources, tags,
tenancy, namespace.

Arguments: configuration file, endpoint. The command line runs in this process, which saves its start for each
command; the commands are those that people type. Ends with 0 if every answer was as it should be.
"""
import json
import os
import subprocess
import sys
import tempfile

import click.testing
import oci
from oci.identity import models
from oci_cli import dynamic_loader
from oci_cli.cli import cli

import oci_commands

config_file, endpoint = sys.argv[1:]
config = oci.config.from_file(config_file)
tenancy = config["tenancy"]
for service in ("iam", "os", "container-registry", "session"):
    dynamic_loader.load_service(service)


def run(line, config_file=config_file, input=None, more=()):
    """A command as it is typed, in which `=` stands for a blank within a word, or its words. The same command within
    a second has the same signature: it is refused, and the tool signs anew after a second."""
    words = [word.replace("=", " ") for word in line.split()] if isinstance(line, str) else line
    words = ["--config-file", config_file, "--max-retries", "3", "--endpoint", endpoint, *more] + words
    sys.argv = ["oci"] + words
    return click.testing.CliRunner().invoke(cli, words, input=input)


def do(line, **named):
    """A command that succeeds: what it prints, read as JSON."""
    result = run(line, **named)
    assert result.exit_code == 0, f"{line}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    start = result.output.find("{")
    return json.loads(result.output[start:]) if start >= 0 else {}


def refused(status, code, call, *arguments, **named):
    """An SDK call that is refused in this way."""
    try:
        call(*arguments, **named)
    except oci.exceptions.ServiceError as error:
        assert (error.status, error.code) == (status, code), f"expected {status} {code}, got {error}"
        assert error.request_id and error.message, error
        return error
    raise AssertionError(f"expected {status} {code}, but {call.__name__} succeeded")


def new_key(directory, name):
    """A private key's file, and the public half's."""
    path = os.path.join(directory, name)
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", path, "-pubout", "-out", path + ".pub"], check=True, capture_output=True)
    with open(path, "a") as file:
        file.write("OCI_API_KEY\n")
    return path, path + ".pub"


def command_line(directory):
    created = do("iam user create --name carol --description the=third --email carol@example.com")
    user, etag = created["data"]["id"], created["etag"]
    assert created["data"]["lifecycle-state"] == "ACTIVE" and etag == "1", created
    assert do(f"iam user get --user-id {user}")["data"]["email"] == "carol@example.com"
    names = [entry["name"] for entry in do("iam user list --all --page-size 1")["data"]]
    assert "carol" in names and "admin" in names, names
    tags = 'iam user update --user-id USER --freeform-tags {"team":"a"} --force'.replace("USER", user)
    assert do(tags)["data"]["freeform-tags"] == {"team": "a"}
    stale = run(f"iam user update --user-id {user} --description x --if-match 1")
    assert stale.exit_code == 1 and "NoEtagMatch" in str(stale.exception), stale.exception
    do(f"iam user update-user-state --user-id {user} --blocked true")
    assert do(f"iam user get --user-id {user}")["data"]["lifecycle-state"] == "INACTIVE"
    assert do(f"iam user update-user-state --user-id {user} --blocked false")["data"]["lifecycle-state"] == "ACTIVE"
    switched = do(f"iam user update-user-capabilities --user-id {user} --can-use-db-credentials false")
    assert switched["data"]["capabilities"]["can-use-db-credentials"] is False, switched

    group = do("iam group create --name Builders --description they=build")["data"]["id"]
    assert do(f"iam group get --group-id {group}")["data"]["name"] == "Builders"
    assert do(f"iam group update --group-id {group} --description more")["data"]["description"] == "more"
    membership = do(f"iam group add-user --user-id {user} --group-id {group}")["data"]
    assert (membership["user-id"], membership["group-id"]) == (user, group), membership
    assert [entry["id"] for entry in do(f"iam group list-users --group-id {group}")["data"]] == [user]
    assert [entry["id"] for entry in do(f"iam user list-groups --user-id {user}")["data"]] == [group]
    assert run(f"iam group delete --group-id {group} --force").exit_code == 1
    do(f"iam group remove-user --user-id {user} --group-id {group} --force")
    do(f"iam group delete --group-id {group} --force")

    sources = "iam network-sources"
    created = do(f'{sources} create --compartment-id {tenancy} --name office --description d'
                 ' --public-source-list ["192.0.2.0/24","2001:db8::1"]')["data"]
    office = f"--network-source-id {created['id']}"
    assert created["public-source-list"] == ["192.0.2.0/24", "2001:db8::1"], created
    assert created["lifecycle-state"] == "ACTIVE" and created["virtual-source-list"] == [], created
    assert [entry["id"] for entry in do(f"{sources} list --compartment-id {tenancy}")["data"]] == [created["id"]]
    changed = do(f'{sources} update {office} --public-source-list ["192.0.2.1"] --force --if-match 1')
    assert changed["data"]["public-source-list"] == ["192.0.2.1"] and changed["etag"] == "2", changed
    assert do(f"{sources} get {office}")["data"]["description"] == "d"
    do(f"{sources} delete {office} --force")

    token = do(f"iam auth-token create --user-id {user} --description laptop")["data"]
    assert token["token"].startswith("wfa_"), token
    listed = do(f"iam auth-token list --user-id {user}")["data"]
    assert [(entry["id"], entry["token"]) for entry in listed] == [(token["id"], None)], listed
    renamed = f"iam auth-token update --user-id {user} --auth-token-id {token['id']} --description desk"
    assert do(renamed)["data"]["description"] == "desk"
    do(f"iam auth-token delete --user-id {user} --auth-token-id {token['id']} --force")

    _, public = new_key(directory, "carol.pem")
    key = do(f"iam user api-key upload --user-id {user} --key-file {public}")["data"]
    assert key["key-id"] == f"{tenancy}/{user}/{key['fingerprint']}", key
    with open(public) as file:
        assert key["key-value"] == file.read()
    assert len(do(f"iam user api-key list --user-id {user}")["data"]) == 1
    do(f"iam user api-key delete --user-id {user} --fingerprint {key['fingerprint']} --force")
    do(f"iam user delete --user-id {user} --force")
    gone = run(f"iam user get --user-id {user}")
    assert gone.exit_code == 1 and "NotAuthorizedOrNotFound" in str(gone.exception), gone.exception

    region = do("iam region list")["data"][0]
    subscription = do("iam region-subscription list")["data"][0]
    assert (region["key"], region["name"]) == (subscription["region-key"], subscription["region-name"])
    assert do(f"iam tenancy get --tenancy-id {tenancy}")["data"]["home-region-key"] == region["key"]
    assert len(do("iam availability-domain list")["data"]) == 1
    assert do(f"iam compartment get --compartment-id {tenancy}")["data"]["id"] == tenancy
    assert do("iam compartment list --include-root")["data"][-1]["id"] == tenancy
    namespace = do("os ns get")["data"]
    assert do("os ns get-metadata")["data"]["namespace"] == namespace
    token = do(f"container-registry access-token get --scope repository:{namespace}/a:pull")["data"]
    assert token["token"] == token["access-token"] and token["expires-in"] > 0, token


def fails(line, code, part):
    """A command that is refused in this way, with these words."""
    result = run(line)
    said = str(result.exception)
    assert result.exit_code == 1 and code in said and part in said, f"{line}: {result.exit_code}\n{said}\n{result.output}"


def tags_by_command_line():
    namespace = "iam tag-namespace"
    created = do(f"{namespace} create --compartment-id {tenancy} --name Ops --description d")
    ops = created["data"]["id"]
    assert created["etag"] == "1" and created["data"]["lifecycle-state"] == "ACTIVE", created
    assert created["data"]["is-retired"] is False and created["data"]["locks"] == [], created
    fails(f"{namespace} create --compartment-id {tenancy} --name OPS --description d",
          "NotAuthorizedOrResourceAlreadyExists", "OPS")
    fails(f"{namespace} create --compartment-id {tenancy} --name a.b --description d", "InvalidParameter", "name")
    locks = [{"type": "FULL"}]
    fails(f"{namespace} create --compartment-id {tenancy} --name x --description d --locks {json.dumps(locks)}"
          .replace('": "', '":"'), "InvalidParameter", "locks")
    assert do(f"{namespace} get --tag-namespace-id {ops}")["data"]["name"] == "Ops"
    assert do(f"{namespace} update --tag-namespace-id {ops} --description more")["data"]["description"] == "more"
    place = do(f"iam compartment create --compartment-id {tenancy} --name tagged --description d")["data"]["id"]
    do(f"{namespace} create --compartment-id {place} --name Costs --description d")
    names = [entry["name"] for entry in do(f"{namespace} list --compartment-id {tenancy}")["data"]]
    assert names == ["Ops"], names
    everywhere = f"{namespace} list --compartment-id {tenancy} --include-subcompartments true --all --page-size 1"
    assert [entry["name"] for entry in do(everywhere)["data"]] == ["Costs", "Ops"]
    assert do(f"{namespace} list --compartment-id {tenancy} --lifecycle-state INACTIVE") == {}

    of = f"--tag-namespace-id {ops}"
    note = do(f"iam tag create {of} --name Note --description d --is-cost-tracking true")["data"]
    assert (note["tag-namespace-name"], note["is-cost-tracking"], note["validator"]) == ("Ops", True, None), note
    stage = do(f'iam tag create {of} --name Stage --description d'
               ' --validator {"validatorType":"ENUM","values":["test","prod"]}')["data"]
    assert stage["validator"] == {"validator-type": "ENUM", "values": ["test", "prod"]}, stage
    fails(f"iam tag create {of} --name note --description d", "NotAuthorizedOrResourceAlreadyExists", "note")
    assert [entry["name"] for entry in do(f"iam tag list {of}")["data"]] == ["Note", "Stage"]
    assert do(f"iam tag get {of} --tag-name stage")["data"]["id"] == stage["id"]
    fails(f"iam tag get {of} --tag-name other", "NotAuthorizedOrNotFound", "other")
    changed = do(f'iam tag update {of} --tag-name Note --description more --if-match 1')
    assert changed["data"]["description"] == "more" and changed["etag"] == "2", changed
    fails(f"iam tag update {of} --tag-name Note --description x --if-match 1", "NoEtagMatch", "if-match")

    # Every kind of resource takes both kinds of tags, when it is made and later.
    both = '--freeform-tags {"team":"a"} --defined-tags {"ops":{"note":"x","stage":"test"}}'
    kept = ({"team": "a"}, {"Ops": {"Note": "x", "Stage": "test"}})
    less = '--freeform-tags {} --defined-tags {"Ops":{"Stage":"prod"}} --force'
    left = ({}, {"Ops": {"Stage": "prod"}})
    statements = '--statements ["Allow=group=Administrators=to=inspect=users=in=tenancy"]'

    def tags(answer):
        return answer["data"]["freeform-tags"], answer["data"]["defined-tags"]

    for create, update, identifier in [
        ("user create --name tagged --description d", "user update", "--user-id"),
        ("group create --name tagged --description d", "group update", "--group-id"),
        (f"compartment create --compartment-id {tenancy} --name more --description d", "compartment update",
         "--compartment-id"),
        (f"policy create --compartment-id {tenancy} --name tagged --description d {statements}", "policy update",
         "--policy-id"),
        (f"network-sources create --compartment-id {tenancy} --name tagged --description d", "network-sources update",
         "--network-source-id"),
        (f"tag-namespace create --compartment-id {tenancy} --name Tagged --description d", "tag-namespace update",
         "--tag-namespace-id"),
    ]:
        made = do(f"iam {create} {both}")
        assert tags(made) == kept, made
        resource = f"{identifier} {made['data']['id']}"
        changed = do(f"iam {update} {resource} {less}")
        assert tags(changed) == left, changed
        fails(f'iam {update} {resource} --defined-tags {{"Ops":{{"Stage":"live"}}}} --force', "InvalidParameter", "definedTags")
        fails(f'iam {update} {resource} --defined-tags {{"Oops":{{"Stage":"x"}}}} --force',
              "RelatedResourceNotAuthorizedOrNotFound", "definedTags")
    made = do(f"iam tag create {of} --name Tagged --description d {both}")
    assert tags(made) == kept, made
    assert tags(do(f"iam tag update {of} --tag-name Tagged {less}")) == left
    assert tags(do(f"iam compartment update --compartment-id {tenancy} {both} --force")) == kept
    assert tags(do(f"iam tenancy get --tenancy-id {tenancy}")) == kept
    user = do("iam user list --name tagged")["data"][0]
    assert user["defined-tags"] == left[1], user

    # What is retired stays where it is and is set nowhere; what is deleted is gone from everywhere.
    assert do(f"iam tag retire {of} --tag-name Stage")["data"]["lifecycle-state"] == "INACTIVE"
    set_stage = f'iam user update --user-id {user["id"]} --force --defined-tags {{"Ops":{{"Stage":"test"}}}}'
    fails(set_stage, "InvalidParameter", "retired")
    do(f"iam tag reactivate {of} --tag-name Stage")
    do(set_stage)
    fails(f"iam tag delete {of} --tag-name Stage --force", "Conflict", "retire")
    do(f"iam tag retire {of} --tag-name Stage")
    deleted = do(f"iam tag delete {of} --tag-name Stage --force --wait-for-state SUCCEEDED")["data"]
    assert (deleted["operation-type"], deleted["percent-complete"]) == ("DELETE_TAG_DEFINITION", 100.0), deleted
    assert do(f"iam work-request get --work-request-id {deleted['id']}")["data"]["status"] == "SUCCEEDED"
    assert do(f"iam user get --user-id {user['id']}")["data"]["defined-tags"] == {}

    fails(f"{namespace} delete {of} --force", "Conflict", "cascadeDelete")
    fails(f"{namespace} cascade-delete {of}", "Conflict", "retire")
    assert do(f"{namespace} retire {of}")["data"]["is-retired"] is True
    assert do(f"iam tag get {of} --tag-name Note")["data"]["is-retired"] is True
    fails(f"iam tag reactivate {of} --tag-name Note", "Conflict", "reactivate")
    do(f"{namespace} reactivate {of}")
    do(f"iam tag reactivate {of} --tag-name Note")
    do(f"{namespace} change-compartment {of} --compartment-id {place}")
    assert do(f"{namespace} get {of}")["data"]["compartment-id"] == place
    do(f"{namespace} retire {of}")
    deleted = do(f"{namespace} cascade-delete {of} --wait-for-state SUCCEEDED")["data"]
    assert deleted["operation-type"] == "DELETE_NON_EMPTY_TAG_NAMESPACE", deleted
    assert tags(do(f"iam tenancy get --tenancy-id {tenancy}")) == ({"team": "a"}, {})
    fails(f"{namespace} get {of}", "NotAuthorizedOrNotFound", ops)
    costs = do(f"{namespace} list --compartment-id {place}")["data"][0]["id"]
    do(f"{namespace} delete --tag-namespace-id {costs} --force")
    do(f"iam user delete --user-id {user['id']} --force")


def tags_by_sdk(identity):
    details = models.CreateTagNamespaceDetails(compartment_id=tenancy, name="Sdk", description="")
    token = {"opc_retry_token": "tags"}
    namespace = identity.create_tag_namespace(details, **token).data
    assert identity.create_tag_namespace(details, **token).data.id == namespace.id

    def define(name, **named):
        details = models.CreateTagDetails(name=name, description="", **named)
        return identity.create_tag(namespace.id, details).data

    sizes = models.EnumTagDefinitionValidator(values=["small", "large"])
    size = define("Size", validator=sizes)
    assert isinstance(size.validator, models.EnumTagDefinitionValidator) and size.validator.values == ["small", "large"]
    anything = models.UpdateTagDetails(validator=models.DefaultTagDefinitionValidator())
    assert identity.update_tag(namespace.id, "Size", anything).data.validator is None
    refused(400, "InvalidParameter", define, "x", validator=models.EnumTagDefinitionValidator(values=[]))
    assert "values" in refused(400, "MissingParameter", define, "x", validator=models.EnumTagDefinitionValidator()).message
    missing = models.CreateTagDetails(name="x")
    assert "description" in refused(400, "MissingParameter", identity.create_tag, namespace.id, missing).message

    def group(name, **named):
        details = models.CreateGroupDetails(compartment_id=tenancy, name=name, description="", **named)
        return identity.create_group(details).data

    # Texts, numbers and booleans come back as they were given.
    define("Count")
    define("Live")
    values = {"Sdk": {"Size": "small", "Count": 3, "Live": True}}
    made = group("sized", defined_tags=values)
    assert identity.get_group(made.id).data.defined_tags == values
    for wrong in ({"Sdk": {"Size": ["a"]}}, {"Sdk": {"Other": "x"}}):
        assert "definedTags" in refused(400, "InvalidParameter", group, "x", defined_tags=wrong).message
    for wrong in ({"a.b": "c"}, {str(number): "" for number in range(11)}):
        assert "freeformTags" in refused(400, "InvalidParameter", group, "x", freeform_tags=wrong).message
    everything = oci.pagination.list_call_get_all_results
    tags = everything(identity.list_tags, namespace.id, limit=1).data
    assert [(tag.name, tag.is_retired) for tag in tags] == [("Count", False), ("Live", False), ("Size", False)]
    assert identity.list_tags(namespace.id, lifecycle_state="DELETED").data == []
    refused(404, "NotAuthorizedOrNotFound", identity.get_tag, "ocid1.tagnamespace.oc1..none", "Size")
    refused(412, "NoEtagMatch", identity.delete_tag, namespace.id, "Size", if_match="7")
    identity.update_tag(namespace.id, "Size", models.UpdateTagDetails(is_retired=True), is_lock_override=True)
    deleted = identity.delete_tag(namespace.id, "Size")
    request = identity.get_work_request(deleted.headers["opc-work-request-id"]).data
    assert (request.operation_type, request.status) == ("DELETE_TAG_DEFINITION", "SUCCEEDED"), request
    assert request.resources[0].identifier == size.id
    assert identity.get_group(made.id).data.defined_tags == {"Sdk": {"Count": 3, "Live": True}}
    identity.delete_group(made.id)


def places_by_sdk(identity):
    """Compartments, policies and dynamic groups."""
    none = "ocid1.compartment.oc1..none"

    def compartment(name, parent=tenancy):
        details = models.CreateCompartmentDetails(compartment_id=parent, name=name, description="")
        return identity.create_compartment(details).data

    yard, shed = compartment("yard"), compartment("shed")
    box = compartment("box", yard.id)
    assert identity.get_compartment(box.id).data.compartment_id == yard.id
    refused(409, "NotAuthorizedOrResourceAlreadyExists", compartment, "yard")
    refused(404, "NotAuthorizedOrNotFound", identity.get_compartment, none)
    described = models.UpdateCompartmentDetails(description="x")
    refused(412, "NoEtagMatch", identity.update_compartment, box.id, described, if_match="7")
    assert identity.update_compartment(box.id, described).data.description == "x"
    everything = oci.pagination.list_call_get_all_results
    below = everything(identity.list_compartments, tenancy, compartment_id_in_subtree=True,
                       access_level="ACCESSIBLE", limit=1).data
    assert {"yard", "shed", "box"} <= {entry.name for entry in below}, below
    moved = identity.move_compartment(box.id, models.MoveCompartmentDetails(target_compartment_id=shed.id))
    assert identity.get_work_request(moved.headers["opc-work-request-id"]).data.status == "SUCCEEDED"
    assert [entry.name for entry in identity.list_compartments(shed.id).data] == ["box"]
    into_itself = models.MoveCompartmentDetails(target_compartment_id=box.id)
    refused(400, "InvalidParameter", identity.move_compartment, shed.id, into_itself)
    held = identity.delete_compartment(shed.id).headers["opc-work-request-id"]
    held = identity.get_work_request(held).data
    assert held.status == "FAILED" and "box" in identity.get_work_request(held.id).data.errors[0].message, held
    identity.delete_compartment(box.id)
    assert identity.get_compartment(box.id).data.lifecycle_state == "DELETED"
    assert identity.recover_compartment(box.id).data.lifecycle_state == "ACTIVE"

    def policy(name, *statements):
        details = models.CreatePolicyDetails(
            compartment_id=yard.id, name=name, description="", statements=list(statements))
        return identity.create_policy(details).data

    statement = "Allow any-user to read repos in compartment yard"
    reads = policy("reads", statement)
    assert identity.get_policy(reads.id).data.statements == [statement]
    refused(409, "NotAuthorizedOrResourceAlreadyExists", policy, "reads", statement)
    refused(400, "InvalidParameter", policy, "x", "Allow nobody")
    changed = models.UpdatePolicyDetails(description="x")
    refused(412, "NoEtagMatch", identity.update_policy, reads.id, changed, if_match="7")
    assert identity.update_policy(reads.id, changed).data.description == "x"
    assert [entry.name for entry in identity.list_policies(yard.id).data] == ["reads"]
    identity.delete_policy(reads.id)
    refused(404, "NotAuthorizedOrNotFound", identity.get_policy, reads.id)

    def rule(name, matching_rule):
        details = models.CreateDynamicGroupDetails(
            compartment_id=tenancy, name=name, description="", matching_rule=matching_rule)
        return identity.create_dynamic_group(details).data

    machines = rule("sdk-machines", "resource.type = 'instance'")
    assert identity.get_dynamic_group(machines.id).data.matching_rule == "resource.type = 'instance'"
    refused(409, "NotAuthorizedOrResourceAlreadyExists", rule, "sdk-machines", "resource.type = 'instance'")
    refused(400, "InvalidParameter", rule, "x", "resource.type =")
    changed = models.UpdateDynamicGroupDetails(description="x")
    refused(412, "NoEtagMatch", identity.update_dynamic_group, machines.id, changed, if_match="7")
    assert identity.update_dynamic_group(machines.id, changed).data.description == "x"
    assert [entry.name for entry in identity.list_dynamic_groups(tenancy, name="sdk-machines").data] == ["sdk-machines"]
    identity.delete_dynamic_group(machines.id)
    refused(404, "NotAuthorizedOrNotFound", identity.get_dynamic_group, machines.id)


def sdk(directory):
    # With the SDK's own retries: the same request in the same second has the same signature, is refused for
    # that, and is signed again a second later.
    identity = oci.identity.IdentityClient(config, service_endpoint=endpoint)
    no_user = "ocid1.user.oc1..none"

    def create(name, **named):
        details = models.CreateUserDetails(compartment_id=tenancy, name=name, description="", **named)
        return identity.create_user(details)

    token = {"opc_retry_token": "again"}
    details = models.CreateUserDetails(compartment_id=tenancy, name="dave", description="")
    dave = identity.create_user(details, **token).data
    assert identity.create_user(details, **token).data.id == dave.id
    details.name = "eve"
    refused(409, "InvalidatedRetryToken", identity.create_user, details, **token)
    refused(409, "NotAuthorizedOrResourceAlreadyExists", create, "dave")

    # What is wrong is named.
    assert "ä" in refused(400, "InvalidParameter", create, "ä").message
    assert "email" in refused(400, "InvalidParameter", create, "x", email="nobody").message
    unknown = refused(400, "RelatedResourceNotAuthorizedOrNotFound", create, "x", defined_tags={"a": {"b": "c"}})
    assert "definedTags" in unknown.message
    tags_by_sdk(identity)
    places_by_sdk(identity)
    missing = models.CreateUserDetails(compartment_id=tenancy, name="x")
    assert "description" in refused(400, "MissingParameter", identity.create_user, missing).message
    elsewhere = models.CreateUserDetails(compartment_id="ocid1.tenancy.oc1..none", name="x", description="")
    refused(404, "NotAuthorizedOrNotFound", identity.create_user, elsewhere)
    refused(404, "NotAuthorizedOrNotFound", identity.get_user, no_user)
    refused(404, "NotAuthorizedOrNotFound", identity.list_users, "ocid1.tenancy.oc1..none")
    refused(400, "MissingParameter", identity.list_user_group_memberships, tenancy)
    refused(400, "InvalidParameter", identity.list_users, tenancy, limit=0)
    refused(404, "NotFound", identity.list_mfa_totp_devices, dave.id)
    refused(400, "InvalidParameter", identity.create_region_subscription,
            models.CreateRegionSubscriptionDetails(region_key="PHX"), tenancy)

    # Lists: every page, both ways.
    for number in range(3):
        create(f"user{number}", freeform_tags={"number": str(number)})
    everything = oci.pagination.list_call_get_all_results
    users = everything(identity.list_users, tenancy, limit=2, sort_by="NAME", sort_order="DESC").data
    names = [user.name for user in users]
    assert names == ["user2", "user1", "user0", "dave", "admin"], names
    by_age = [user.name for user in everything(identity.list_users, tenancy, limit=1, sort_by="TIMECREATED").data]
    assert by_age == names, by_age
    assert [user.freeform_tags for user in identity.list_users(tenancy, name="user1").data] == [{"number": "1"}]
    assert identity.list_users(tenancy, lifecycle_state="DELETED").data == []

    # The last administrator stays, and its group.
    administrators = identity.list_groups(tenancy, name="Administrators").data[0]
    refused(409, "Conflict", identity.delete_group, administrators.id)
    membership = identity.list_user_group_memberships(tenancy, group_id=administrators.id).data[0]
    assert identity.get_user_group_membership(membership.id).data.user_id == config["user"]
    refused(409, "Conflict", identity.remove_user_from_group, membership.id)
    refused(409, "Conflict", identity.delete_user, config["user"])
    group = identity.create_group(models.CreateGroupDetails(compartment_id=tenancy, name="g", description="")).data
    member = models.AddUserToGroupDetails(user_id=dave.id, group_id=group.id)
    added = identity.add_user_to_group(member).data
    assert identity.add_user_to_group(member).data.id == added.id
    refused(409, "Conflict", identity.delete_group, group.id)
    refused(412, "NoEtagMatch", identity.update_group, group.id, models.UpdateGroupDetails(description="x"), if_match="7")
    changed = identity.update_group(group.id, models.UpdateGroupDetails(description="x"), if_match="1")
    assert changed.headers["etag"] == "2" and changed.data.description == "x"

    # Network sources, of addresses only: there are no networks to be named.
    def source(name, **named):
        details = models.CreateNetworkSourceDetails(compartment_id=tenancy, name=name, description="", **named)
        return identity.create_network_source(details)

    desk = source("desk", public_source_list=["192.0.2.1"], freeform_tags={"floor": "2"}).data
    assert identity.get_network_source(desk.id).data.freeform_tags == {"floor": "2"}
    refused(409, "NotAuthorizedOrResourceAlreadyExists", source, "desk")
    assert "10.0.0" in refused(400, "InvalidParameter", source, "x", public_source_list=["10.0.0"]).message
    cloud = models.NetworkSourcesVirtualSourceList(vcn_id="ocid1.vcn.oc1..v", ip_ranges=["0.0.0.0/0"])
    assert "virtualSourceList" in refused(400, "InvalidParameter", source, "x", virtual_source_list=[cloud]).message
    more = models.UpdateNetworkSourceDetails(description="more")
    refused(412, "NoEtagMatch", identity.update_network_source, desk.id, more, if_match="7")
    assert identity.update_network_source(desk.id, more).data.public_source_list == ["192.0.2.1"]
    assert [source.name for source in identity.list_network_sources(tenancy, name="desk").data] == ["desk"]
    assert identity.list_network_sources(tenancy, lifecycle_state="DELETED").data == []

    # A user of its own: its credentials are its own business, all else is not.
    path, public = new_key(directory, "dave.pem")
    with open(public) as file:
        pem = file.read()
    key = identity.upload_api_key(dave.id, models.CreateApiKeyDetails(key=pem)).data
    refused(409, "NotAuthorizedOrResourceAlreadyExists", identity.upload_api_key, dave.id,
            models.CreateApiKeyDetails(key=pem))
    for wrong in ("", "x", open(path).read()):
        refused(400, "InvalidParameter", identity.upload_api_key, dave.id, models.CreateApiKeyDetails(key=wrong))
    own = {**config, "user": dave.id, "fingerprint": key.fingerprint, "key_file": path}
    daves = oci.identity.IdentityClient(own, service_endpoint=endpoint + "/")
    description = models.CreateAuthTokenDetails(description="mine")
    tokens = [daves.create_auth_token(description, dave.id).data for _ in range(2)]
    assert all(token.token for token in tokens)
    refused(400, "LimitExceeded", daves.create_auth_token, description, dave.id)
    daves.delete_auth_token(dave.id, tokens[0].id)
    assert [token.id for token in daves.list_auth_tokens(dave.id).data] == [tokens[1].id]
    refused(409, "InvalidatedRetryToken", twice, daves.create_auth_token, description, dave.id, opc_retry_token="t")
    assert daves.list_api_keys(dave.id).data[0].fingerprint == key.fingerprint
    texts = {
        refused(404, "NotAuthorizedOrNotFound", call, *arguments).message
        for call, arguments in [
            (daves.get_user, (config["user"],)),
            (daves.get_user, (no_user,)),
            (daves.list_users, (tenancy,)),
            (daves.list_auth_tokens, (config["user"],)),
            (daves.delete_group, (group.id,)),
            (daves.list_network_sources, (tenancy,)),
            (daves.get_network_source, (desk.id,)),
            (daves.delete_network_source, (desk.id,)),
            (daves.delete_network_source, ("ocid1.networksource.oc1..none",)),
            (daves.delete_group, ("ocid1.group.oc1..none",)),
            (daves.remove_user_from_group, (added.id,)),
            (daves.get_tenancy, (tenancy,)),
        ]
    }
    assert len(texts) == 1, texts
    storage = oci.object_storage.ObjectStorageClient(own, service_endpoint=endpoint)
    assert storage.get_namespace().data == storage.get_namespace(compartment_id=tenancy).data
    refused(404, "NotAuthorizedOrNotFound", storage.get_namespace_metadata, storage.get_namespace().data)

    # A registry token of a key ends with the key, and so does the key's way in.
    registry = oci.container_registry.ContainerRegistryClient(own, service_endpoint=endpoint)
    print(registry.get_access_token().data.token)
    identity.update_user_state(dave.id, models.UpdateStateDetails(blocked=True))
    refused(401, "NotAuthenticated", daves.list_api_keys, dave.id)
    identity.update_user_state(dave.id, models.UpdateStateDetails(blocked=False))
    daves.delete_api_key(dave.id, key.fingerprint)
    refused(401, "NotAuthenticated", daves.list_api_keys, dave.id)
    missing = oci.container_registry.ContainerRegistryClient(own, service_endpoint=endpoint)
    try:
        missing.get_access_token()
    except oci.exceptions.ServiceError as error:
        assert error.status == 401, error


def twice(call, *arguments, **named):
    call(*arguments, **named)
    call(*arguments, **named)


with tempfile.TemporaryDirectory() as directory:
    command_line(directory)
    tags_by_command_line()
    sdk(directory)
    oci_commands.Commands(run, do, new_key, config, directory).all()
