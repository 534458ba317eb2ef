/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/service_state.h"
#include "apiserver/auth/follow.h"
#include "apiserver/endpoints/pipeline.h"
#include "proto/codec.h"
#include "proto/core_v1.pb-c.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"
#include <stdio.h>

struct service_state {
	struct follow follow;
	struct service_alloc *alloc;
	const struct schema_message *schema;
};

int service_alloc_from_flags(const char *ranges, const char *ports, struct service_alloc **ret,
                             struct err *err)
{
	struct service_alloc_options o = {0};
	unsigned first, last;
	char end;

	for (const char *at = ranges; *at;) {
		size_t n = strcspn(at, ",");
		char text[64];
		snprintf(text, sizeof(text), "%.*s", (int)n, at);
		if (o.n_ranges == SERVICE_RANGES_MAX)
			return err_set(err, ERR_BAD_REQUEST,
			               "--service-cluster-ip-range must not contain more than two "
			               "entries");
		if (n >= sizeof(text) || !ip_prefix_parse(text, &o.ranges[o.n_ranges++]))
			return err_set(err, ERR_BAD_REQUEST,
			               "--service-cluster-ip-range: %s is not a CIDR", text);
		at += n + (at[n] == ',');
	}
	if (sscanf(ports, "%u-%u%c", &first, &last, &end) != 2 || first < 1 || last > 65535 ||
	    last < first)
		return err_set(err, ERR_BAD_REQUEST,
		               "--service-node-port-range: %s is not a range of ports", ports);
	o.first_port = (uint16_t)first;
	o.last_port = (uint16_t)last;
	*ret = service_alloc_new(&o);
	return 0;
}

static CoreV1__Service *decode(const struct service_state *s, const struct cache_object *o,
                               struct arena *a)
{
	struct unknown u;
	ProtobufCMessage *msg;

	if (unknown_open(blob_view(o->blob), a, &u, NULL) < 0 ||
	    pb_decode(s->schema, u.raw, a, &msg, NULL) < 0)
		return NULL;
	return (CoreV1__Service *)msg;
}

/* What is told anew is noted again, which changes nothing. */
static void on_clear(void *arg)
{
}

static void on_put(void *arg, const struct cache_object *o)
{
	struct service_state *s = arg;
	_cleanup_arena_ struct arena a;

	arena_init(&a);
	const CoreV1__Service *service = decode(s, o, &a);
	if (service)
		service_alloc_note(s->alloc, service);
}

/* Our own deletes have given everything back already; should another Service have taken it in the
 * meantime, its event follows and takes it again. */
static void on_del(void *arg, const struct cache_object *o)
{
	struct service_state *s = arg;
	_cleanup_arena_ struct arena a;

	arena_init(&a);
	const CoreV1__Service *service = decode(s, o, &a);
	if (service)
		service_alloc_drop(s->alloc, service, NULL);
}

struct service_state *service_state_new(struct service_alloc *alloc, struct pipeline *p,
                                        struct loop *state_loop)
{
	const struct resource_info *info = resource_find("", "v1", "services", "");
	struct service_state *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->alloc = alloc;
	s->schema = info->storage_schema;
	s->follow = (struct follow){.r = pipeline_cache(p, info),
	                            .clear = on_clear,
	                            .put = on_put,
	                            .del = on_del,
	                            .arg = s};
	follow_start(&s->follow, state_loop);
	return s;
}

void service_state_free(struct service_state *s)
{
	if (!s)
		return;
	follow_stop(&s->follow);
	free(s);
}
