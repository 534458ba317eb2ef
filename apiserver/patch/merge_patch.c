/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/patch/patch.h"

int patch_read_merge(struct slice body, struct arena *a, struct json_report *report,
                     struct jvalue **ret, struct err *err)
{
	static const char *const words[] = {
	    [JVALUE_BOOL] = "bool",     [JVALUE_INT] = "number",  [JVALUE_DOUBLE] = "number",
	    [JVALUE_STRING] = "string", [JVALUE_ARRAY] = "array",
	};
	struct jvalue *patch;
	int k = jvalue_parse(body, a, report, &patch, err);

	if (k < 0)
		return err_prefix(err, "error decoding patch"), k;
	if (patch->kind == JVALUE_NULL)
		patch = jvalue_object(a);
	if (patch->kind != JVALUE_OBJECT)
		return err_set(err, ERR_BAD_REQUEST,
		               "error decoding patch: json: cannot unmarshal %s into Go value of "
		               "type map[string]interface {}",
		               words[patch->kind]);
	*ret = patch;
	return 0;
}

static struct jvalue *merge(struct jvalue *target, const struct jvalue *patch, struct arena *a)
{
	if (patch->kind != JVALUE_OBJECT)
		return jvalue_copy(a, patch);
	/* A patch over something else than an object starts from an empty one, so that its nulls
	 * vanish. */
	if (!jvalue_is(target, JVALUE_OBJECT))
		target = jvalue_object(a);
	for (uint32_t i = 0; i < patch->n; i++) {
		const struct jmember *m = &patch->members[i];
		struct slice key = slice_of(m->key, m->key_len);

		if (m->value->kind == JVALUE_NULL)
			jvalue_deln(target, key);
		else
			jvalue_setn(a, target, key, merge(jvalue_getn(target, key), m->value, a));
	}
	return target;
}

int patch_apply_merge(struct jvalue *doc, const struct jvalue *patch, struct arena *a,
                      struct jvalue **ret, struct err *err)
{
	if (patch->kind != JVALUE_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "error decoding patch: not an object");
	*ret = merge(doc, patch, a);
	return 0;
}
