/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_writer.h"
#include "kubelet/pod/pod.h"
#include "kubelet/server/server.h"
#include "proto/json_encode.h"
#include "proto/schema_messages.h"

static const char head[] =
    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[";

void server_pods(struct kubelet *k, struct http_exchange *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct type_meta none = {"", ""};
	bool first = true;
	buf_str(&b, head);
	MAP_FOREACH (&k->pods->by_uid, it) {
		struct pod *p = it->value;
		if (p->gone || !p->spec)
			continue;
		_cleanup_arena_ struct arena a = {0};
		CoreV1__Pod pod = *p->spec;
		pod.status = pod_status_now(p, &a);
		if (!first)
			buf_byte(&b, ',');
		first = false;
		json_encode(&core_v1__pod_schema, &pod.base, &none, &b);
	}
	buf_str(&b, "]}\n");
	http_reply(x, 200, "application/json", buf_view(&b));
}

/* A pod as the runtime knows it: names, identity, images. False when none of it runs. */
static bool write_running(const struct pod *p, bool first, struct buf *b)
{
	bool any = false;
	for (size_t i = 0; i < p->rt.n_containers; i++) {
		const struct runtime_container *c = &p->rt.containers[i];
		if (c->state != CONTAINER_RUNNING)
			continue;
		if (!any) {
			buf_str(b, first ? "" : ",");
			buf_str(b, "{\"metadata\":{\"name\":");
			json_write_cstr(b, p->name);
			buf_str(b, ",\"namespace\":");
			json_write_cstr(b, p->ns);
			buf_str(b, ",\"uid\":");
			json_write_cstr(b, p->uid);
			buf_str(b, "},\"spec\":{\"containers\":[");
		}
		buf_str(b, any ? "," : "");
		buf_str(b, "{\"name\":");
		json_write_cstr(b, c->name);
		buf_str(b, ",\"image\":");
		json_write_cstr(b, c->image);
		buf_str(b, ",\"resources\":{}}");
		any = true;
	}
	if (any)
		buf_str(b, "]},\"status\":{}}");
	return any;
}

void server_running_pods(struct kubelet *k, struct http_exchange *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool first = true;
	buf_str(&b, head);
	MAP_FOREACH (&k->pods->by_uid, it)
		first = !write_running(it->value, first, &b) && first;
	buf_str(&b, "]}\n");
	http_reply(x, 200, "application/json", buf_view(&b));
}
