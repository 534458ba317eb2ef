#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the OpenAPI documents of the built-in kinds: one v3 document a group version, the v2 document as JSON and as
protobuf, each compressed, in one blob, with a C table of where they are.

Usage: gen_openapi.py PROTO_DIR DESCRIPTOR_SET_WITH_SOURCE RESOURCES_TSV BLOB.bin TABLE.c
"""
import gzip
import hashlib
import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import gen_tables as tables  # noqa: E402
from gen_resources import Resource, rows  # noqa: E402

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
MEDIA = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"]
STREAMS = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
PATCHES = ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
           "application/strategic-merge-patch+json"]
SCALARS = {"STRING": ("string", None, ""), "BOOL": ("boolean", None, False), "INT32": ("integer", "int32", 0),
           "INT64": ("integer", "int64", 0), "UINT32": ("integer", "int64", 0), "UINT64": ("integer", "int64", 0),
           "DOUBLE": ("number", "double", 0), "FLOAT": ("number", "float", 0), "BYTES": ("string", "byte", None)}


# Descriptions: the leading comments of the .proto files.

def comments(path):
    """{(file name, path of field numbers): text} of all leading comments."""
    found = {}
    with open(path, "rb") as f:
        files = tables.parse(f.read()).get(1, [])
    for data in files:
        file = tables.parse(data)
        info = tables.sub(file, 9)
        for location in info.get(1, []):
            location = tables.parse(location)
            leading = tables.text(location, 3)
            if leading is None:
                continue
            at, steps, packed = 0, [], tables.one(location, 1, b"")
            while at < len(packed):
                step, at = tables.varint(packed, at)
                steps.append(step)
            found[(tables.text(file, 1), tuple(steps))] = " ".join(leading.split())
    return found


def described(files, found):
    """Puts `description` on every message and field."""
    for f in files:
        def visit(messages, path, number):
            for i, m in enumerate(messages):
                here = path + (number, i)
                m.description = found.get((f.name, here), "")
                for k, field in enumerate(m.order):
                    field.description = found.get((f.name, here + (2, k)), "")
                visit(m.nested, here, 3)
        visit(f.messages, (), 4)


def schema_name(full):
    for have, want in (("k8s.io.apiextensions_apiserver.", "io.k8s.apiextensions-apiserver."),
                       ("k8s.io.kube_aggregator.", "io.k8s.kube-aggregator."),
                       ("k8s.io.apimachinery.", "io.k8s.apimachinery."), ("k8s.io.api.", "io.k8s.api.")):
        if full.startswith(have):
            return want + full[len(have):]
    return full


class Schemas:
    """Schemas of messages, for one version of OpenAPI."""

    def __init__(self, files, resources, v3):
        self.v3 = v3
        self.messages = {m.full_name: m for f in files for m in tables.flatten(f.messages)}
        self.enums = {n: v for f in files for n, v in f.enums.items()}
        self.gvks = {}
        for f in files:
            for m in tables.flatten(f.messages):
                if m.kind and m.group is not None:
                    self.gvks.setdefault(m.full_name, []).append((m.group, f.version, m.kind))
        # Options and statuses belong to every group version.
        everywhere = sorted({(r.group, r.version) for r in resources})
        for full, kind in (("DeleteOptions", "DeleteOptions"), ("WatchEvent", "WatchEvent")):
            self.gvks["k8s.io.apimachinery.pkg.apis.meta.v1." + full] = [(g, v, kind) for g, v in everywhere]
        self.by_gvk = {gvk: name for name, gvks in self.gvks.items() for gvk in gvks}

    def ref(self, full):
        prefix = "#/components/schemas/" if self.v3 else "#/definitions/"
        return {"$ref": prefix + schema_name(full)}

    def special(self, m):
        string = {"type": "string"}
        if m.special in ("TIME", "MICRO_TIME"):
            return dict(string, format="date-time")
        if m.special == "DURATION":
            return string
        if m.special == "QUANTITY":
            return {"oneOf": [string, {"type": "number"}]} if self.v3 else string
        if m.special == "INT_OR_STRING":
            if self.v3:
                return {"format": "int-or-string", "oneOf": [{"type": "integer"}, string]}
            return dict(string, format="int-or-string")
        if m.special in ("RAW_EXTENSION", "FIELDS_V1"):
            return {"type": "object"}
        if m.special == "STRING_LIST":
            return {"type": "array", "items": string}
        return {}

    def value(self, field):
        """The schema of one value of the field, without list or map around it."""
        if field.type == "MESSAGE":
            m = self.messages[field.type_name]
            if m.special == "STRING_LIST":
                return self.special(m)
            return self.ref(m.full_name)
        kind, form, _ = SCALARS[field.type]
        return {"type": kind, "format": form} if form else {"type": kind}

    def field(self, field):
        entry = self.messages.get(field.type_name)
        out = {}
        if entry and entry.special == "MAP_ENTRY":
            out = {"type": "object", "additionalProperties": self.value(entry.fields[1])}
        elif field.repeated:
            out = {"type": "array", "items": self.value(field)}
        else:
            out = self.value(field)
            zero = SCALARS.get(field.type, (0, 0, None))[2]
            if "$ref" in out and self.v3:
                out = {"allOf": [out]}
                if not field.pointer and entry.special in ("PLAIN",):
                    out["default"] = {}
            elif self.v3 and "$ref" not in out and not field.pointer and not field.omitempty and zero is not None:
                out["default"] = zero
        if field.default is not None:
            out["default"] = json.loads(field.default)
        if field.enum in self.enums:
            out["enum"] = sorted(self.enums[field.enum])
        if field.description:
            out["description"] = field.description
        self.extensions(field, entry, out)
        return out

    @staticmethod
    def extensions(field, entry, out):
        is_list = field.repeated and not (entry and entry.special == "MAP_ENTRY")
        if is_list:
            out["x-kubernetes-list-type"] = {0: "atomic", 1: "set", 2: "map"}[field.list_type]
            if field.keys:
                out["x-kubernetes-list-map-keys"] = field.keys
        elif field.struct_atomic:
            out["x-kubernetes-map-type"] = "atomic"
        if field.patch:
            out["x-kubernetes-patch-strategy"] = ",".join({1: "merge", 2: "replace", 3: "retainKeys"}[p]
                                                          for p in field.patch)
        if field.merge_key:
            out["x-kubernetes-patch-merge-key"] = field.merge_key

    def properties(self, m, properties, required):
        for f in m.order:
            if f.no_json:
                continue
            if f.inline:
                self.properties(self.messages[f.type_name], properties, required)
                continue
            properties[f.json_name] = self.field(f)
            if f.required:
                required.append(f.json_name)

    def schema(self, full):
        m = self.messages[full]
        out = {"description": m.description} if m.description else {}
        if m.special != "PLAIN":
            out.update(self.special(m))
            return out
        out["type"] = "object"
        properties, required = {}, []
        if m.type_meta:
            properties["apiVersion"] = {"type": "string", "description": "Version of the schema of this object."}
            properties["kind"] = {"type": "string", "description": "Kind of the object."}
        self.properties(m, properties, required)
        if properties:
            out["properties"] = properties
        if required:
            out["required"] = required
        if m.atomic:
            out["x-kubernetes-map-type"] = "atomic"
        if full in self.gvks:
            out["x-kubernetes-group-version-kind"] = [{"group": g, "kind": k, "version": v}
                                                      for g, v, k in self.gvks[full]]
        return out

    def closure(self, names):
        """The schemas of the messages and of all that they refer to."""
        out, todo = {}, sorted(set(names))
        while todo:
            full = todo.pop()
            if schema_name(full) in out:
                continue
            out[schema_name(full)] = self.schema(full)
            todo += self.references(self.messages[full])
        return dict(sorted(out.items()))

    def references(self, m):
        if m.special != "PLAIN":
            return
        for f in m.order:
            if f.type != "MESSAGE" or f.no_json:
                continue
            target = self.messages[f.type_name]
            if target.special == "MAP_ENTRY":
                if target.fields[1].type == "MESSAGE":
                    yield target.fields[1].type_name
            elif f.inline:
                yield from self.references(target)
            elif target.special != "STRING_LIST":
                yield f.type_name


# Parameters of operations.

def p(name, kind, text):
    return (name, kind, text)


PRETTY = p("pretty", "string", "Indents the answer when true.")
LIST = [p("allowWatchBookmarks", "boolean", "Asks for bookmarks in a watch."),
        p("continue", "string", "Where the next page of a list begins, as the last page told."),
        p("fieldSelector", "string", "Restricts the list by fields."),
        p("labelSelector", "string", "Restricts the list by labels."),
        p("limit", "integer", "The most objects in one page."),
        p("resourceVersion", "string", "The version that the answer is about."),
        p("resourceVersionMatch", "string", "How resourceVersion applies to a list."),
        p("sendInitialEvents", "boolean", "Begins a watch with the objects that exist."),
        p("timeoutSeconds", "integer", "How long the call may last."),
        p("watch", "boolean", "Streams changes in place of a list.")]
DRY_RUN = p("dryRun", "string", "All: nothing is persisted.")
MANAGER = p("fieldManager", "string", "Who makes the change, for managedFields.")
VALIDATION = p("fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict.")
FORCE = p("force", "boolean", "Takes fields over from other managers; for apply.")
DELETE = [DRY_RUN, p("gracePeriodSeconds", "integer", "Seconds until the object is deleted."),
          p("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean",
            "Deletes an object that cannot be read, without its safeguards."),
          p("orphanDependents", "boolean", "Leaves dependents behind; propagationPolicy is the newer form."),
          p("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground.")]
NAME = p("name", "string", "Name of the object.")
NAMESPACE = p("namespace", "string", "Namespace of the object.")


class Paths:
    """Paths of a set of resources."""

    def __init__(self, schemas, resources):
        self.schemas, self.v3 = schemas, schemas.v3
        self.resources = resources

    def parameter(self, spec, where, required=False):
        name, kind, text = spec
        out = {"name": name, "in": where, "description": text}
        if required:
            out["required"] = True
        if self.v3:
            out["schema"] = {"type": kind, "uniqueItems": True}
        else:
            out.update({"type": kind, "uniqueItems": True})
        return out

    def queries(self, specs):
        return [self.parameter(s, "query") for s in specs]

    def answer(self, text, full, media=MEDIA):
        if not full:
            return {"description": text}
        schema = self.schemas.ref(full) if full != "string" else {"type": "string"}
        if not self.v3:
            return {"description": text, "schema": schema}
        return {"description": text, "content": {m: {"schema": schema} for m in media}}

    def body(self, op, full, media=("*/*",), required=True):
        if self.v3:
            op["requestBody"] = {"content": {m: {"schema": self.schemas.ref(full)} for m in media}}
            if required:
                op["requestBody"]["required"] = True
        else:
            parameter = {"name": "body", "in": "body", "schema": self.schemas.ref(full)}
            if required:
                parameter["required"] = True
            op.setdefault("parameters", []).insert(0, parameter)
            op["consumes"] = list(media)

    @staticmethod
    def group_tag(r):
        words = (r.group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
        return words[0] + "".join(w.capitalize() for w in words[1:])

    def operation(self, r, verb, scope, full, query, codes, action):
        group = self.group_tag(r)
        parts = [w.capitalize() for w in (r.subresource or "").split("/") if w]
        kind = r.owner_kind if r.subresource else r.kind
        name = (verb + group[0].upper() + group[1:] + r.version.capitalize() + scope + kind + "".join(parts))
        op = {"tags": [f"{group}_{r.version}"], "operationId": name,
              "description": f"{verb} {r.kind}".replace("deletecollection", "delete all"),
              "responses": {str(c): self.answer(t, full) for c, t in codes},
              "x-kubernetes-action": action,
              "x-kubernetes-group-version-kind": {"group": r.kind_group, "version": r.kind_version, "kind": r.kind}}
        op["responses"]["401"] = {"description": "Unauthorized"}
        if query:
            op["parameters"] = self.queries(query)
        if not self.v3:
            op.update({"schemes": ["https"], "produces": MEDIA, "consumes": ["*/*"]})
        return op

    def full(self, r, kind=None):
        return self.schemas.by_gvk.get((r.kind_group, r.kind_version, kind or r.kind))

    def item(self, r, scope):
        """Operations on one object or subresource."""
        out, full = {}, self.full(r)
        ok, created = (200, "OK"), (201, "Created")
        if r.subresource in ("proxy", "exec", "attach", "portforward", "log"):
            if "get" in r.verbs:
                out["get"] = self.operation(r, "connectGet" if r.subresource != "log" else "read", scope, "string",
                                            [], [ok], "connect" if r.subresource != "log" else "get")
            return out
        if "get" in r.verbs:
            out["get"] = self.operation(r, "read", scope, full, [], [ok], "get")
        if "update" in r.verbs:
            op = out["put"] = self.operation(r, "replace", scope, full, [DRY_RUN, MANAGER, VALIDATION], [ok, created],
                                             "put")
            self.body(op, full)
        if "create" in r.verbs and r.subresource:
            op = out["post"] = self.operation(r, "create", scope, full, [DRY_RUN, MANAGER, VALIDATION],
                                              [ok, created, (202, "Accepted")], "post")
            self.body(op, full)
        if "delete" in r.verbs:
            status = META.replace("io.k8s.", "k8s.io.", 1) + "Status"
            op = out["delete"] = self.operation(r, "delete", scope, status, DELETE, [ok, (202, "Accepted")], "delete")
            self.body(op, META.replace("io.k8s.", "k8s.io.", 1) + "DeleteOptions", required=False)
        if "patch" in r.verbs:
            op = out["patch"] = self.operation(r, "patch", scope, full, [DRY_RUN, MANAGER, VALIDATION, FORCE],
                                               [ok, created], "patch")
            self.body(op, META.replace("io.k8s.", "k8s.io.", 1) + "Patch", PATCHES)
        return out

    def collection(self, r, scope):
        out, full = {}, self.full(r)
        if "list" in r.verbs:
            op = out["get"] = self.operation(r, "list", scope, self.full(r, r.kind + "List"), LIST, [(200, "OK")],
                                             "list")
            if self.v3:
                content = op["responses"]["200"].get("content")
                if content:
                    for m in STREAMS if "watch" in r.verbs else []:
                        content[m] = content[MEDIA[0]]
        if "create" in r.verbs:
            op = out["post"] = self.operation(r, "create", scope, full, [DRY_RUN, MANAGER, VALIDATION],
                                              [(200, "OK"), (201, "Created"), (202, "Accepted")], "post")
            self.body(op, full)
        if "deletecollection" in r.verbs:
            status = META.replace("io.k8s.", "k8s.io.", 1) + "Status"
            op = out["delete"] = self.operation(r, "delete", "Collection" + scope, status, LIST[1:-1] + DELETE,
                                                [(200, "OK")], "deletecollection")
            self.body(op, META.replace("io.k8s.", "k8s.io.", 1) + "DeleteOptions", required=False)
        return out

    def build(self):
        out = {}
        for r in self.resources:
            if not self.full(r) and r.subresource not in ("proxy", "exec", "attach", "portforward", "log"):
                continue
            base = f"/api/{r.version}" if not r.group else f"/apis/{r.group}/{r.version}"
            scope = "Namespaced" if r.namespaced else ""
            prefix = base + ("/namespaces/{namespace}" if r.namespaced else "")
            common = [self.parameter(PRETTY, "query")]
            in_path = [self.parameter(NAMESPACE, "path", True)] if r.namespaced else []
            name = self.parameter(NAME, "path", True)
            if not r.subresource:
                operations = self.collection(r, scope)
                if operations:
                    out[f"{prefix}/{r.resource}"] = dict(operations, parameters=in_path + common)
                if r.namespaced and "list" in r.verbs:
                    op = self.operation(r, "list", "", self.full(r, r.kind + "List"), LIST, [(200, "OK")], "list")
                    op["operationId"] += "ForAllNamespaces"
                    out[f"{base}/{r.resource}"] = {"get": op, "parameters": common}
            operations = self.item(r, scope)
            if operations:
                path = f"{prefix}/{r.resource}/{{name}}" + (f"/{r.subresource}" if r.subresource else "")
                out[path] = dict(operations, parameters=[name] + in_path + common)
        return dict(sorted(out.items()))

    def kinds(self):
        for r in self.resources:
            for kind in (r.kind, r.kind + "List"):
                if self.full(r, kind):
                    yield self.full(r, kind)
        prefix = META.replace("io.k8s.", "k8s.io.", 1)
        for name in ("Status", "DeleteOptions", "WatchEvent", "Patch", "APIResourceList", "APIGroup"):
            if prefix + name in self.schemas.messages:
                yield prefix + name


INFO = {"title": "Kubernetes", "version": "v1.36.0"}
SECURITY = {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header",
                            "description": "Bearer token"}}


def document_v3(schemas, resources, extra_paths=None):
    paths = Paths(schemas, resources)
    return {"openapi": "3.0.0", "info": INFO, "paths": dict(paths.build(), **(extra_paths or {})),
            "components": {"schemas": schemas.closure(paths.kinds()), "securitySchemes": SECURITY}}


def simple_get(path, tag, operation, text, ref=None, v3=True):
    answer = {"description": "OK"}
    if ref and v3:
        answer["content"] = {"application/json": {"schema": ref}}
    elif ref:
        answer["schema"] = ref
    return {path: {"get": {"tags": [tag], "operationId": operation, "description": text,
                           "responses": {"200": answer, "401": {"description": "Unauthorized"}}}}}


# The protobuf form of the v2 document (gnostic openapiv2): numbers as in proto/openapi_v2.proto.

def put(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(n):
    out = b""
    while True:
        out += bytes([n & 0x7F | (0x80 if n > 0x7F else 0)])
        n >>= 7
        if not n:
            return out


def put_str(number, value):
    return put(number, value.encode())


def put_bool(number, value):
    return varint(number << 3) + b"\x01" if value else b""


def extension(number, d, keys):
    """NamedAny {name = 1, value = 2: Any {value = 1, yaml = 2}} for each x- member."""
    return b"".join(put(number, put_str(1, k) + put(2, put_str(2, json.dumps(d[k], sort_keys=True))))
                    for k in sorted(keys) if k.startswith("x-"))


def pb_schema(s):
    out = b""
    if "$ref" in s:
        out += put_str(1, s["$ref"])
    if "format" in s:
        out += put_str(2, s["format"])
    if "description" in s:
        out += put_str(4, s["description"])
    if "default" in s:
        out += put(5, put_str(2, json.dumps(s["default"])))
    for name in s.get("required", []):
        out += put_str(19, name)
    for value in s.get("enum", []):
        out += put(20, put_str(2, json.dumps(value)))
    if "additionalProperties" in s:
        out += put(21, put(1, pb_schema(s["additionalProperties"])))
    if "type" in s:
        out += put(22, put_str(1, s["type"]))
    if "items" in s:
        out += put(23, put(1, pb_schema(s["items"])))
    if "properties" in s:
        out += put(25, b"".join(put(1, put_str(1, k) + put(2, pb_schema(v)))
                                for k, v in sorted(s["properties"].items())))
    return out + extension(31, s, s)


def pb_non_body(q):
    body = put_bool(1, q.get("required")) + put_str(2, q["in"]) + put_str(3, q["description"]) + put_str(4, q["name"])
    if q["in"] == "query":
        # QueryParameterSubSchema: type = 6, unique_items = 18
        return put(3, body + put_str(6, q["type"]) + varint(18 << 3) + b"\x01")
    # PathParameterSubSchema: type = 5, unique_items = 17
    return put(4, body + put_str(5, q["type"]) + varint(17 << 3) + b"\x01")


def pb_parameter(q):
    """ParametersItem {parameter = 1: Parameter {body = 1, non_body = 2}}"""
    if q["in"] == "body":
        body = put_str(2, q["name"]) + put_str(3, q["in"]) + put_bool(4, q.get("required")) + \
            put(5, pb_schema(q["schema"]))
        return put(1, put(1, body))
    return put(1, put(2, pb_non_body(q)))


def pb_operation(op):
    out = b"".join(put_str(1, t) for t in op["tags"]) + put_str(3, op["description"]) + \
        put_str(5, op["operationId"])
    out += b"".join(put_str(6, m) for m in op.get("produces", [])) + \
        b"".join(put_str(7, m) for m in op.get("consumes", [])) + \
        b"".join(put(8, pb_parameter(q)) for q in op.get("parameters", []))
    responses = b""
    for code, answer in sorted(op["responses"].items()):
        body = put_str(1, answer["description"])
        if "schema" in answer:
            body += put(2, put(1, pb_schema(answer["schema"])))
        responses += put(1, put_str(1, code) + put(2, put(1, body)))
    out += put(9, responses) + b"".join(put_str(10, s) for s in op.get("schemes", []))
    return out + extension(13, op, op)


def pb_document(d):
    methods = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
    out = put_str(1, d["swagger"]) + put(2, put_str(1, INFO["title"]) + put_str(2, INFO["version"]))
    paths = b""
    for path, item in sorted(d["paths"].items()):
        body = b"".join(put(methods[m], pb_operation(op)) for m, op in item.items() if m in methods)
        body += b"".join(put(9, pb_parameter(q)) for q in item.get("parameters", []))
        paths += put(2, put_str(1, path) + put(2, body))
    definitions = b"".join(put(1, put_str(1, name) + put(2, pb_schema(s)))
                           for name, s in sorted(d["definitions"].items()))
    return out + put(8, paths) + put(9, definitions)


def all_documents(files, resources):
    """[(path under /openapi/v3, or "v2" or "v2.pb", bytes)]"""
    v3, v2 = Schemas(files, resources, True), Schemas(files, resources, False)
    meta = META.replace("io.k8s.", "k8s.io.", 1)
    out = []

    def add(name, document):
        out.append((name, json.dumps(document, separators=(",", ":")).encode()))

    def list_document(path, tag, operation, text, message, extra=()):
        add(path, {"openapi": "3.0.0", "info": INFO,
                   "paths": simple_get("/" + path + "/", tag, operation, text, v3.ref(meta + message)),
                   "components": {"schemas": v3.closure([meta + message]), "securitySchemes": SECURITY}})

    v2_paths = {}
    groups = {}
    for r in resources:
        groups.setdefault(r.group, {}).setdefault(r.version, []).append(r)
    list_document("api", "core", "getCoreAPIVersions", "lists the versions of the core API", "APIVersions")
    list_document("apis", "apis", "getAPIVersions", "lists the API groups", "APIGroupList")
    for group, versions in groups.items():
        words = (group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
        tag = words[0] + "".join(w.capitalize() for w in words[1:])
        if group:
            list_document("apis/" + group, tag, f"get{tag[0].upper() + tag[1:]}APIGroup",
                          "describes the group", "APIGroup")
        for version, members in versions.items():
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            own = simple_get("/" + path + "/", f"{tag}_{version}",
                             f"get{tag[0].upper() + tag[1:]}{version.capitalize()}APIResources",
                             "lists the resources", v3.ref(meta + "APIResourceList"))
            add(path, document_v3(v3, members, own))
            v2_paths.update(Paths(v2, members).build())
    for path, operation in ((".well-known/openid-configuration", "getServiceAccountIssuerOpenIDConfiguration"),
                            ("openid/v1/jwks", "getServiceAccountIssuerOpenIDKeyset"), ("version", "getCodeVersion")):
        add(path, {"openapi": "3.0.0", "info": INFO,
                   "paths": simple_get("/" + path, path.split("/")[0].lstrip("."), operation, "answers in JSON",
                                       {"type": "string"} if "version" not in path else {"type": "object"}),
                   "components": {"securitySchemes": SECURITY}})
    every = [full for r in resources for full in Paths(v2, [r]).kinds()]
    swagger = {"swagger": "2.0", "info": INFO, "paths": dict(sorted(v2_paths.items())),
               "definitions": v2.closure(every), "securityDefinitions": SECURITY,
               "security": [{"BearerToken": []}]}
    add("v2", swagger)
    out.append(("v2.pb", pb_document(swagger)))
    return out


def main():
    _, _, descriptor_set, resources_tsv, blob_path, table_path = sys.argv
    files = tables.read_files(descriptor_set)
    described(files, comments(descriptor_set))
    resources = [Resource(row) for row in rows(resources_tsv)]
    owners = {(r.group, r.version, r.resource): r.kind for r in resources if not r.subresource}
    for r in resources:
        r.owner_kind = owners.get((r.group, r.version, r.resource), r.kind)
    blob, lines = b"", []
    for name, raw in sorted(all_documents(files, resources)):
        packed = gzip.compress(raw, 9, mtime=0)
        digest = hashlib.sha512(raw).hexdigest().upper()
        lines.append(f'\t{{"{name}", "{digest}", {len(blob)}, {len(packed)}, {len(raw)}}},')
        blob += packed
    with open(blob_path, "wb") as f:
        f.write(blob)
    with open(table_path, "w", encoding="utf-8") as f:
        f.write('/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by gen_openapi.py. */\n'
                '#include "apiserver/openapi/openapi.h"\n\n'
                '__asm__(".section .rodata\\n.balign 16\\n.global openapi_blob\\nopenapi_blob:\\n"\n'
                f'\t".incbin \\"{os.path.abspath(blob_path)}\\"\\n.byte 0\\n.previous\\n");\n\n'
                'const struct openapi_document openapi_documents[] = {\n' + "\n".join(lines) + "\n};\n\n"
                f'const size_t openapi_n_documents = {len(lines)};\n')


if __name__ == "__main__":
    main()
