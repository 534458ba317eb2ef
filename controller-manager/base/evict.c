/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/evict.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/codec/rfc3339.h"

struct evicting {
	struct client *client;
	struct work *work;
	char *ns, *name, *uid;
	int64_t grace_s;
};

static struct client_target target_of(const struct evicting *x)
{
	return (struct client_target){.resource = {"", "v1", "pods"}, .ns = x->ns, .name = x->name};
}

static void evicting_free(struct evicting *x)
{
	free(x->ns);
	free(x->name);
	free(x->uid);
	free(x);
}

static void on_marked(const struct client_result *r, void *arg)
{
	struct evicting *x = arg;
	struct client_target t = target_of(x);
	struct client_delete_options o = {.grace_period_seconds = x->grace_s, .uid = x->uid};
	if (r->code == ERR_OK) {
		client_delete(x->client, &t, &o, work_done, x->work);
	} else {
		work_answer(x->work, r);
		work_end(x->work);
	}
	evicting_free(x);
}

void evict_pod(struct client *c, struct work *w, const struct informer_object *pod,
               const struct eviction *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char now[RFC3339_BYTES];
	struct evicting *x = calloc(1, sizeof(*x));
	if (!x || !(x->ns = strdup(pod->ns)) || !(x->name = strdup(pod->name)) ||
	    !(x->uid = strdup(pod->uid)))
		abort();
	x->client = c;
	x->work = w;
	x->grace_s = e->grace_s;
	rfc3339_format(clock_real_ns() / 1000000000, now);
	buf_printf(&b,
	           "{\"metadata\":{\"uid\":\"%s\"},\"status\":{%s\"conditions\":[{\"type\":"
	           "\"DisruptionTarget\",\"status\":\"True\",\"reason\":\"%s\",\"message\":\"%s\","
	           "\"lastTransitionTime\":\"%s\"}]}}",
	           x->uid, e->fail ? "\"phase\":\"Failed\"," : "", e->reason, e->message, now);
	struct client_target t = target_of(x);
	t.subresource = "status";
	work_hold(w);
	client_patch(c, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, on_marked, x);
}
