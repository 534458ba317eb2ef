/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/field_ref.h"

#include <stdio.h>
#include <string.h>

#include "common/codec/quantity.h"
#include "kubelet/node/node.h"

/* "metadata.labels['key']": the key, or an empty slice when `path` does not begin so. */
static struct slice subscript(const char *path, const char *prefix)
{
	size_t n = strlen(prefix), len = strlen(path);
	if (strncmp(path, prefix, n) || len < n + 4 || strncmp(path + n, "['", 2) ||
	    strcmp(path + len - 2, "']"))
		return SLICE_EMPTY;
	return slice_of(path + n + 2, len - n - 4);
}

static int by_key(const void *a, const void *b)
{
	struct cri_pair *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

/* A map as upstream writes it to a file: sorted lines of key="escaped value". Map entries of the
 * API have the layout of CRI's. */
static const char *map_text(void *entries, size_t n, struct arena *a)
{
	struct cri_pair **list = arena_memdup(a, n ? entries : "", n * sizeof(*list));
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (n)
		qsort(list, n, sizeof(*list), by_key);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s%s=\"", i ? "\n" : "", list[i]->key);
		for (const char *c = list[i]->value; *c; c++) {
			if (*c == '\n')
				buf_str(&b, "\\n");
			else if (*c == '\t')
				buf_str(&b, "\\t");
			else if (*c == '\r')
				buf_str(&b, "\\r");
			else if (*c == '"' || *c == '\\')
				buf_printf(&b, "\\%c", *c);
			else
				buf_byte(&b, (uint8_t)*c);
		}
		buf_byte(&b, '"');
	}
	return arena_strndup(a, b.data, b.len);
}

static const char *joined_ips(const struct pod *p, struct arena *a)
{
	if (p->spec->spec->host_network)
		return p->k->config->node_ip;
	const char *text = "";
	for (size_t i = 0; p->rt.n_sandboxes && i < p->rt.sandboxes[0].n_ips; i++)
		text = arena_printf(a, "%s%s%s", text, i ? "," : "", p->rt.sandboxes[0].ips[i]);
	return text;
}

const char *field_ref_value(const struct pod *p, const char *path, struct arena *a, struct err *err)
{
	const MetaV1__ObjectMeta *m = p->spec->metadata;
	const CoreV1__PodSpec *s = p->spec->spec;
	struct slice key = subscript(path, "metadata.labels");
	if (key.len) {
		const char *k = arena_strndup(a, key.data, key.len);
		return cri_pair_get(m->labels, m->n_labels, k);
	}
	key = subscript(path, "metadata.annotations");
	if (key.len) {
		const char *k = arena_strndup(a, key.data, key.len);
		return cri_pair_get(m->annotations, m->n_annotations, k);
	}
	if (!strcmp(path, "metadata.name"))
		return m->name;
	if (!strcmp(path, "metadata.namespace"))
		return m->namespace_;
	if (!strcmp(path, "metadata.uid"))
		return m->uid;
	if (!strcmp(path, "metadata.labels"))
		return map_text(m->labels, m->n_labels, a);
	if (!strcmp(path, "metadata.annotations"))
		return map_text(m->annotations, m->n_annotations, a);
	if (!strcmp(path, "spec.nodeName"))
		return s->node_name;
	if (!strcmp(path, "spec.serviceAccountName"))
		return s->service_account_name;
	if (!strcmp(path, "status.hostIP") || !strcmp(path, "status.hostIPs"))
		return p->k->config->node_ip;
	if (!strcmp(path, "status.podIP")) {
		const char *ip = pod_address(p);
		return ip ? ip : "";
	}
	if (!strcmp(path, "status.podIPs"))
		return joined_ips(p, a);
	err_set(err, ERR_INVALID, "unsupported fieldPath: %s", path);
	return NULL;
}

const char *container_limit(const CoreV1__Container *c, const char *resource)
{
	for (size_t i = 0; c->resources && i < c->resources->n_limits; i++)
		if (!strcmp(c->resources->limits[i]->key, resource))
			return c->resources->limits[i]->value->string;
	return NULL;
}

const char *container_request(const CoreV1__Container *c, const char *resource)
{
	for (size_t i = 0; c->resources && i < c->resources->n_requests; i++)
		if (!strcmp(c->resources->requests[i]->key, resource))
			return c->resources->requests[i]->value->string;
	return NULL;
}

const char *resource_ref_value(const struct pod *p, const CoreV1__Container *c,
                               const char *resource, const Quantity__Quantity *divisor,
                               struct arena *a, struct err *err)
{
	const char *dot = strchr(resource, '.');
	bool limit = !strncmp(resource, "limits.", 7);
	if (!dot || (!limit && strncmp(resource, "requests.", 9))) {
		err_set(err, ERR_INVALID, "unsupported container resource : %s", resource);
		return NULL;
	}
	const char *name = dot + 1;
	const char *text = limit ? container_limit(c, name) : container_request(c, name);
	char allocatable[QUANTITY_BYTES];
	if (!text && limit) {
		node_allocatable(p->k->node, name, allocatable);
		text = allocatable;
	}
	struct quantity q = quantity_of(text), d = quantity_of(divisor ? divisor->string : "1");
	if (quantity_sign(&d) <= 0)
		d = quantity_of("1");
	bool milli = !strcmp(name, "cpu");
	int64_t value = milli ? quantity_milli(&q) : quantity_value(&q);
	int64_t unit = milli ? quantity_milli(&d) : quantity_value(&d);
	unit = unit > 0 ? unit : 1;
	return arena_printf(a, "%lld", (long long)(value / unit + (value % unit > 0)));
}
