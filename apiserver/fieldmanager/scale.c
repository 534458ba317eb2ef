/* SPDX-License-Identifier: Apache-2.0 */
/* Applying a Scale: an apply to the workload of the one field that a Scale stands for. */
#include "apiserver/fieldmanager/fieldmanager_impl.h"

#include "proto/resource_table.h"

static const char SCALE_VERSION[] = "autoscaling/v1";

static int check_scale(const struct jvalue *body, const struct schema_message *scale,
                       struct arena *a, struct err *err)
{
	const char *version = jvalue_get_str(body, "apiVersion", "");
	const char *kind = jvalue_get_str(body, "kind", "");
	_cleanup_buf_ struct buf faults = BUF_INIT;
	const struct jvalue *meta = jvalue_get(body, "metadata");

	if (strcmp(version, SCALE_VERSION) != 0 || strcmp(kind, scale->kind) != 0)
		return err_set(err, ERR_BAD_REQUEST, "invalid object type: %s%s, Kind=%s",
		               strchr(version, '/') ? "" : "/", version, kind);
	if (jvalue_get(meta, "managedFields") &&
	    !jvalue_is(jvalue_get(meta, "managedFields"), JVALUE_NULL))
		return err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
	if (field_check(body, field_type_root(scale), a, &faults) == 0)
		return 0;
	return err_set(err, ERR_UNKNOWN,
	               "failed to create typed patch object (%s/%s; %s, Kind=%s): %s",
	               jvalue_get_str(meta, "namespace", ""), jvalue_get_str(meta, "name", ""),
	               version, kind, (const char *)faults.data + 2);
}

/* What identifies the object, and the replicas. */
static struct jvalue *workload_body(const struct jvalue *body, const struct resource_info *res,
                                    struct arena *a)
{
	static const char *const kept[] = {"name", "namespace", "uid", "resourceVersion"};
	struct jvalue *ret = jvalue_object(a), *meta = jvalue_object(a);
	struct jvalue *replicas = jvalue_path(body, "spec.replicas");

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		struct jvalue *v = jvalue_get(jvalue_get(body, "metadata"), kept[i]);

		if (v)
			jvalue_set(a, meta, kept[i], v);
	}
	jvalue_set(a, ret, "apiVersion", jvalue_str(a, fieldmanager_version(res, a)));
	jvalue_set(a, ret, "kind", jvalue_str(a, res->kind));
	jvalue_set(a, ret, "metadata", meta);
	if (replicas) {
		struct jvalue *spec = jvalue_object(a);

		jvalue_set(a, spec, "replicas", replicas);
		jvalue_set(a, ret, "spec", spec);
	}
	return ret;
}

int fieldmanager_apply_scale(const struct fieldmanager_request *req, const struct jvalue *body,
                             const struct schema_message *scale, const struct object *old,
                             struct arena *a, struct object *ret,
                             struct fieldmanager_conflicts *ret_conflicts, struct err *err)
{
	struct fieldmanager_request shown = *req;
	int r = check_scale(body, scale, a, err);

	if (r < 0)
		return r;
	shown.shown_version = SCALE_VERSION;
	return fieldmanager_apply(&shown, workload_body(body, old->res, a), old->res, old, a, ret,
	                          ret_conflicts, err);
}
