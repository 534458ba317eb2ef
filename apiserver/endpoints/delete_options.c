/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/call.h"

#include "apiserver/request/request_info.h"
#include "proto/pb_decode.h"

static enum object_format format_of(enum media_type t)
{
	return t == MEDIA_PROTOBUF ? OBJECT_PROTOBUF : t == MEDIA_YAML ? OBJECT_YAML : OBJECT_JSON;
}

static void options_of_query(const struct request_options *o, MetaV1__DeleteOptions *ret)
{
	ret->has_grace_period_seconds = o->grace_period_seconds >= 0;
	ret->grace_period_seconds = o->grace_period_seconds;
	if (o->propagation_policy[0])
		ret->propagation_policy = (char *)o->propagation_policy;
	if (o->orphan_dependents != TRISTATE_UNSET) {
		ret->has_orphan_dependents = 1;
		ret->orphan_dependents = o->orphan_dependents == TRISTATE_TRUE;
	}
}

/* The options of the body stand in the request as if the query had given them, and are checked by
 * the same rules. */
static const struct status *check(struct call *c, const MetaV1__DeleteOptions *o)
{
	struct request_options *q = &c->req->options;

	q->propagation_policy = o->propagation_policy ? o->propagation_policy : "";
	q->orphan_dependents = o->has_orphan_dependents
	                           ? o->orphan_dependents ? TRISTATE_TRUE : TRISTATE_FALSE
	                           : TRISTATE_UNSET;
	q->dry_run = o->n_dry_run > 0;
	c->dry_run = c->ctx.dry_run = q->dry_run;
	return request_options_check(c->req, "DeleteOptions", (const char *const *)o->dry_run,
	                             o->n_dry_run, "");
}

const struct status *call_delete_options(struct call *c, MetaV1__DeleteOptions **ret)
{
	const struct schema_message *schema = schema_by_gvk("", "v1", "DeleteOptions");
	enum object_format format = format_of(c->req->body_type);
	struct err err = ERR_INIT;
	struct type_meta meta;
	ProtobufCMessage *msg;

	if (!c->req->body.len) {
		*ret = (MetaV1__DeleteOptions *)pb_new(schema, c->a);
		options_of_query(&c->req->options, *ret);
		return NULL;
	}
	if (object_type_meta(format, c->req->body, c->a, &meta, &err) < 0)
		return status_bad_request(c->a, "%s", err.text);
	if (meta.kind[0] && strcmp(meta.kind, "DeleteOptions") != 0)
		return status_bad_request(c->a,
		                          "decoded object cannot be converted to DeleteOptions");
	if (object_decode(format, schema, c->req->body, c->a, NULL, &msg, NULL, &err) < 0)
		return status_bad_request(c->a, "%s", err.text);
	*ret = (MetaV1__DeleteOptions *)msg;
	return check(c, *ret);
}
