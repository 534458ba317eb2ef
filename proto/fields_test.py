#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that messages, fields and enums have the wire numbers, types and names that testdata/fields.tsv pins.

Usage: fields_test.py DESCRIPTOR_SET FIELDS_TSV
"""
import sys

from gen_tables import one, parse, text

SCALARS = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes",
           13: "uint32"}


def plain(name):
    """Names are compared without case and underscores: ours are snake_case."""
    return name.replace("_", "").lower()


def enum_values(data):
    return {one(v, 2, 0): text(v, 1) for v in map(parse, parse(data).get(2, []))}


class Descriptors:
    """Everything in a descriptor set, as the strings of fields.tsv."""

    def __init__(self, path):
        self.messages = {}
        self.enums = {}
        with open(path, "rb") as f:
            for data in parse(f.read())[1]:
                d = parse(data)
                package = text(d, 2, "")
                for e in d.get(5, []):
                    self.enums[f"{package}.{text(parse(e), 1)}"] = enum_values(e)
                for m in d.get(4, []):
                    self.message(m, package)

    def message(self, data, prefix):
        d = parse(data)
        name = f"{prefix}.{text(d, 1)}"
        entries = {text(parse(n), 1): parse(n) for n in d.get(3, [])}
        for e in d.get(4, []):
            self.enums[f"{name}.{text(parse(e), 1)}"] = enum_values(e)
        for nested in d.get(3, []):
            self.message(nested, name)
        self.messages[name] = {one(f, 3): (self.type(f, entries), text(f, 1)) for f in map(parse, d.get(2, []))}

    def type(self, field, entries):
        base = SCALARS.get(one(field, 5)) or text(field, 6).rsplit(".", 1)[-1]
        if one(field, 4) != 3:
            return base
        entry = entries.get(base)
        if entry and one(parse(one(entry, 7, b"")), 7):
            key, value = sorted(map(parse, entry[2]), key=lambda f: one(f, 3))
            return f"map<{self.type(key, {})},{self.type(value, {})}>"
        return "[]" + base


def compare(pinned, have, where, errors):
    for number, (type_, name) in pinned.items():
        if number not in have:
            errors.append(f"{where}: {number} {name} is missing")
        elif have[number][0] != type_ or plain(have[number][1]) != plain(name):
            errors.append(f"{where}: {number} is {' '.join(have[number])}, not {type_} {name}")
    for number in have.keys() - pinned.keys():
        errors.append(f"{where}: {number} {have[number][1]} is not pinned")


def main():
    descriptors = Descriptors(sys.argv[1])
    errors, fields = [], 0
    with open(sys.argv[2], encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            name, _, rest = line.rstrip("\n").partition("\t")
            items = [item.split(" ") for item in rest.split("; ")] if rest else []
            if name.startswith("enum "):
                have = {n: ("", v) for n, v in descriptors.enums.get(name[5:], {}).items()}
                pinned = {int(n): ("", v) for n, v in items}
            else:
                have = descriptors.messages.get(name, {})
                pinned = {int(n): (t, f) for n, t, f in items}
                fields += len(pinned)
                if name not in descriptors.messages:
                    errors.append(f"{name} is missing")
            compare(pinned, have, name, errors)
    print("\n".join(errors) or f"{fields} fields as pinned")
    return 1 if errors or fields < 3500 else 0


if __name__ == "__main__":
    sys.exit(main())
