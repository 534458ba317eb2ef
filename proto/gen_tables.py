#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a descriptor set (protoc --descriptor_set_out) into the const tables that proto/schema.h declares.

Usage: gen_tables.py DESCRIPTOR_SET FEATURE_GATES_TSV TABLES.c MESSAGES.h
"""
import re
import sys

MASK = (1 << 64) - 1


# The protobuf wire format, as far as descriptors need it.

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def parse(data):
    """A message as {field number: [values in order]}; values are ints or bytes."""
    fields = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def one(fields, number, default=None):
    return fields[number][-1] if number in fields else default


def sub(fields, number):
    """A message field, merged from all its occurrences."""
    return parse(b"".join(fields.get(number, [])))


def text(fields, number, default=None):
    value = one(fields, number)
    return default if value is None else value.decode()


# Our options all extend their host under this number (proto/options.proto).
OPTION, ENUMERATION = 50001, 50002
# protobuf-c's own file options.
PB_C_FILE = 1019
TYPES = {1: "DOUBLE", 2: "FLOAT", 3: "INT64", 4: "UINT64", 5: "INT32", 6: "FIXED64", 7: "FIXED32", 8: "BOOL",
         9: "STRING", 11: "MESSAGE", 12: "BYTES", 13: "UINT32", 14: "ENUM"}
SPECIALS = ["PLAIN", "MAP_ENTRY", "TIME", "MICRO_TIME", "DURATION", "QUANTITY", "INT_OR_STRING", "RAW_EXTENSION",
            "FIELDS_V1", "JSON", "JSON_SCHEMA_OR_BOOL", "JSON_SCHEMA_OR_ARRAY", "JSON_SCHEMA_OR_STRING_ARRAY",
            "STRING_LIST"]
# What protoc-c appends an underscore to, of the names that occur.
KEYWORDS = set("""auto bool break case char class const continue default delete do double else enum explicit export extern
    false float for friend goto if inline int long mutable namespace new not operator or private protected public
    register return short signed sizeof static struct switch template this throw true try typedef typeid typename
    union unsigned using virtual void volatile while xor""".split())


def camel_to_lower(name):
    """protoc-c's C function prefix of one name."""
    out, was_upper = "", True
    for c in name:
        if c.isupper():
            out += ("" if was_upper else "_") + c.lower()
            was_upper = True
        else:
            out += c
            was_upper = False
    return out


def to_camel(name):
    """protoc-c's C type name of one name."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


class Field:
    def __init__(self, data, owner):
        d = parse(data)
        options = sub(d, 8)
        fact = sub(options, OPTION)
        self.owner = owner
        self.name = text(d, 1)
        self.number = one(d, 3)
        self.label = one(d, 4)
        self.type = TYPES[one(d, 5)]
        self.type_name = text(d, 6, "").lstrip(".")
        self.json_name = text(d, 10)
        self.member = self.name + ("_" if self.name in KEYWORDS else "")
        self.pointer = one(fact, 1, 0)
        self.omitempty = one(fact, 2, 0)
        self.omitzero = one(fact, 3, 0)
        self.inline = one(fact, 4, 0)
        self.no_json = one(fact, 5, 0)
        self.required = one(fact, 6, 0)
        self.optional = one(fact, 7, 0)
        self.struct_atomic = one(fact, 8, 0) == 2
        self.patch = fact.get(9, [])
        self.merge_key = text(fact, 10)
        self.list_type = one(fact, 11, 0)
        self.keys = [k.decode() for k in fact.get(12, [])]
        self.default = text(fact, 13)
        self.gate = text(fact, 14)
        self.discriminator = one(fact, 15, 0)
        self.enum = text(fact, 16)
        if self.inline or self.no_json:
            self.json_name = ""

    @property
    def repeated(self):
        return self.label == 3


class Message:
    def __init__(self, data, package, prefix, file):
        d = parse(data)
        options = sub(d, 7)
        fact = sub(options, OPTION)
        self.name = text(d, 1)
        self.file = file
        path = prefix + [self.name]
        self.full_name = ".".join([package] + path)
        self.c_type = "__".join(to_camel(p) for p in [file.c_package] + path)
        self.c_name = "__".join(camel_to_lower(p) for p in [file.c_package] + path)
        self.order = [Field(f, self) for f in d.get(2, [])]
        self.fields = sorted(self.order, key=lambda f: f.number)
        self.type_meta = one(fact, 1, 0)
        self.atomic = one(fact, 2, 0)
        self.special = SPECIALS[one(fact, 3, 0)]
        self.kind = text(fact, 4)
        self.group = text(fact, 5, file.group)
        if one(options, 7, 0):
            self.special = "MAP_ENTRY"
        self.nested = [Message(m, package, path, file) for m in d.get(3, [])]


class File:
    def __init__(self, data):
        d = parse(data)
        options = sub(d, 8)
        fact = sub(options, OPTION)
        self.name = text(d, 1)
        self.package = text(d, 2)
        self.c_package = text(sub(options, PB_C_FILE), 6) or self.package
        self.group = text(fact, 1)
        self.version = text(fact, 2)
        self.enums = {}
        for e in options.get(ENUMERATION, []):
            e = parse(e)
            self.enums[text(e, 1)] = [v.decode() for v in e.get(2, [])]
        self.messages = [Message(m, self.package, [], self) for m in d.get(4, [])]


def flatten(messages):
    for m in messages:
        yield m
        yield from flatten(m.nested)


# The hash of schema_json_hash() in proto/schema.h.

def json_hash(name, seed):
    b = name.encode()
    n = len(b)
    if n >= 8:
        x, y = b[:8], b[-8:]
    elif n >= 4:
        x, y = b[:4], b[-4:]
    else:
        x, y = b, b""
    x = ((int.from_bytes(x, "little") ^ seed ^ n) * 0x9E3779B97F4A7C15) & MASK
    y = ((int.from_bytes(y, "little") + seed) * 0xD6E8FEB86659FD93) & MASK
    x ^= x >> 32
    return ((x ^ y) * 0x9E3779B97F4A7C15) & MASK


def perfect_hash(names):
    """(bits, seed, slots of index + 1) without collisions, as small as a short search finds."""
    bits = max(1, (len(names) - 1).bit_length())
    while bits <= 10:
        for seed in range(1, 3000):
            slots = [0] * (1 << bits)
            for i, name in enumerate(names):
                at = json_hash(name, seed) >> (64 - bits)
                if slots[at]:
                    break
                slots[at] = i + 1
            else:
                return bits, seed, slots
        bits += 1
    raise ValueError(f"no perfect hash for {names}")


def fnv(name):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & MASK
    return h


def c_string(value):
    return "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Writer:
    def __init__(self, files, gates):
        self.files = files
        self.gates = gates
        self.messages = sorted((m for f in files for m in flatten(f.messages)), key=lambda m: m.full_name)
        self.by_name = {m.full_name: m for m in self.messages}
        self.enums = {name: values for f in files for name, values in f.enums.items()}
        self.out = []
        self.extras = {}
        self.arrays = {}

    def emit(self, line=""):
        self.out.append(line)

    def string_array(self, values):
        """The C name of a NULL-terminated array of strings, one for each distinct content."""
        key = tuple(values)
        if key not in self.arrays:
            self.arrays[key] = f"strings_{len(self.arrays)}"
            items = ", ".join(c_string(v) for v in values)
            self.emit(f"static const char *const {self.arrays[key]}[] = {{{items}, NULL}};")
        return self.arrays[key]

    def extra(self, f):
        keys = self.string_array(f.keys) if f.keys else "NULL"
        enum = self.string_array(self.enums[f.enum]) if f.enum else "NULL"
        key = (f.merge_key, keys, f.default, f.gate, enum)
        if key not in self.extras:
            self.extras[key] = f"extra_{len(self.extras)}"
            self.emit(f"static const struct schema_extra {self.extras[key]} = {{{c_string(f.merge_key)}, {keys}, "
                      f"{c_string(f.default)}, {c_string(f.gate)}, {enum}}};")
        return self.extras[key]

    def is_map(self, f):
        return f.type == "MESSAGE" and self.by_name[f.type_name].special == "MAP_ENTRY"

    def flags(self, f):
        on = [name for name, cond in (
            ("POINTER", f.pointer), ("OMITEMPTY", f.omitempty), ("OMITZERO", f.omitzero), ("INLINE", f.inline),
            ("REPEATED", f.repeated), ("MAP", self.is_map(f)), ("REQUIRED", f.required), ("OPTIONAL", f.optional),
            ("NO_JSON", f.no_json), ("GATED", f.gate), ("STRUCT_ATOMIC", f.struct_atomic),
            ("PATCH_MERGE", 1 in f.patch), ("PATCH_REPLACE", 2 in f.patch), ("PATCH_RETAIN_KEYS", 3 in f.patch),
            ("UNION_DISCRIMINATOR", f.discriminator)) if cond]
        if f.gate and not all(self.gates[g] for g in f.gate.split(",")):
            on.append("GATED_OFF")
        return " | ".join("SCHEMA_" + name for name in on) or "0"

    def quantifier(self, f):
        if f.repeated:
            return f"offsetof({f.owner.c_type}, n_{f.member})"
        if f.type not in ("STRING", "MESSAGE"):
            return f"offsetof({f.owner.c_type}, has_{f.member})"
        return "0"

    def json_entries(self, m, via=()):
        for f in m.order:
            if f.inline:
                yield from self.json_entries(self.by_name[f.type_name], via + (f,))
            elif f.json_name:
                yield f, via

    @staticmethod
    def reference(f):
        return f"&{f.owner.c_name}_fields[{f.owner.fields.index(f)}]"

    def message(self, m):
        extras = [self.extra(f) for f in m.fields]
        if m.fields:
            self.emit(f"static const struct schema_field {m.c_name}_fields[{len(m.fields)}] = {{")
            for f, extra in zip(m.fields, extras):
                sub = f"&{self.by_name[f.type_name].c_name}_schema" if f.type == "MESSAGE" else "NULL"
                self.emit(f"\t{{{c_string(f.name)}, {c_string(f.json_name)}, &{m.c_name}_schema, {sub}, &{extra}, "
                          f"{f.number}, {self.flags(f)}, offsetof({m.c_type}, {f.member}), {self.quantifier(f)}, "
                          f"PROTOBUF_C_TYPE_{f.type}, {f.list_type}}},")
            self.emit("};")
        json = list(self.json_entries(m)) if m.special == "PLAIN" else []
        bits, seed, slots = perfect_hash([f.json_name for f, _ in json]) if json else (0, 0, [])
        if json:
            self.emit(f"static const struct schema_json {m.c_name}_json[] = {{")
            for f, via in json:
                if len(via) > 2:
                    raise ValueError(f"{m.full_name}: inlined too deep")
                hops = [self.reference(v) for v in via] + ["NULL", "NULL"]
                self.emit(f"\t{{{c_string(f.json_name)}, {self.reference(f)}, {hops[0]}, {hops[1]}, "
                          f"{len(f.json_name)}}},")
            self.emit("};")
            self.emit(f"static const uint8_t {m.c_name}_hash[] = {{{', '.join(map(str, slots))}}};")
        by_field = {f.name: f for f in m.fields}
        meta = by_field.get("metadata")
        list_kind = meta and meta.type_name.endswith(".ListMeta")
        if meta and not (list_kind or meta.type_name.endswith(".ObjectMeta")):
            meta = None
        items = by_field.get("items") if list_kind else None
        flags = [n for n, c in (("TYPE_META", m.type_meta), ("LIST_KIND", list_kind and items), ("MAP_ATOMIC", m.atomic))
                 if c]
        kind = m.kind if m.group is not None else None
        self.emit(f"const struct schema_message {m.c_name}_schema = {{")
        self.emit(f"\t.full_name = {c_string(m.full_name)},")
        self.emit(f"\t.name = {c_string(m.name)},")
        self.emit(f"\t.desc = &{m.c_name}__descriptor,")
        if kind:
            self.emit(f"\t.group = {c_string(m.group)},")
            self.emit(f"\t.version = {c_string(m.file.version)},")
            self.emit(f"\t.kind = {c_string(kind)},")
        # Never NULL, so that a walk over no fields adds nothing to a null pointer.
        self.emit(f"\t.fields = {f'{m.c_name}_fields' if m.fields else '(const struct schema_field[1]){{0}}'},")
        self.emit(f"\t.json = {f'{m.c_name}_json' if json else '(const struct schema_json[1]){{0}}'},")
        if json:
            self.emit(f"\t.json_hash = {m.c_name}_hash,")
        if meta:
            self.emit(f"\t.metadata = {self.reference(meta)},")
        if items:
            self.emit(f"\t.items = {self.reference(items)},")
        self.emit(f"\t.json_seed = {seed},")
        self.emit(f"\t.n_fields = {len(m.fields)},")
        self.emit(f"\t.n_json = {len(json)},")
        self.emit(f"\t.json_bits = {bits},")
        self.emit(f"\t.special = SCHEMA_{m.special},")
        self.emit(f"\t.flags = {' | '.join('SCHEMA_' + f for f in flags) or '0'},")
        self.emit("};")
        self.emit()

    def names(self):
        bits = (2 * len(self.messages) - 1).bit_length()
        slots = [0] * (1 << bits)
        for i, m in enumerate(self.messages):
            at = fnv(m.full_name) >> (64 - bits)
            while slots[at]:
                at = (at + 1) % len(slots)
            slots[at] = i + 1
        self.emit("const struct schema_message *const schema_messages[] = {")
        for m in self.messages:
            self.emit(f"\t&{m.c_name}_schema,")
        self.emit("};")
        self.emit(f"const size_t schema_n_messages = {len(self.messages)};")
        self.emit(f"const unsigned schema_name_bits = {bits};")
        self.emit("const uint16_t schema_name_slots[] = {")
        for i in range(0, len(slots), 20):
            self.emit("\t" + " ".join(f"{s}," for s in slots[i:i + 20]))
        self.emit("};")

    def kinds(self):
        kinds = sorted((m.kind, m.group, m.file.version, m.c_name) for m in self.messages
                       if m.kind and m.group is not None)
        self.emit("const struct schema_message *const schema_kinds[] = {")
        for k in kinds:
            self.emit(f"\t&{k[3]}_schema,")
        self.emit("};")
        self.emit(f"const size_t schema_n_kinds = {len(kinds)};")

    def write(self):
        self.emit("/* Made by proto/gen_tables.py. */")
        self.emit('#include "proto/schema_messages.h"')
        self.emit('#include "proto/schema_tables.h"')
        for f in self.files:
            if f.messages:
                self.emit(f'#include "{re.sub(r"[.]proto$", ".pb-c.h", f.name)}"')
        self.emit()
        for m in self.messages:
            if m.fields:
                self.emit(f"static const struct schema_field {m.c_name}_fields[{len(m.fields)}];")
        self.emit()
        for m in self.messages:
            self.message(m)
        self.names()
        self.emit()
        self.kinds()
        return "\n".join(self.out) + "\n"

    def header(self):
        lines = ["/* Made by proto/gen_tables.py: each message's schema by its C name. */", "#pragma once",
                 '#include "proto/schema.h"', ""]
        lines += [f"extern const struct schema_message {m.c_name}_schema;" for m in self.messages]
        return "\n".join(lines) + "\n"


def load_gates(path):
    """{gate: on by default} from lines of "gate<TAB>on|off"."""
    gates = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                gate, state = line.rstrip("\n").split("\t")
                gates[gate] = {"on": True, "off": False}[state]
    return gates


def read_files(path):
    with open(path, "rb") as f:
        return [File(d) for d in parse(f.read())[1]]


def main():
    descriptor_set, gates, tables, header = sys.argv[1:]
    writer = Writer(read_files(descriptor_set), load_gates(gates))
    with open(tables, "w", encoding="utf-8") as f:
        f.write(writer.write())
    with open(header, "w", encoding="utf-8") as f:
        f.write(writer.header())


if __name__ == "__main__":
    main()
