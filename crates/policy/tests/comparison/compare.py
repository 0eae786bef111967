"""Asks the independent parser `oci-lexer-parser` about the statements in statements.txt, and prints
every disagreement with our answer, by cause. `disagreements.md` is what it printed.

    python3 compare.py >disagreements.md

It makes itself a virtual environment under ~/.cache/wharfinger. It ends with 1 if a disagreement has
no cause, or if a cause no longer is one.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = "oci-lexer-parser==0.5.0"
HERE = Path(__file__).resolve().parent

try:
    from oci_lexer_parser import parse_policy_statements
except ImportError:
    venv = Path.home() / ".cache/wharfinger/comparison"
    python = venv / "bin/python"
    if Path(sys.prefix) == venv:
        raise
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
    os.execv(python, [python, __file__])


def theirs(text):
    """Its reading in our printed form, or None if it refuses the text."""
    try:
        statements = parse_policy_statements(text, error_mode="raise")["statements"]
    except Exception:  # it also fails in ways that are no refusal
        return None
    return " AND ".join(printed(statement) for statement in statements)


RESERVED = {"to", "in", "where", "of", "as", "with", "id"}


def name(text):
    bare = text and all(c.isalnum() or c in "_-.@+" for c in text) and text.lower() not in RESERVED
    return text if bare else f"'{text}'"


def member(value):
    domain = value.get("identity_domain")
    return (name(domain) + "/" if domain else "") + name(value["label"])


def place(location):
    kind, values = location["type"], location["values"]
    if kind in ("compartment-path", "compartment_name"):
        return "compartment " + ":".join(map(name, values)) + (
            f" of tenancy {name(location['tenancy'])}" if "tenancy" in location else "")
    if kind == "compartment-id":
        return "compartment id " + values[0]
    return " ".join([kind, *map(name, values)])


def operand(value):
    return value["value"] if value["type"] == "regex" else f"'{value['value']}'"


def condition(node):
    if node["type"] == "group":
        return node["mode"] + " {" + ", ".join(map(condition, node["items"])) + "}"
    node = node["node"]
    left, operator, right = node["lhs"], node["op"], node.get("rhs")
    if operator == "exists":
        return f"{left} is there"
    if operator == "between":
        return f"{left} between {operand(right['from'])} and {operand(right['to'])}"
    if right["type"] == "list":
        return f"{left} {operator.replace('_', ' ')} (" + ", ".join(map(operand, right["values"])) + ")"
    return f"{left} {({'eq': '=', 'neq': '!='}).get(operator, operator)} {operand(right)}"


def printed(statement):
    opening = statement["kind"].replace("_", " ").title()
    if opening == "Define":
        symbol = statement["symbol"]
        return f"Define {symbol['type']} {name(symbol['name'])} as {statement['def']['value']}"
    kind, values = statement["subject"]["type"], statement["subject"]["values"]
    if kind.endswith("-id"):
        subject = kind[:-3] + " " + ", ".join("id " + value["label"] for value in values)
    else:
        subject = (kind + " " + ", ".join(map(member, values))).strip()
    source = f" of {place(statement['source'])}" if "source" in statement else ""
    actions, resources = statement["actions"], statement["resources"]
    if actions["type"] == "permissions":
        action = "{" + ", ".join(value.upper() for value in actions["values"]) + "}"
    else:
        action = " ".join(actions["values"] + (resources["values"] or [resources["type"]]))
    where = statement.get("conditions")
    where = " where " + condition(where) if where else ""
    target = place(statement.get("location") or statement["target"])
    return f"{opening} {subject}{source} to {action} in {target}{where}"


def plain(text):
    """Our form without what its answer does not tell apart: variables and texts on the right side, one
    comparison and `all` of one."""
    text = re.sub(r"((?:=|!=|\(|,) ?)((?:request|target)\.[\w.@:-]+)(?=[,)}]|$)", r"\1'\2'", text)
    return re.sub(r" where all \{([^{}]*)\}$", lambda m: " where " + m[1] if "," not in m[1] else m[0], text)


# What shows a cause: a pattern of the statement (with texts in quotes as `''` unless it begins with RAW)
# or of our ANSWER; then a statement with that cause alone; who is right and why.
REFUSES, ACCEPTS, OTHERWISE = "we accept, it refuses", "it accepts, we refuse", "it reads another statement"
ODD_NAME = r"[^\s,/:{}()=!']*[@+][^\s=]*|(?<=[\s,/:])[_.-]+\w"
CAUSES = [
    (REFUSES, "`resource` subjects", r"(Allow|Deny|Admit|Endorse) resource ",
     "Allow resource instance a to read repos in tenancy",
     "We are: another public grammar has them. Here they are accepted with a warning and grant nothing."),
    (REFUSES, "`associate … with …`", r" to associate ",
     "Endorse group A to associate repos in tenancy B with users in tenancy C",
     "We are: it is the documented form of network peering between tenancies."),
    (REFUSES, "`sets-equal(…)`", r"sets-equal\(",
     "Allow group A to read policies in tenancy where sets-equal(target.policy.type, 'allow')",
     "We are: the page on deny policies names it."),
    (REFUSES, "names with other characters, without quotes", ODD_NAME,
     "Allow group a+b to read repos in tenancy",
     "Open: which characters stand without quotes is not documented. Its lexer drops those it does not know,\n"
     "which splits the name in two. Refusing nothing that has one meaning, we take letters, digits and\n"
     "`_ - . @ +`, also in front."),
    (REFUSES, "letters beyond ASCII", r"RAW [^\x00-\x7f]",
     "Allow group 'ä' to read repos in tenancy",
     "Open: not documented. A name in quotes has one meaning in any script, so we take it."),
    (REFUSES, "names that are words of the language, without quotes", r"(?<=.)\b(any|Allow)\b(?! ?\{|-)",
     "Allow group Allow to read repos in tenancy",
     "Open: not documented. Our grammar has no second reading for them; the seven words that would have\n"
     "one must be quoted."),
    (REFUSES, "a backslash before the closing quote", r"RAW '[^']*\\'",
     "Allow group A to read repos in tenancy where all {request.region = 'a\\', request.ad = 'b'}",
     "Open: Oracle Cloud documents no escape in a quoted text, so ours has none, and `\\` is a character."),
    (REFUSES, "`Endorse … to {…}`", r"Endorse .* to \{",
     "Endorse group A to {REPOSITORY_READ} in tenancy B",
     "Both, perhaps: its author found that Oracle Cloud wants no `to` before a list of permissions. We\n"
     "accept both; the statement grants nothing here."),
    (REFUSES, "`Admit` of named groups of any tenancy", r"Admit (?!any-).* of any-tenancy",
     "Admit group A of any-tenancy to read repos in tenancy",
     "It is, probably: its author saw Oracle Cloud refuse it, which no page says. The statement grants\n"
     "nothing here."),
    (REFUSES, "colons and `@` in the name of a tag", r"\.tag\.[^\s=]*[@:]",
     "Allow group A to read repos in tenancy where target.resource.tag.a.b:c = 'x'",
     "We are: the page on tags lists both among the characters that may stand in a condition."),
    (REFUSES, "two slashes", r"/.*/",
     "Allow group A/B, C/D to read repos in tenancy",
     "We are: from a slash its lexer reads on to the next one as a pattern, over names and clauses."),
    (OTHERWISE, "`!variable`", r"!\w",
     "Allow group A to read repos in tenancy where !request.region",
     "We are: policies that Oracle Cloud writes itself use it for `absent`; it reads the opposite."),
    (OTHERWISE, "characters that it drops", ODD_NAME,
     "Allow group a+ to read repos in tenancy",
     "We are: a group `a+` is not the group `a`."),
    (ACCEPTS, "words that nobody has", r"ANSWER expected a (verb|permission|variable|resource type)",
     "Allow group A to browse rocks in tenancy where target.colour = 'red'",
     "We are: such a statement does nothing, and a slip must be named. It claims no table of words."),
    (ACCEPTS, "an OCID of any form", r"ocid1\.(\S*[^\w. ,}-]|(?!\w+\.oc1\.))",
     "Allow group id ocid1.x/y to read repos in tenancy",
     "We are: an identifier has five parts of letters, digits, `-` and `_`."),
    (ACCEPTS, "a quote left open", r"ANSWER quote left open",
     "Allow group 'A to read repos in tenancy",
     "We are: its lexer drops the quote, and another name is read than was meant."),
]


def shows(pattern, text, answer):
    if pattern.startswith("RAW "):
        return re.search(pattern.removeprefix("RAW "), text)
    if pattern.startswith("ANSWER "):
        return re.search(pattern.removeprefix("ANSWER "), answer)
    return re.search(pattern, re.sub(r"'[^'\n]*'", "''", text))


def main():
    lines = (HERE / "statements.txt").read_text().splitlines()
    found, unexplained, both_accept, both_refuse = [[] for _ in CAUSES], [], 0, 0
    for head, answer in zip(lines[::2], lines[1::2]):
        number, text = head.split(" ", 1)
        ours = answer.strip().removeprefix("valid: ") if answer.startswith("  valid: ") else None
        read = theirs(text)
        if ours is None and read is None:
            both_refuse += 1
            continue
        if ours and read and plain(ours) == plain(read):
            both_accept += 1
            continue
        side = REFUSES if read is None else ACCEPTS if ours is None else OTHERWISE
        causes = [cause for cause in CAUSES if cause[0] == side and shows(cause[2], text, answer)]
        for cause in causes:
            found[CAUSES.index(cause)].append(number)
        if not causes:
            unexplained.append(f"{side}: {head}\n  ours   {answer.strip()}\n  theirs {read}")
    count = len(lines) // 2
    print(f"""# Disagreements with an independent parser

Printed by `compare.py`, which asks {PACKAGE.replace('==', ' ')} about the {count} statements in
`statements.txt` (made from a seed; a test holds them to it).

- Both accept and read alike: {both_accept}.
- Both refuse: {both_refuse}.
- They disagree: {count - both_accept - both_refuse}. Each is named below, under every cause that it shows.""")
    for (side, title, _, probe, verdict), numbers in zip(CAUSES, found):
        print(f"""
## {side[0].upper()}{side[1:]}: {title}

Alone: `{probe}`

Who is right? {verdict}

Statements: {', '.join(numbers)}""")
        if not numbers or (theirs(probe) is None) != (side == REFUSES):
            unexplained.append(f"{title}: is no cause (any more)")
    for text in unexplained:
        print(f"\nUNEXPLAINED {text}")
    sys.exit(bool(unexplained))


main()
