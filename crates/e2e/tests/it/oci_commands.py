"""Compartments, policies and dynamic groups by Oracle's command line, and what every command of identity is refused
with: a wrong identifier, a right that is missing, a name that is taken, a wrong value, another state than expected,
a limit that is reached. Called by oci_clients.py.
"""
import json
import os

NONE = {kind: f"ocid1.{kind}.oc1..none" for kind in
        ("compartment", "user", "group", "policy", "networksource", "dynamicgroup", "credential", "tenancy")}
NOT_FOUND, TAKEN, INVALID = "NotAuthorizedOrNotFound", "NotAuthorizedOrResourceAlreadyExists", "InvalidParameter"
STALE, LIMIT, CONFLICT = "NoEtagMatch", "LimitExceeded", "Conflict"


class Commands:
    """The command line as `run` and `do` of oci_clients.py, in one tenancy."""

    def __init__(self, run, do, new_key, config, directory):
        self.run, self.do, self.new_key, self.config, self.directory = run, do, new_key, config, directory
        self.tenancy = config["tenancy"]

    def fails(self, line, code):
        """A command that is refused with this code."""
        result = self.run(line)
        assert result.exit_code == 1 and code in str(result.exception), f"{line}: {code}\n{result.exception}"

    def all(self):
        self.compartments()
        self.policies()
        self.dynamic_groups()
        self.refused()
        self.session()
        self.powerless()

    def make(self, line):
        return self.do(line)["data"]["id"]

    def compartments(self):
        root, make = self.tenancy, self.make
        listed = lambda line: [entry["name"] for entry in self.do(f"iam compartment list {line}").get("data", [])]
        before = listed("--compartment-id-in-subtree true --all") + listed("--lifecycle-state DELETED")
        names = lambda line: [name for name in listed(line) if name not in before]
        create = "iam compartment create --description d --compartment-id"
        self.dev, self.prod = make(f"{create} {root} --name dev"), make(f"{create} {root} --name prod")
        self.team = make(f"{create} {self.dev} --name team")
        assert names("") == ["dev", "prod"], names("")
        assert names("--compartment-id-in-subtree true --access-level ACCESSIBLE --all") == ["dev", "prod", "team"]
        assert names(f"--compartment-id {self.dev} --access-level ANY --name team") == ["team"]
        assert names("--lifecycle-state DELETED") == []
        assert len(names("--include-root")) == 3
        updated = self.do(f"iam compartment update --compartment-id {self.team} --name crew --description e --if-match 0")
        assert (updated["data"]["name"], updated["data"]["description"]) == ("crew", "e"), updated
        moved = self.do(f"iam compartment move --compartment-id {self.team} --target-compartment-id {self.prod}"
                        " --wait-for-state SUCCEEDED")
        assert self.do(f"iam compartment get --compartment-id {self.team}")["data"]["compartment-id"] == self.prod
        # The tool knows no name for it.
        work = self.do(f"iam work-request list --compartment-id {self.dev} --resource-identifier {self.team}")["data"]
        assert [entry["operation-type"] for entry in work] == ["UNKNOWN_ENUM_VALUE"], (moved, work)
        request = self.do(f"iam work-request get --work-request-id {work[0]['id']}")["data"]
        assert request["status"] == "SUCCEEDED" and request["resources"][0]["identifier"] == self.team, request

        old = make(f"{create} {root} --name old")
        self.do(f"iam compartment delete --compartment-id {old} --force --wait-for-state SUCCEEDED")
        assert self.do(f"iam compartment get --compartment-id {old}")["data"]["lifecycle-state"] == "DELETED"
        self.do(f"iam compartment recover --compartment-id {old}")
        # What holds something stays, and the work request says so.
        kept = self.do(f"iam compartment delete --compartment-id {self.prod} --force")
        kept = self.do(f"iam work-request get --work-request-id {kept['opc-work-request-id']}")["data"]
        assert kept["status"] == "FAILED" and "crew" in kept["errors"][0]["message"], kept
        assert self.do(f"iam compartment get --compartment-id {self.prod}")["data"]["lifecycle-state"] == "ACTIVE"

        levels = [self.dev]
        for level in range(2, 7):
            levels.append(make(f"{create} {levels[-1]} --name level{level}"))
        self.fails(f"{create} {levels[-1]} --name level7", CONFLICT)
        move = "iam compartment move --compartment-id"
        for compartment, target, code in [
            (self.dev, levels[-1], INVALID),
            (self.prod, levels[-1], CONFLICT),
            (self.prod, root, INVALID),
            (self.team, NONE["compartment"], NOT_FOUND),
            (NONE["compartment"], root, NOT_FOUND),
        ]:
            self.fails(f"{move} {compartment} --target-compartment-id {target}", code)
        self.fails(f"{move} {self.team} --target-compartment-id {root} --if-match 77", STALE)
        self.fails("iam compartment list --compartment-id-in-subtree true --compartment-id " + self.dev, INVALID)
        for name, parent, code in [("dev", root, TAKEN), ("a/b", root, INVALID), ("x", NONE["compartment"], NOT_FOUND)]:
            self.fails(f"{create} {parent} --name {name}", code)
        for line, code in [("update --name prod --compartment-id " + self.dev, TAKEN),
                           ("update --name a/b --compartment-id " + self.dev, INVALID),
                           ("update --name x --if-match 77 --compartment-id " + self.dev, STALE),
                           ("update --name x --compartment-id " + root, INVALID),
                           ("update --name x --compartment-id " + NONE["compartment"], NOT_FOUND),
                           ("get --compartment-id " + NONE["compartment"], NOT_FOUND),
                           ("delete --force --compartment-id " + NONE["compartment"], NOT_FOUND),
                           ("delete --force --if-match 77 --compartment-id " + self.dev, STALE),
                           ("delete --force --compartment-id " + root, INVALID)]:
            self.fails(f"iam compartment {line}", code)

    def policies(self):
        statements = os.path.join(self.directory, "statements.json")
        with open(statements, "w") as file:
            json.dump(["Allow group Builders to read repos in compartment dev"], file)
        create = f"iam policy create --description d --compartment-id {self.tenancy}"
        created = self.do(f"{create} --name builders --statements file://{statements} --version-date 2026-01-01")
        policy = created["data"]["id"]
        self.policy = policy
        assert created["data"]["version-date"].startswith("2026-01-01"), created
        listed = self.do(f"iam policy list --compartment-id {self.tenancy} --name builders")["data"]
        assert [entry["id"] for entry in listed] == [policy], listed
        update = f"iam policy update --policy-id {policy}"
        changed = self.do(f"{update} --statements file://{statements} --version-date 2026-02-01 --description e --force")
        assert changed["data"]["description"] == "e", changed
        # Without --force it reads the entity tag, asks, and sends it.
        result = self.run(f"{update} --statements file://{statements} --version-date 2026-03-01", input="y\n")
        assert result.exit_code == 0, (result.output, result.exception)
        assert self.do(f"iam policy get --policy-id {policy}")["data"]["version-date"].startswith("2026-03-01")
        with open(statements, "w") as file:
            json.dump(["Allow group Builders to reed repos in tenancy"], file)
        self.fails(f"{create} --name wrong --statements file://{statements}", INVALID)
        self.fails(f"{update} --statements file://{statements} --version-date 2026-02-01 --force", INVALID)
        with open(statements, "w") as file:
            json.dump(["Allow any-user to inspect repos in tenancy"] * 51, file)
        self.fails(f"{create} --name many --statements file://{statements}", INVALID)
        with open(statements, "w") as file:
            json.dump(["Allow any-user to inspect repos in tenancy"], file)
        for line, code in [
            (f"{create} --name builders --statements file://{statements}", TAKEN),
            (f"{create} --name a/b --statements file://{statements}", INVALID),
            (f"{create} --name x --statements file://{statements}".replace(self.tenancy, NONE["compartment"]), NOT_FOUND),
            (f"{update} --description x --if-match 77 --force", STALE),
            (f"iam policy update --policy-id {NONE['policy']} --description x --force", NOT_FOUND),
            (f"iam policy get --policy-id {NONE['policy']}", NOT_FOUND),
            (f"iam policy list --compartment-id {NONE['compartment']}", NOT_FOUND),
            (f"iam policy delete --policy-id {policy} --if-match 77 --force", STALE),
            (f"iam policy delete --policy-id {NONE['policy']} --force", NOT_FOUND),
        ]:
            self.fails(line, code)

    def dynamic_groups(self):
        group = "iam dynamic-group"
        rule = "any {resource.type = 'instance', tag.a.b.value}"
        create = f"{group} create --description d --name machines --matching-rule".split()
        created = self.do(create + [rule])["data"]
        assert created["matching-rule"].startswith("any {") and created["lifecycle-state"] == "ACTIVE", created
        self.machines = created["id"]
        one = f"--dynamic-group-id {self.machines}"
        assert [entry["name"] for entry in self.do(f"{group} list")["data"]] == ["machines"]
        assert self.do(f"{group} update {one} --description e --if-match 1")["data"]["description"] == "e"
        assert self.do(f"{group} get {one}")["data"]["description"] == "e"
        for line, code in [
            (f"{group} create --name machines --description d --matching-rule tag.a.b.value", TAKEN),
            (f"{group} create --name other --description d --matching-rule resource.kind", INVALID),
            (f"{group} update {one} --matching-rule any", INVALID),
            (f"{group} update {one} --description x --if-match 77", STALE),
            (f"{group} get --dynamic-group-id {NONE['dynamicgroup']}", NOT_FOUND),
            (f"{group} delete --dynamic-group-id {NONE['dynamicgroup']} --force", NOT_FOUND),
            (f"{group} delete {one} --if-match 77 --force", STALE),
        ]:
            self.fails(line, code)

    def refused(self):
        """What every other command is refused with. `carol` is there, and so are her group and credentials."""
        make, fails, none = self.make, self.fails, NONE
        carol = make("iam user create --name carol2 --description d")
        group = make("iam group create --name Crew --description d")
        self.do(f"iam group add-user --user-id {carol} --group-id {group}")
        office = make(f"iam network-sources create --compartment-id {self.tenancy} --name shore --description d")
        create_token = f"iam auth-token create --description d --user-id {carol}"
        tokens = [make(create_token) for _ in range(2)]
        keys = []
        for number in range(4):
            _, public = self.new_key(self.directory, f"carol{number}.pem")
            upload = f"iam user api-key upload --user-id {carol} --key-file {public}"
            if number < 3:
                keys.append(self.do(upload)["data"]["fingerprint"])
            else:
                fails(upload, LIMIT)
                fails(upload.replace(carol, none["user"]), NOT_FOUND)
        _, public = self.new_key(self.directory, "short.pem")
        with open(public, "w") as file:
            file.write("no key")
        many = json.dumps([f"192.0.2.{number}" for number in range(51)], separators=(",", ":"))
        source = f"iam network-sources create --compartment-id {self.tenancy} --description d"
        one_source, no_source = f"--network-source-id {office}", f"--network-source-id {none['networksource']}"
        token = f"--auth-token-id {tokens[0]} --user-id {carol}"
        for line, code in [
            ("iam user create --name carol2 --description d", TAKEN),
            ("iam user create --name a*b --description d", INVALID),
            ("iam user create --name x --description d --email nobody", INVALID),
            ("iam user list --limit 0", INVALID),
            (f"iam user get --user-id {none['user']}", NOT_FOUND),
            (f"iam user update --user-id {none['user']} --description x", NOT_FOUND),
            (f"iam user update --user-id {carol} --description {'x' * 401}", INVALID),
            (f"iam user update-user-state --user-id {carol} --blocked true --if-match 77", STALE),
            (f"iam user delete --user-id {none['user']} --force", NOT_FOUND),
            (f"iam user delete --user-id {carol} --if-match 77 --force", STALE),
            (f"iam user delete --user-id {self.config['user']} --force", CONFLICT),
            ("iam group create --name Crew --description d", TAKEN),
            ("iam group create --name a*b --description d", INVALID),
            (f"iam group get --group-id {none['group']}", NOT_FOUND),
            (f"iam group update --group-id {group} --description x --if-match 77", STALE),
            (f"iam group delete --group-id {group} --force", CONFLICT),
            (f"iam group delete --group-id {none['group']} --force", NOT_FOUND),
            (f"iam group add-user --user-id {carol} --group-id {none['group']}", NOT_FOUND),
            (f"iam group add-user --user-id {none['user']} --group-id {group}", NOT_FOUND),
            (f"iam group list-users --group-id {none['group']}", NOT_FOUND),
            (f"iam user list-groups --user-id {none['user']}", NOT_FOUND),
            (create_token, LIMIT),
            (create_token.replace(carol, none["user"]), NOT_FOUND),
            (f"iam auth-token list --user-id {none['user']}", NOT_FOUND),
            (f"iam auth-token update {token} --description {'x' * 401}", INVALID),
            (f"iam auth-token update {token} --description x --if-match 77", STALE),
            (f"iam auth-token update --auth-token-id {none['credential']} --user-id {carol} --description x", NOT_FOUND),
            (f"iam auth-token delete {token} --if-match 77 --force", STALE),
            (f"iam auth-token delete --auth-token-id {none['credential']} --user-id {carol} --force", NOT_FOUND),
            (f"iam user api-key upload --user-id {carol} --key-file {public}", INVALID),
            (f"iam user api-key list --user-id {none['user']}", NOT_FOUND),
            (f"iam user api-key delete --user-id {carol} --fingerprint {':'.join(['00'] * 16)} --force", NOT_FOUND),
            (f"{source} --name shore", TAKEN),
            (f"{source} --name a/b", INVALID),
            (f"{source} --name x --public-source-list {many}", INVALID),
            (f"{source.replace(self.tenancy, none['tenancy'])} --name x", NOT_FOUND),
            (f"iam network-sources get {no_source}", NOT_FOUND),
            (f"iam network-sources update {one_source} --description x --if-match 77 --force", STALE),
            (f"iam network-sources delete {one_source} --if-match 77 --force", STALE),
            (f"iam network-sources delete {no_source} --force", NOT_FOUND),
            (f"iam tenancy get --tenancy-id {none['tenancy']}", NOT_FOUND),
            (f"iam region-subscription list --tenancy-id {none['tenancy']}", NOT_FOUND),
            (f"iam region-subscription create --tenancy-id {self.tenancy} --region-key PHX", INVALID),
            (f"iam availability-domain list --compartment-id {none['tenancy']}", NOT_FOUND),
            ("os ns get-metadata --namespace nosuchtenancy", "NamespaceNotFound"),
            (f"os ns get --compartment-id {none['compartment']}", NOT_FOUND),
            (f"os ns update-metadata --namespace nosuchtenancy --default-s3-compartment-id {self.dev}", "NamespaceNotFound"),
            (f"os ns update-metadata --default-s3-compartment-id {none['compartment']}", NOT_FOUND),
        ]:
            fails(line, code)
        kept = self.do(f"os ns update-metadata --default-s3-compartment-id {self.dev}")["data"]
        assert (kept["default-s3-compartment-id"], kept["default-swift-compartment-id"]) == (self.dev, self.tenancy)
        assert self.do("os ns get-metadata")["data"]["default-s3-compartment-id"] == self.dev
        key = self.do(f"iam region-subscription create --tenancy-id {self.tenancy} --region-key LCL")["data"]
        assert key["status"] == "READY", key
        self.group, self.office, self.token, self.fingerprint = group, office, tokens[0], keys[0]

    def session(self):
        """A key of one's own for some minutes, in place of the API key."""
        config = os.path.join(self.directory, "session")
        words = ["session", "authenticate", "--no-browser", "--region", "us-phoenix-1", "--profile-name", "short"]
        result = self.run(words + ["--config-location", config, "--token-location", self.directory,
                                   "--session-expiration-in-minutes", "5"], input="\n" * 3)
        assert result.exit_code == 0, (result.output, result.exception)
        signed = dict(config_file=config, more=["--profile", "short", "--auth", "security_token"])
        assert self.do(f"iam user get --user-id {self.config['user']}", **signed)["data"]["name"] == "admin"
        assert self.make_with("iam group create --name Session --description d", **signed)
        assert self.do("container-registry access-token get", **signed)["data"]["expires-in"] <= 300
        with open(config) as file:
            token_file = [line.split("=", 1)[1].strip() for line in file if line.startswith("security_token_file")][0]
        with open(token_file, "r+") as file:
            head, claims, tag = file.read().split(".")
            file.seek(0)
            file.write(".".join([head, claims, ("B" if tag[0] == "A" else "A") + tag[1:]]))
        result = self.run("iam region list", **signed)
        assert result.exit_code == 1 and "NotAuthenticated" in str(result.exception), result.exception

    def make_with(self, line, **named):
        return self.do(line, **named)["data"]["id"]

    def powerless(self):
        """A user without any right is refused alike whatever it names, but for what is its own and everybody's."""
        user = self.make("iam user create --name mallory --description d")
        private, public = self.new_key(self.directory, "mallory.pem")
        key = self.do(f"iam user api-key upload --user-id {user} --key-file {public}")["data"]
        config = os.path.join(self.directory, "mallory")
        with open(config, "w") as file:
            lines = {"user": user, "tenancy": self.tenancy, "region": self.config["region"],
                     "fingerprint": key["fingerprint"], "key_file": private}
            file.write("[DEFAULT]\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
        os.chmod(config, 0o600)
        admin, root = self.config["user"], self.tenancy
        own = dict(config_file=config)
        for line in [
            f"iam compartment create --compartment-id {root} --name x --description d",
            "iam compartment list", "iam compartment list --access-level ACCESSIBLE",
            f"iam compartment get --compartment-id {self.dev}",
            f"iam compartment update --compartment-id {self.dev} --name x",
            f"iam compartment move --compartment-id {self.team} --target-compartment-id {root}",
            f"iam compartment delete --compartment-id {self.team} --force",
            "iam user create --name x --description d", "iam user list", f"iam user get --user-id {admin}",
            f"iam user update --user-id {admin} --description x", f"iam user delete --user-id {admin} --force",
            f"iam user update-user-state --user-id {admin} --blocked true",
            "iam group create --name x --description d", "iam group list", f"iam group get --group-id {self.group}",
            f"iam group update --group-id {self.group} --description x",
            f"iam group delete --group-id {self.group} --force",
            f"iam group add-user --user-id {user} --group-id {self.group}",
            f"iam group remove-user --user-id {admin} --group-id {self.group} --force",
            f"iam group list-users --group-id {self.group}", f"iam user list-groups --user-id {admin}",
            f"iam policy list --compartment-id {root}", f"iam policy get --policy-id {self.policy}",
            f"iam policy update --policy-id {self.policy} --description x --force",
            f"iam policy delete --policy-id {self.policy} --force",
            f"iam auth-token create --user-id {admin} --description d", f"iam auth-token list --user-id {admin}",
            f"iam auth-token delete --user-id {admin} --auth-token-id {self.token} --force",
            f"iam user api-key upload --user-id {admin} --key-file {public}", f"iam user api-key list --user-id {admin}",
            f"iam user api-key delete --user-id {admin} --fingerprint {self.fingerprint} --force",
            f"iam network-sources list --compartment-id {root}",
            f"iam network-sources create --compartment-id {root} --name x --description d",
            f"iam network-sources delete --network-source-id {self.office} --force",
            "iam dynamic-group list", f"iam dynamic-group get --dynamic-group-id {self.machines}",
            f"iam dynamic-group delete --dynamic-group-id {self.machines} --force",
            f"iam tenancy get --tenancy-id {root}", "iam region-subscription list", "iam availability-domain list",
            f"iam region-subscription create --tenancy-id {root} --region-key LCL",
            "os ns get-metadata", f"os ns update-metadata --default-s3-compartment-id {root}",
        ]:
            result = self.run(line, **own)
            assert result.exit_code == 1 and NOT_FOUND in str(result.exception), f"{line}\n{result.exception}"
        for line in ["iam region list", "os ns get", f"iam user api-key list --user-id {user}",
                     "container-registry access-token get --service registry.example --scope repository:a/b:pull",
                     f"iam auth-token create --user-id {user} --description mine"]:
            assert self.do(line, **own)["data"], line
        # A signature that is no good, in every service.
        with open(config) as file:
            wrong = file.read().replace(key["fingerprint"], ":".join(["00"] * 16))
        with open(config, "w") as file:
            file.write(wrong)
        for line in ["iam region list", "os ns get"]:
            result = self.run(line, **own)
            assert result.exit_code == 1 and "NotAuthenticated" in str(result.exception), result.exception
        line = "container-registry access-token get"
        result = self.run(line, **own)
        assert result.exit_code == 1 and "401" in str(result.exception), result.exception
        # What is done comes undone.
        self.do(f"iam dynamic-group delete --dynamic-group-id {self.machines} --force")
        self.do(f"iam policy delete --policy-id {self.policy} --force")
        assert not self.do("iam dynamic-group list").get("data")
