/* SPDX-License-Identifier: Apache-2.0 */
/* Where the kubelet of a node and the containers of a pod are, as the caches know it. */
#include "apiserver/endpoints/stored.h"
#include "apiserver/proxy/proxy_impl.h"
#include "apiserver/storage/cacher.h"

enum { FRESH_TIMEOUT_MS = 10000, KUBELET_PORT = 10250 };

bool proxy_is_gone(const struct proxy_call *c)
{
	bool gone = c->sink->closed;

	if (gone)
		response_abort(c->sink);
	return gone;
}

struct fresh_wait {
	struct proxy_call *c;
	void (*next)(void *arg);
	void *arg;
};

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct fresh_wait *w = arg;

	if (proxy_is_gone(w->c))
		return;
	if (code)
		proxy_refuse(w->c, status_of_err(w->c->a, code, err));
	else
		w->next(w->arg);
}

void proxy_fresh(struct proxy_call *c, void (*next)(void *arg), void *arg)
{
	struct fresh_wait *w = arena_new(c->a, struct fresh_wait);

	*w = (struct fresh_wait){c, next, arg};
	cacher_fresh(pipeline_cacher(c->pipeline), c->req->loop, 0, FRESH_TIMEOUT_MS, on_fresh, w);
}

ProtobufCMessage *proxy_find(const struct proxy_call *c, const char *resource, const char *ns,
                             const char *name)
{
	const struct resource_info *info = resource_find("", "v1", resource, "");
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(c->pipeline, info));
	const char *key = *ns ? arena_printf(c->a, "%s/%s", ns, name) : name;
	struct cache_object *o = cache_tree_get(&snap.tree, slice_str(key));
	struct object obj;
	struct err err;
	ProtobufCMessage *msg = NULL;

	if (o && !stored_decode(info, blob_view(o->blob), o->mod_revision, c->a, &obj, &err))
		msg = obj.msg;
	cacher_snapshot_deinit(&snap);
	return msg;
}

static const char *address_of(const struct proxy *p, const CoreV1__Node *node)
{
	static const char *const usual[] = {"Hostname", "InternalDNS", "InternalIP", "ExternalDNS",
	                                    "ExternalIP"};
	const char *const *types = p->o.n_address_types ? p->o.address_types : usual;
	size_t n = p->o.n_address_types ? p->o.n_address_types : ARRAY_LEN(usual);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < node->status->n_addresses; k++)
			if (!strcmp(node->status->addresses[k]->type, types[i]))
				return node->status->addresses[k]->address;
	return NULL;
}

const char *proxy_kubelet(const struct proxy_call *c, const char *name,
                          const struct status **ret_refusal)
{
	const CoreV1__Node *node = (void *)proxy_find(c, "nodes", "", name);

	if (!node) {
		*ret_refusal = status_not_found(c->a, "", "nodes", name);
		return NULL;
	}
	const char *host = address_of(c->proxy, node);
	if (!host) {
		*ret_refusal =
		    status_new(c->a, 500, "", "no preferred addresses found; known addresses: []");
		return NULL;
	}
	const CoreV1__NodeDaemonEndpoints *e = node->status->daemon_endpoints;
	int port = e && e->kubelet_endpoint ? e->kubelet_endpoint->port : 0;
	bool v6 = strchr(host, ':') != NULL;
	return arena_printf(c->a, "https://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "",
	                    port ? port : KUBELET_PORT);
}

/* --- containers ------------------------------------------------------------------------------ */

static bool has_container(const CoreV1__PodSpec *s, const char *name)
{
	for (size_t i = 0; i < s->n_containers; i++)
		if (!strcmp(s->containers[i]->name, name))
			return true;
	for (size_t i = 0; i < s->n_init_containers; i++)
		if (!strcmp(s->init_containers[i]->name, name))
			return true;
	for (size_t i = 0; i < s->n_ephemeral_containers; i++)
		if (!strcmp(s->ephemeral_containers[i]->ephemeral_container_common->name, name))
			return true;
	return false;
}

/* "a b c" */
#define JOIN(a, list, n, name_of)                                                                  \
	__extension__({                                                                            \
		const char *text_ = "";                                                            \
		for (size_t i_ = 0; i_ < (n); i_++)                                                \
			text_ =                                                                    \
			    arena_printf((a), "%s%s%s", text_, i_ ? " " : "", (list)[i_] name_of); \
		text_;                                                                             \
	})

static const char *choice(const CoreV1__Pod *pod, struct arena *a)
{
	const CoreV1__PodSpec *s = pod->spec;
	const char *text =
	    arena_printf(a, "a container name must be specified for pod %s, choose one of: [%s]",
	                 pod->metadata->name, JOIN(a, s->containers, s->n_containers, ->name));

	if (s->n_init_containers)
		text = arena_printf(a, "%s or one of the init containers: [%s]", text,
		                    JOIN(a, s->init_containers, s->n_init_containers, ->name));
	if (s->n_ephemeral_containers)
		text = arena_printf(
		    a, "%s or one of the ephemeral containers: [%s]", text,
		    JOIN(a, s->ephemeral_containers,
		         s->n_ephemeral_containers, ->ephemeral_container_common->name));
	return text;
}

const char *proxy_container(const CoreV1__Pod *pod, const char *name, struct arena *a,
                            const struct status **ret_refusal)
{
	const CoreV1__PodSpec *s = pod->spec;

	if (*name) {
		if (has_container(s, name))
			return name;
		*ret_refusal = status_bad_request(a, "container %s is not valid for pod %s", name,
		                                  pod->metadata->name);
		return NULL;
	}
	if (s->n_containers == 1)
		return s->containers[0]->name;
	*ret_refusal = status_bad_request(a, "%s", choice(pod, a));
	return NULL;
}
