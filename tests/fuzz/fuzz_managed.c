/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.managedFields: the first line is its JSON, as clients send it with an update or a store
 * may hold it; what is read is written the same. Each further line is a path ("spec.ports[0].name")
 * to look up in the object. */
#include <assert.h>
#include "apiserver/fieldmanager/fieldmanager.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"
#include "proto/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct object pod_of(const char *managed, struct arena *a)
{
	const struct resource_info *res = resource_find("", "v1", "pods", "");
	const char *text = arena_printf(
	    a,
	    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"},"
	    "\"managedFields\":"
	    "%s},\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80}]}]}}",
	    managed);
	ProtobufCMessage *msg;

	if (json_decode(res->schema, slice_str(text), a, NULL, &msg, NULL, NULL) < 0)
		return (struct object){0};
	return object_of(res, res->schema, msg);
}

static void check_written(const struct object *pod, struct arena *a)
{
	MetaV1__ObjectMeta *meta = pod->meta, again = *pod->meta;
	struct managed m, n;

	if (managed_read(meta->managed_fields, meta->n_managed_fields, true, a, &m, NULL) < 0)
		return;
	for (size_t i = 0; i < m.n; i++)
		managed_put_set(&m.at[i], managed_set(&m, &m.at[i]));
	managed_drop_empty(&m);
	managed_write(&m, &again);
	int r = managed_read(again.managed_fields, again.n_managed_fields, true, a, &n, NULL);
	assert(r == 0 && n.n == m.n);
	for (size_t i = 0; i < m.n; i++) {
		struct field_set x = managed_set(&n, &n.at[i]);
		struct managed_entry *same = managed_find(&m, &n.at[i]);
		struct field_set y = same ? managed_set(&m, same) : FIELD_SET_EMPTY;

		assert(same && (field_set_equal(&x, &y) || m.n > 1));
	}
}

/* An update with these entries, and an apply over them. */
static void check_used(const struct object *pod, struct arena *a)
{
	struct fieldmanager_request req = {
	    .manager = "m", .subresource = "", .now_s = 1, .force = true};
	struct fieldmanager_conflicts conflicts = {0};
	struct object made = object_copy(a, pod), old = pod_of("[]", a), ret;
	struct jvalue *body;

	fieldmanager_update(&req, &made, &old, a);
	int r = jvalue_parse(SLICE_LIT("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"
	                               "\"name\":\"p\",\"labels\":{\"a\":\"c\"}}}"),
	                     a, NULL, &body, NULL);
	assert(r == 0);
	ERR_IGNORE(
	    fieldmanager_apply(&req, body, pod->res, pod, a, &ret, &conflicts, NULL)); /* lives */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	char *text = arena_strndup(&a, data, size), *line = strchr(text, '\n');

	if (line)
		*line++ = 0;
	struct object pod = pod_of(text, &a);
	if (!pod.msg)
		return 0;
	check_written(&pod, &a);
	check_used(&pod, &a);
	struct type_meta none = {.api_version = "", .kind = ""};
	struct value root = value_of_message(pod.schema, pod.msg, &a);
	struct value tree = value_of_tree(json_encode_tree(pod.schema, pod.msg, &none, &a), &a);
	while (line && *line) {
		char *end = strchr(line, '\n');

		if (end)
			*end++ = 0;
		/* Typed or not, a path leads to the same. */
		assert(value_equal(value_path(root, line), value_path(tree, line)));
		line = end;
	}
	return 0;
}
