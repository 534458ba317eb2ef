/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "proto/core_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/schema.h"

static void test_find(void **state)
{
	const struct schema_message *pod = schema_find("k8s.io.api.core.v1.Pod");

	assert_non_null(pod);
	assert_ptr_equal(pod->desc, &core_v1__pod__descriptor);
	assert_ptr_equal(schema_of(&core_v1__pod__descriptor), pod);
	assert_ptr_equal(schema_by_gvk("", "v1", "Pod"), pod);
	assert_null(schema_find("k8s.io.api.core.v1.Pad"));
	assert_null(schema_by_gvk("", "v2", "Pod"));
	assert_string_equal(schema_by_gvk("apps", "v1", "DeleteOptions")->group, "meta.k8s.io");
	assert_string_equal(schema_by_gvk("apps", "v1", "Status")->group, "");
}

/* Every message is found by its name and by its descriptor, and every field by its number. */
static void test_all(void **state)
{
	for (size_t i = 0; i < schema_n_messages; i++) {
		const struct schema_message *m = schema_messages[i];
		assert_string_equal(m->full_name, m->desc->name);
		assert_ptr_equal(schema_find(m->full_name), m);
		assert_ptr_equal(schema_of(m->desc), m);
		assert_int_equal(m->n_fields, m->desc->n_fields);
		for (size_t k = 0; k < m->n_fields; k++) {
			const struct schema_field *f = &m->fields[k];
			const ProtobufCFieldDescriptor *pbc = schema_field_pbc(f);
			assert_ptr_equal(schema_field_by_number(m, f->number), f);
			assert_int_equal(f->number, pbc->id);
			assert_string_equal(f->name, pbc->name);
			assert_int_equal(f->offset, pbc->offset);
			assert_int_equal(f->quantifier_offset, pbc->quantifier_offset);
			assert_int_equal(f->type, pbc->type);
			assert_int_equal(!!(f->flags & SCHEMA_REPEATED),
			                 pbc->label == PROTOBUF_C_LABEL_REPEATED);
			if (f->type == PROTOBUF_C_TYPE_MESSAGE)
				assert_ptr_equal(f->message->desc, pbc->descriptor);
			else
				assert_null(f->message);
		}
		for (size_t k = 0; k < m->n_json; k++) {
			const struct schema_json *j = &m->json[k];
			assert_ptr_equal(schema_json_find(m, j->name, j->name_len), j);
			assert_int_equal(strlen(j->name), j->name_len);
		}
		assert_null(schema_field_by_number(m, 0));
		assert_null(schema_field_by_number(m, 9999));
		assert_null(schema_json_find(m, "nobody", 6));
		assert_null(schema_json_find(m, "", 0));
	}
}

static const struct schema_json *json(const char *message, const char *name)
{
	const struct schema_message *m = schema_find(message);

	assert_non_null(m);
	return schema_json_find(m, name, strlen(name));
}

static void test_inline(void **state)
{
	const struct schema_json *j = json("k8s.io.api.core.v1.Volume", "hostPath");

	assert_string_equal(j->field->name, "host_path");
	assert_string_equal(j->via->name, "volume_source");
	assert_null(j->via2);
	j = json("k8s.io.api.admissionregistration.v1.NamedRuleWithOperations", "apiGroups");
	assert_string_equal(j->via->message->name, "RuleWithOperations");
	assert_string_equal(j->via2->message->name, "Rule");
	assert_string_equal(j->field->name, "api_groups");
	/* The order of JSON: name before the inlined source. */
	assert_string_equal(schema_find("k8s.io.api.core.v1.Volume")->json[0].name, "name");
}

static void test_facts(void **state)
{
	const struct schema_field *f = json("k8s.io.api.core.v1.Container", "ports")->field;

	assert_int_equal(f->list_type, SCHEMA_LIST_MAP);
	assert_string_equal(f->extra->list_map_keys[0], "containerPort");
	assert_string_equal(f->extra->list_map_keys[1], "protocol");
	assert_null(f->extra->list_map_keys[2]);
	assert_string_equal(f->extra->patch_merge_key, "containerPort");
	assert_true(f->flags & SCHEMA_PATCH_MERGE);
	f = json("k8s.io.api.core.v1.ContainerPort", "protocol")->field;
	assert_string_equal(f->extra->default_json, "\"TCP\"");
	assert_string_equal(f->extra->enum_values[0], "SCTP");
	f = json("k8s.io.api.core.v1.ServiceSpec", "selector")->field;
	assert_true(f->flags & SCHEMA_MAP);
	assert_true(f->flags & SCHEMA_STRUCT_ATOMIC);
	assert_int_equal(f->message->special, SCHEMA_MAP_ENTRY);
	f = json("k8s.io.api.core.v1.PodSpec", "containers")->field;
	assert_true(f->flags & SCHEMA_REQUIRED);
	f = json("k8s.io.api.core.v1.PodSpec", "hostPID")->field;
	assert_string_equal(f->name, "host_pid");
	assert_false(f->flags & SCHEMA_POINTER);
	f = json("k8s.io.api.core.v1.PodSpec", "priority")->field;
	assert_true(f->flags & SCHEMA_POINTER);
	assert_true(f->flags & SCHEMA_OMITEMPTY);
	f = json("k8s.io.api.core.v1.TypedObjectReference", "namespace")->field;
	assert_true(f->flags & SCHEMA_GATED_OFF);
	assert_true(schema_find("k8s.io.api.core.v1.SecretKeySelector")->flags & SCHEMA_MAP_ATOMIC);
}

static void test_kinds(void **state)
{
	const struct schema_message *list = schema_by_gvk("apps", "v1", "DeploymentList");

	assert_true(list->flags & SCHEMA_LIST_KIND);
	assert_true(list->flags & SCHEMA_TYPE_META);
	assert_string_equal(list->items->message->name, "Deployment");
	assert_string_equal(list->metadata->message->name, "ListMeta");
	assert_string_equal(list->items->message->metadata->message->name, "ObjectMeta");
	assert_int_equal(schema_find("k8s.io.apimachinery.pkg.apis.meta.v1.Time")->special,
	                 SCHEMA_TIME);
	assert_int_equal(schema_find("k8s.io.api.core.v1.PodSpec")->flags, 0);
	/* Value strings are never NULL in C, pointer strings are until set. */
	CoreV1__PodSpec spec = CORE_V1__POD_SPEC__INIT;
	assert_string_equal(spec.node_name, "");
	assert_null(spec.runtime_class_name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),   cmocka_unit_test(test_all),
	    cmocka_unit_test(test_inline), cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
