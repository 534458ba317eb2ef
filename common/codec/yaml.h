/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* YAML 1.1 to and from a document tree, by the rules of sigs.k8s.io/yaml: yes/no/on/off/y/n are
 * booleans, 0755 is octal, "<<" merges, keys become strings.
 *
 * Anchors are expanded with a limit on the number of nodes, so that a bomb fails early. */
#include "common/codec/jvalue.h"

enum { YAML_NODES_MAX = 1000000, YAML_DEPTH_MAX = 100 };

/* Parses the first document; an empty text gives null. Duplicate keys: the last wins and the text
 * goes to `report` as yaml.v2 words it; without a report they are an error. */
_must_use_ int yaml_parse(struct slice text, struct arena *a, struct json_report *report,
                          struct jvalue **ret, struct err *err);
/* All documents of a stream ("---"), empty ones left out, as one array. */
_must_use_ int yaml_parse_all(struct slice text, struct arena *a, struct jvalue **ret,
                              struct err *err);
/* Block style with sorted keys, as sigs.k8s.io/yaml marshals. */
void yaml_write(const struct jvalue *v, struct buf *out);
