/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/service_health.h"

#include <stdio.h>

#include "common/base/heap.h"
#include "common/base/map.h"
#include "common/net/http_server.h"

enum { ADDRESSES_MAX = 8 };

/* Health checks are small and come from anywhere. */
enum { CONNECTIONS_MAX = 256, HEADER_BYTES_MAX = 16384, BODY_BYTES_MAX = 4096 };

struct checker {
	struct service_health *owner;
	char *key;
	uint16_t port;
	size_t local;
	bool named, failed;
	struct http_server *servers[ADDRESSES_MAX];
	size_t n, stopping;
};

struct service_health {
	struct loop *loop;
	struct service_health_ops ops;
	struct map checkers; /* key -> checker */
	char addresses[ADDRESSES_MAX][ADDR_TEXT_BYTES];
	size_t n_addresses, closing;
};

struct service_health *service_health_new(struct loop *loop, const struct service_health_ops *ops)
{
	struct service_health *h = heap_new(struct service_health);
	h->loop = loop;
	h->ops = *ops;
	snprintf(h->addresses[0], sizeof(h->addresses[0]), "0.0.0.0");
	h->n_addresses = 1;
	return h;
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct checker *c = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char count[24];
	bool healthy = c->owner->ops.healthy(c->owner->ops.arg);
	int ns = (int)strcspn(c->key, "/");
	buf_printf(&b,
	           "{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n\t\t\"name\": \"%s\"\n\t},\n"
	           "\t\"localEndpoints\": %zu,\n\t\"serviceProxyHealthy\": %s\n}",
	           ns, c->key, c->key + ns + 1, c->local, healthy ? "true" : "false");
	snprintf(count, sizeof(count), "%zu", c->local);
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	http_set_header(x, "X-Load-Balancing-Endpoint-Weight", count);
	http_reply(x, c->local && healthy ? 200 : 503, "application/json", buf_view(&b));
}

static void checker_free(struct checker *c)
{
	for (size_t i = 0; i < c->n; i++)
		http_server_free(c->servers[i]);
	free(c->key);
	free(c);
}

static void on_stopped(void *arg)
{
	struct checker *c = arg;
	if (--c->stopping)
		return;
	c->owner->closing--;
	checker_free(c);
}

/* The checker is out of the map; it goes when its servers have. */
static void checker_close(struct checker *c)
{
	if (!c->n) {
		checker_free(c);
		return;
	}
	c->owner->closing++;
	c->stopping = c->n;
	for (size_t i = 0; i < c->n; i++)
		http_server_stop(c->servers[i], 0, c->owner->loop, on_stopped, c);
}

static int listen_one(struct checker *c, const char *address, struct err *err)
{
	http_server_new(&(struct http_server_options){.on_request = on_request,
	                                              .arg = c,
	                                              .no_http2 = true,
	                                              .max_body_bytes = BODY_BYTES_MAX,
	                                              .max_header_bytes = HEADER_BYTES_MAX,
	                                              .max_connections = CONNECTIONS_MAX},
	                &c->servers[c->n]);
	int r = http_server_listen(c->servers[c->n], c->owner->loop, address, c->port, NULL, err);
	if (r)
		http_server_free(c->servers[c->n]);
	else
		c->n++;
	return r;
}

static void checker_open(struct checker *c)
{
	struct service_health *h = c->owner;
	struct err err = ERR_INIT;
	for (size_t i = 0; i < h->n_addresses && !c->failed; i++)
		if (listen_one(c, h->addresses[i], &err)) {
			c->failed = true;
			h->ops.on_failure(c->key, c->port, err.text, h->ops.arg);
		}
}

static void close_all(struct service_health *h)
{
	MAP_FOREACH (&h->checkers, it)
		checker_close(it->value);
	map_deinit(&h->checkers);
}

void service_health_free(struct service_health *h)
{
	if (!h)
		return;
	close_all(h);
	while (h->closing)
		loop_run_once(h->loop, true);
	free(h);
}

void service_health_addresses(struct service_health *h, const struct cidr *addresses, size_t n)
{
	char text[ADDRESSES_MAX][ADDR_TEXT_BYTES] = {"0.0.0.0"};
	n = MIN(n, (size_t)ADDRESSES_MAX);
	for (size_t i = 0; i < n; i++)
		addr_format(addresses[i].family, &addresses[i].addr, text[i]);
	n = n ? n : 1;
	if (n == h->n_addresses && !memcmp(text, h->addresses, sizeof(text)))
		return;
	memcpy(h->addresses, text, sizeof(text));
	h->n_addresses = n;
	close_all(h);
}

void service_health_begin(struct service_health *h)
{
	MAP_FOREACH (&h->checkers, it)
		((struct checker *)it->value)->named = false;
}

void service_health_set(struct service_health *h, const char *key, uint16_t port,
                        size_t local_endpoints)
{
	struct checker *c = map_get_str(&h->checkers, key);
	if (c && (c->port != port || c->failed)) {
		map_del_str(&h->checkers, key);
		checker_close(c);
		c = NULL;
	}
	if (!c) {
		c = heap_new(struct checker);
		c->owner = h;
		c->key = heap_strdup(key);
		c->port = port;
		map_put_str(&h->checkers, key, c);
		checker_open(c);
	}
	c->named = true;
	c->local = local_endpoints;
}

void service_health_end(struct service_health *h)
{
	MAP_FOREACH (&h->checkers, it) {
		struct checker *c = it->value;
		if (c->named)
			continue;
		map_del(&h->checkers, slice_of(it->key, it->key_len));
		checker_close(c);
	}
}
