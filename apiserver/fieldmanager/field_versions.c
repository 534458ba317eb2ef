/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/field_versions.h"

#include "proto/json_decode.h"
#include "proto/resource_table.h"

static const ProtobufCMessage *message_of(const struct field_versions *v, const struct jvalue *tree)
{
	ProtobufCMessage *msg;

	return json_decode_tree(v->res->schema, tree, v->a, NULL, &msg, NULL, NULL) < 0 ? NULL
	                                                                                : msg;
}

static const struct schema_message *schema_at(const struct field_versions *v, const char *version)
{
	const char *slash = strchr(version, '/');
	const char *group = slash ? arena_strndup(v->a, version, (size_t)(slash - version)) : "";

	return schema_by_gvk(group, slash ? slash + 1 : version, v->res->kind);
}

static bool convert(struct field_versions *v, const struct schema_message *to,
                    struct field_diff *ret)
{
	const struct schema_message *from = v->res->schema;
	const ProtobufCMessage *old, *now;

	if (!v->old)
		v->old = message_of(v, v->old_tree);
	if (!v->now)
		v->now = message_of(v, v->now_tree);
	if (!v->old || !v->now)
		return false;
	old = v->req->convert(from, to, v->old, v->a);
	now = v->req->convert(from, to, v->now, v->a);
	if (!old || !now)
		return false;
	*ret = field_diff_of(value_of_message(to, old, v->a), value_of_message(to, now, v->a),
	                     field_type_root(to), v->skip, v->a);
	return true;
}

const struct field_diff *field_versions_diff(struct field_versions *v, const char *version)
{
	const struct schema_message *to;
	struct field_version *ret;

	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->at[i].version, version) == 0)
			return &v->at[i].diff;
	to = v->n < FIELD_VERSIONS_MAX && v->req->convert ? schema_at(v, version) : NULL;
	ret = &v->at[v->n];
	if (!to || !convert(v, to, &ret->diff))
		return NULL;
	ret->version = version;
	v->n++;
	return &ret->diff;
}
