/* SPDX-License-Identifier: Apache-2.0 */
/* coordination.k8s.io: Leases. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoordinationV1__LeaseSpec *s = OBJECT_MSG(obj, CoordinationV1__Lease)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->has_lease_duration_seconds && s->lease_duration_seconds <= 0)
		field_invalid_int(errs, FIELD(p, "leaseDurationSeconds"), s->lease_duration_seconds,
		                  "must be greater than 0");
	if (s->has_lease_transitions && s->lease_transitions < 0)
		field_invalid_int(errs, FIELD(p, "leaseTransitions"), s->lease_transitions,
		                  "must be greater than or equal to 0");
	if (s->strategy)
		check_name(errs, FIELD(p, "strategy"), s->strategy, names_qualified);
	if (s->preferred_holder && *s->preferred_holder && !(s->strategy && *s->strategy))
		field_forbidden(errs, FIELD(p, "preferredHolder"),
		                "may only be specified when `strategy` is defined");
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	row_name(r, obj);
	row_str(r, OBJECT_MSG(obj, CoordinationV1__Lease)->spec->holder_identity);
	row_age(ctx, r, obj);
}

const struct strategy lease_strategy = {
    .kind = "Lease",
    .validate = validate,
    .allow_create_on_update = true,
    .table_row = row,
};
