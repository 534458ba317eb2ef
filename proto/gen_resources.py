#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns resources.tsv and table_columns.tsv into the const tables of resource_table.h and table_columns.h.

Usage: gen_resources.py DESCRIPTOR_SET RESOURCES_TSV COLUMNS_TSV OUTPUT.c
"""
import base64
import hashlib
import sys

from gen_tables import c_string, read_files, flatten

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def rows(path):
    with open(path, encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t") for line in lines if line.strip() and not line.startswith("#")]


class Resource:
    def __init__(self, row):
        (self.group, self.version, name, self.singular, kind, scope, short, categories, verbs, self.prefix,
         self.encoding, storage) = row
        self.resource, _, self.subresource = name.partition("/")
        *gv, self.kind = kind.split("/")
        self.kind_group, self.kind_version = gv if gv else (self.group, self.version)
        self.namespaced = scope == "Namespaced"
        self.short_names = short.split(",") if short else []
        self.categories = categories.split(",") if categories else []
        self.verbs = verbs.split(",")
        self.storage_group, _, self.storage_version = storage.rpartition("/")

    def storage_hash(self):
        text = f"{self.storage_group}/{self.storage_version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


class Writer:
    def __init__(self, files, resources, columns):
        self.kinds = {(m.group, m.file.version, m.kind): m.c_name
                      for f in files for m in flatten(f.messages) if m.kind and m.group is not None}
        self.resources = resources
        self.columns = columns
        self.out = []
        self.arrays = {}

    def emit(self, line=""):
        self.out.append(line)

    def schema(self, group, version, kind):
        name = self.kinds.get((group, version, kind))
        return f"&{name}_schema" if name else "NULL"

    def strings(self, values):
        key = tuple(values)
        if key not in self.arrays:
            self.arrays[key] = f"strings_{len(self.arrays)}"
            items = ", ".join([c_string(v) for v in values] + ["NULL"])
            self.emit(f"static const char *const {self.arrays[key]}[] = {{{items}}};")
        return self.arrays[key]

    def write_columns(self):
        kinds = {}
        for kind, *column in self.columns:
            kinds.setdefault(kind, []).append(column)
        named = sorted(k for k in kinds if k)
        for kind, columns in kinds.items():
            self.emit(f"static const struct table_column columns_{kind or 'default'}[] = {{")
            for name, type_, form, priority, description in columns:
                self.emit(f"\t{{{c_string(name)}, {c_string(type_)}, {c_string(form)}, {c_string(description)}, "
                          f"{priority}}},")
            self.emit("};")
        self.emit("const struct table_columns table_columns_all[] = {")
        for kind in named:
            self.emit(f"\t{{{c_string(kind)}, columns_{kind}, {len(kinds[kind])}}},")
        self.emit("};")
        self.emit(f"const size_t table_columns_n = {len(named)};")
        self.emit(f'const struct table_columns table_columns_default = {{"", columns_default, {len(kinds[""])}}};')
        self.emit()
        return {kind: i for i, kind in enumerate(named)}

    def storage_schema(self, r):
        """The message that is stored. A version that we have no message for has the same fields as the resource's."""
        stored = self.schema(r.storage_group, r.storage_version, r.kind)
        return stored if stored != "NULL" else self.schema(r.group, r.version, r.kind)

    def write_resource(self, r, columns, index):
        list_kind = r.kind + "List" if "list" in r.verbs else None
        parent = f"&resource_table[{index[(r.group, r.version, r.resource)]}]" if r.subresource else "NULL"
        short, categories = self.strings_of[r]
        fields = {
            "group": c_string(r.group), "version": c_string(r.version), "resource": c_string(r.resource),
            "subresource": c_string(r.subresource), "singular": c_string(r.singular), "kind": c_string(r.kind),
            "kind_group": c_string(r.kind_group), "kind_version": c_string(r.kind_version),
            "list_kind": c_string(list_kind), "short_names": short, "categories": categories,
            "schema": self.schema(r.kind_group, r.kind_version, r.kind),
            "list_schema": self.schema(r.kind_group, r.kind_version, list_kind), "parent": parent,
            "columns": f"&table_columns_all[{columns[r.kind]}]" if r.kind in columns else "&table_columns_default",
            "verbs": " | ".join("RESOURCE_" + v.upper() for v in r.verbs), "namespaced": str(r.namespaced).lower(),
        }
        if fields["schema"] == "NULL" or (list_kind and fields["list_schema"] == "NULL"):
            raise ValueError(f"{r.group}/{r.version} {r.kind}: no message")
        if r.prefix:
            fields.update({
                "storage_prefix": c_string(r.prefix), "storage_group": c_string(r.storage_group),
                "storage_version": c_string(r.storage_version), "storage_kind": c_string(r.kind),
                "storage_schema": self.storage_schema(r), "storage_version_hash": c_string(r.storage_hash()),
                "storage_json": str(r.encoding == "json").lower(),
            })
        self.emit("\t{")
        for name, value in fields.items():
            self.emit(f"\t\t.{name} = {value},")
        self.emit("\t},")

    def write(self):
        self.emit("/* Made by proto/gen_resources.py. */")
        self.emit('#include "proto/resource_table.h"')
        self.emit('#include "proto/resource_tables.h"')
        self.emit('#include "proto/schema_messages.h"')
        self.emit()
        columns = self.write_columns()
        index = {(r.group, r.version, r.resource): i for i, r in enumerate(self.resources) if not r.subresource}
        self.strings_of = {r: (self.strings(r.short_names), self.strings(r.categories)) for r in self.resources}
        groups = {}
        for r in self.resources:
            versions = groups.setdefault(r.group, [])
            if r.version not in versions:
                versions.append(r.version)
        group_strings = {g: self.strings(v) for g, v in groups.items()}
        self.emit("const struct resource_info resource_table[] = {")
        for r in self.resources:
            self.write_resource(r, columns, index)
        self.emit("};")
        self.emit(f"const size_t resource_n = {len(self.resources)};")
        order = sorted(range(len(self.resources)), key=lambda i: (
            self.resources[i].resource, self.resources[i].group, self.resources[i].version,
            self.resources[i].subresource))
        self.emit(f"const uint16_t resource_by_name[] = {{{', '.join(map(str, order))}}};")
        self.emit("const struct resource_group resource_groups[] = {")
        for group in groups:
            self.emit(f"\t{{{c_string(group)}, {group_strings[group]}}},")
        self.emit("};")
        self.emit(f"const size_t resource_n_groups = {len(groups)};")
        return "\n".join(self.out) + "\n"


def main():
    descriptor_set, resources, columns, output = sys.argv[1:]
    writer = Writer(read_files(descriptor_set), [Resource(r) for r in rows(resources)], rows(columns))
    with open(output, "w", encoding="utf-8") as f:
        f.write(writer.write())


if __name__ == "__main__":
    main()
