/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/apiserver/load.h"

#include <stdio.h>
#include <unistd.h>
#include "proto/codec.h"
#include "proto/pb_encode.h"

enum { DATA_BYTES = 700 };

static const struct load_resource RESOURCES[] = {
    {"", "v1", "configmaps", "ConfigMap", "/api/v1/namespaces/default/configmaps"},
    {"", "v1", "pods", "Pod", "/api/v1/namespaces/default/pods"},
    {"apps", "v1", "deployments", "Deployment", "/apis/apps/v1/namespaces/default/deployments"},
};

const struct load_resource *load_resource_find(const char *plural)
{
	for (size_t i = 0; i < ARRAY_LEN(RESOURCES); i++)
		if (strcmp(RESOURCES[i].plural, plural) == 0)
			return &RESOURCES[i];
	return NULL;
}

/* Another in every run, so that no write finds what it is about to write. */
static unsigned long in_this_run(unsigned long turn)
{
	return (unsigned long)getpid() * 1000000 + turn;
}

static void add_data(struct buf *out)
{
	buf_reserve(out, DATA_BYTES);
	memset(out->data + out->len, 'x', DATA_BYTES);
	out->len += DATA_BYTES;
}

static void add_pod_spec(const struct load_options *o, unsigned long n, struct buf *out)
{
	buf_str(out, "{");
	if (o->nodes)
		buf_printf(out, "\"nodeName\":\"node-%lu\",", n % o->nodes);
	buf_str(
	    out,
	    "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"main\","
	    "\"image\":\"registry.example/shop/cart:1.2.3\",\"args\":[\"--listen=:8080\"],"
	    "\"ports\":[{\"name\":\"http\",\"containerPort\":8080}],"
	    "\"env\":[{\"name\":\"MODE\",\"value\":\"live\"},{\"name\":\"LEVEL\",\"value\":\"2\"}],"
	    "\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"},"
	    "\"limits\":{\"memory\":\"128Mi\"}},\"readinessProbe\":{\"httpGet\":{\"path\":"
	    "\"/ready\",\"port\":8080}}}]}");
}

static void add_content(const struct load_options *o, unsigned long n, unsigned long turn,
                        struct buf *out)
{
	if (strcmp(o->resource->plural, "configmaps") == 0) {
		buf_printf(out, "\"data\":{\"turn\":\"%lu\",\"key\":\"", turn);
		add_data(out);
		buf_str(out, "\"}");
	} else if (strcmp(o->resource->plural, "pods") == 0) {
		buf_str(out, "\"spec\":");
		add_pod_spec(o, n, out);
	} else {
		buf_printf(out,
		           "\"spec\":{\"replicas\":%lu,\"selector\":{\"matchLabels\":{\"app\":"
		           "\"cart\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"cart\"}},"
		           "\"spec\":",
		           turn % 100);
		add_pod_spec(o, n, out);
		buf_str(out, "}}");
	}
}

void load_object(const struct load_options *o, unsigned long n, unsigned long turn, struct buf *out)
{
	const struct load_resource *r = o->resource;

	turn = in_this_run(turn);
	buf_printf(out,
	           "{\"apiVersion\":\"%s%s%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s-%lu\","
	           "\"namespace\":\"default\",\"labels\":{\"app\":\"cart\"},"
	           "\"annotations\":{\"turn\":\"%lu\"}},",
	           r->group, *r->group ? "/" : "", r->version, r->kind, o->prefix, n, turn);
	add_content(o, n, turn, out);
	buf_byte(out, '}');
}

void load_object_pb(const struct load_options *o, unsigned long n, unsigned long turn,
                    struct buf *out)
{
	const struct load_resource *r = o->resource;
	const struct schema_message *schema = schema_by_gvk(r->group, r->version, r->kind);
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_arena_ struct arena a;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	arena_init(&a);
	load_object(o, n, turn, &json);
	if (object_decode(OBJECT_JSON, schema, buf_view(&json), &a, NULL, &msg, NULL, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	pb_encode(schema, msg, out);
}

void load_patch(const struct load_options *o, unsigned long turn, struct buf *out)
{
	buf_printf(out, "{\"metadata\":{\"annotations\":{\"turn\":\"%lu\"}}}", in_this_run(turn));
}

void load_selector(const struct load_options *o, unsigned long i, struct buf *out)
{
	if (strcmp(o->by, "name") == 0)
		buf_printf(out, "metadata.name=%s-%lu", o->prefix, i);
	else if (strcmp(o->by, "node") == 0)
		buf_printf(out, "spec.nodeName=node-%lu", i);
	else
		buf_str(out, "");
}
