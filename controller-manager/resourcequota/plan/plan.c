/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/resourcequota/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/quota_usage.h"
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

typedef CoreV1__ResourceQuotaStatus__UsedEntry used_entry;
typedef CoreV1__ResourceQuotaStatus__HardEntry hard_entry;

size_t quota_resources(const CoreV1__ResourceQuota *q, struct arena *a,
                       const struct resource_info ***ret)
{
	const struct resource_info **list =
	    arena_array(a, const struct resource_info *, q->spec->n_hard);
	size_t n = 0;
	for (size_t i = 0; i < q->spec->n_hard; i++) {
		const struct resource_info *r = quota_resource(q->spec->hard[i]->key);
		size_t at = 0;
		while (at < n && list[at] != r)
			at++;
		if (r && at == n)
			list[n++] = r;
	}
	*ret = list;
	return n;
}

static used_entry *used_of(const char *name, const struct quantity *amount, struct arena *a)
{
	char text[QUANTITY_BYTES];
	used_entry *e = arena_new(a, used_entry);
	*e = (used_entry)CORE_V1__RESOURCE_QUOTA_STATUS__USED_ENTRY__INIT;
	quantity_format_text(amount, text);
	e->key = arena_strdup(a, name);
	e->value = (Quantity__Quantity *)pb_new(&quantity__quantity_schema, a);
	e->value->string = arena_strdup(a, text);
	return e;
}

/* Adds what an object uses to the amounts that the quota names. */
static void add(const CoreV1__ResourceQuota *q, const struct quota_object *o,
                struct quantity *amounts, struct arena *a)
{
	struct resource_sum usage;
	if (!quota_matches(q, o->res, o->msg))
		return;
	quota_usage(o->res, o->msg, a, &usage);
	for (size_t i = 0; i < q->spec->n_hard; i++) {
		const struct quantity *more = resource_sum_find(&usage, q->spec->hard[i]->key);
		if (more)
			quantity_add(&amounts[i], more);
	}
}

CoreV1__ResourceQuotaStatus *quota_plan(const CoreV1__ResourceQuota *q,
                                        const struct quota_object *objects, size_t n,
                                        struct arena *a)
{
	size_t n_hard = q->spec->n_hard;
	CoreV1__ResourceQuotaStatus *s =
	    (CoreV1__ResourceQuotaStatus *)pb_new(&core_v1__resource_quota_status_schema, a);
	struct quantity *amounts = arena_array(a, struct quantity, n_hard);
	for (size_t i = 0; i < n_hard; i++)
		amounts[i] = quantity_from_int(0, QUANTITY_DECIMAL_SI);
	for (size_t i = 0; i < n; i++)
		add(q, &objects[i], amounts, a);
	s->hard = arena_array(a, hard_entry *, n_hard);
	s->used = arena_array(a, used_entry *, n_hard);
	for (size_t i = 0; i < n_hard; i++) {
		hard_entry *h = s->hard[s->n_hard++] = arena_new(a, hard_entry);
		*h = (hard_entry)CORE_V1__RESOURCE_QUOTA_STATUS__HARD_ENTRY__INIT;
		h->key = q->spec->hard[i]->key;
		h->value = q->spec->hard[i]->value;
		s->used[s->n_used++] = used_of(h->key, &amounts[i], a);
	}
	return msg_equal(&core_v1__resource_quota_status_schema, &s->base, &q->status->base) ? NULL
	                                                                                     : s;
}
