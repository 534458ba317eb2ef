/* SPDX-License-Identifier: Apache-2.0 */
/* A model of the kernel's tables takes the ops, refuses what the kernel would refuse, and then
 * virtual packets are sent through it: what is tested is where traffic goes, not which ops did it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include "common/base/map.h"
#include "common/base/rng.h"
#include "kube-proxy/core/state.h"

enum { NAME_BYTES = 64 };

struct model {
	struct map frontends, backends, chains, hairpin;
};

static void model_clear(struct model *m)
{
	struct map *maps[] = {&m->frontends, &m->backends, &m->chains, &m->hairpin};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		MAP_FOREACH (maps[i], it)
			free(it->value);
		map_deinit(maps[i]);
	}
}

static void add(struct map *m, const char *key, const struct proxy_op *op)
{
	struct proxy_op *copy = malloc(sizeof(*copy));
	*copy = *op;
	assert_null(map_put_str(m, key, copy)); /* the kernel says EEXIST */
}

static void del(struct map *m, const char *key)
{
	struct proxy_op *old = map_del_str(m, key);
	assert_non_null(old); /* the kernel says ENOENT */
	free(old);
}

static char *name_frontend(const struct frontend_key *k, char *out)
{
	snprintf(out, NAME_BYTES, "%08x/%u/%u", k->ip, k->protocol, k->port);
	return out;
}

static char *name_chain(const struct proxy_op *op, char *out)
{
	snprintf(out, NAME_BYTES, "%d/%u", op->kind, op->count);
	return out;
}

static void model_apply(struct model *m, const struct proxy_op *op)
{
	char key[64], chain[64];
	name_frontend(&op->key, key);
	name_chain(op, chain);
	size_t end = strlen(key);
	switch (op->op) {
	case OP_CHAIN_ADD:
		add(&m->chains, chain, op);
		break;
	case OP_CHAIN_DEL:
		del(&m->chains, chain);
		MAP_FOREACH (&m->frontends, it) {
			char used[64];
			assert_string_not_equal(name_chain(it->value, used), chain); /* EBUSY */
		}
		break;
	case OP_FRONTEND_ADD:
		if (op->count)
			assert_non_null(map_get_str(&m->chains, chain));
		add(&m->frontends, key, op);
		break;
	case OP_FRONTEND_DEL:
		del(&m->frontends, key);
		break;
	case OP_BACKEND_ADD:
		snprintf(key + end, sizeof(key) - end, "#%u", op->index);
		add(&m->backends, key, op);
		break;
	case OP_BACKEND_DEL:
		snprintf(key + end, sizeof(key) - end, "#%u", op->index);
		del(&m->backends, key);
		break;
	case OP_HAIRPIN_ADD:
		snprintf(key, sizeof(key), "%08x", op->backend.ip);
		add(&m->hairpin, key, op);
		break;
	case OP_HAIRPIN_DEL:
		snprintf(key, sizeof(key), "%08x", op->backend.ip);
		del(&m->hairpin, key);
		break;
	}
}

/* Plans and applies; returns the number of ops. */
static size_t sync_model(struct proxy_state *s, struct model *m)
{
	struct proxy_ops ops = {0};
	if (proxy_state_plan(s, &ops))
		model_clear(m);
	VEC_FOREACH (&ops.list, op)
		model_apply(m, op);
	size_t n = ops.list.n;
	proxy_ops_deinit(&ops);
	return n;
}

/* Where packets to ip:port go, as "a.b.c.d:port ..." over all indexes; "reject" or "pass". */
static const char *route(struct model *m, const char *ip, uint16_t port, uint8_t protocol)
{
	static char out[1024];
	char key[64];
	struct frontend_key k = {.port = port, .protocol = protocol};
	if (ip)
		assert_true(ipv4_parse(ip, &k.ip));
	name_frontend(&k, key);
	struct proxy_op *f = map_get_str(&m->frontends, key);
	if (!f)
		return "pass";
	if (!f->count)
		return "reject";
	out[0] = 0;
	size_t end = strlen(key);
	for (uint32_t i = 0; i < f->count; i++) {
		snprintf(key + end, sizeof(key) - end, "#%u", i);
		struct proxy_op *b = map_get_str(&m->backends, key);
		assert_non_null(b); /* every index that numgen can give leads somewhere */
		struct in_addr a = {b->backend.ip};
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s:%u", i ? " " : "",
		         inet_ntoa(a), b->backend.port);
		snprintf(key + end + 16, sizeof(key) - end - 16, "%08x", b->backend.ip);
		assert_non_null(map_get_str(&m->hairpin, key + end + 16));
	}
	return out;
}

static struct service *make_service(const char *key, const char *ip, uint16_t port,
                                    uint16_t node_port)
{
	struct service *s = calloc(1, sizeof(*s));
	s->key = strdup(key);
	assert_true(ipv4_parse(ip, &s->cluster_ip));
	s->n_ports = 1;
	s->ports = calloc(1, sizeof(*s->ports));
	s->ports[0] = (struct service_port){strdup("http"), port, node_port, PROXY_TCP};
	return s;
}

/* ips: "10.0.0.1 10.0.0.2!": '!' not ready, '~' serving while terminating, '@' local. */
static struct endpoint_slice *make_slice(const char *key, const char *service, const char *ips)
{
	struct endpoint_slice *s = calloc(1, sizeof(*s));
	s->key = strdup(key);
	s->service_key = strdup(service);
	s->n_ports = 1;
	s->ports = calloc(1, sizeof(*s->ports));
	s->ports[0] = (struct slice_port){strdup("http"), 8080, PROXY_TCP};
	s->endpoints = calloc(64, sizeof(*s->endpoints));
	char text[1024];
	snprintf(text, sizeof(text), "%s", ips);
	for (char *save = NULL, *t = strtok_r(text, " ", &save); t;
	     t = strtok_r(NULL, " ", &save)) {
		struct slice_endpoint e = {.ready = true, .serving = true};
		for (size_t n = strlen(t); strchr("!~@", t[n - 1]); t[--n] = 0) {
			e.local |= t[n - 1] == '@';
			if (t[n - 1] == '!')
				e.ready = e.serving = false;
			if (t[n - 1] == '~')
				e.ready = false, e.terminating = true;
		}
		assert_true(ipv4_parse(t, &e.ip));
		s->endpoints[s->n_endpoints++] = e;
	}
	return s;
}

static void test_routes(void **state)
{
	(void)state;
	struct model m = {0};
	struct proxy_state *s = proxy_state_new();
	sync_model(s, &m);
	proxy_state_set_service(s, "a/web", make_service("a/web", "10.96.0.10", 80, 30080));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "reject");
	assert_string_equal(route(&m, "10.96.0.10", 81, PROXY_TCP), "pass");

	proxy_state_set_slice(s, "a/web-1",
	                      make_slice("a/web-1", "a/web", "10.1.0.3 10.1.0.1 10.1.0.2!"));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "10.1.0.1:8080 10.1.0.3:8080");
	assert_string_equal(route(&m, NULL, 30080, PROXY_TCP), "10.1.0.1:8080 10.1.0.3:8080");
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_UDP), "pass");

	/* One endpoint more: indexes of the others stay. */
	proxy_state_set_slice(s, "a/web-1",
	                      make_slice("a/web-1", "a/web", "10.1.0.3 10.1.0.1 10.1.0.0"));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP),
	                    "10.1.0.1:8080 10.1.0.3:8080 10.1.0.0:8080");

	/* None ready: the terminating ones that serve. */
	proxy_state_set_slice(s, "a/web-1", make_slice("a/web-1", "a/web", "10.1.0.3~ 10.1.0.1!"));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "10.1.0.3:8080");

	proxy_state_set_slice(s, "a/web-1", NULL);
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "reject");
	assert_int_equal(m.hairpin.n, 0);
	proxy_state_set_service(s, "a/web", NULL);
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "pass");
	assert_int_equal(m.chains.n + m.backends.n + m.frontends.n, 0);
	assert_false(proxy_state_pending(s));
	proxy_state_free(s);
	model_clear(&m);
}

static void test_local_policy(void **state)
{
	(void)state;
	struct model m = {0};
	struct proxy_state *s = proxy_state_new();
	struct service *svc = make_service("a/web", "10.96.0.10", 80, 30080);
	svc->external_local = true;
	proxy_state_set_service(s, "a/web", svc);
	proxy_state_set_slice(s, "a/web-1", make_slice("a/web-1", "a/web", "10.1.0.1 10.1.0.2@"));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "10.1.0.1:8080 10.1.0.2:8080");
	assert_string_equal(route(&m, NULL, 30080, PROXY_TCP), "10.1.0.2:8080");
	proxy_state_free(s);
	model_clear(&m);
}

static void test_contended_frontend(void **state)
{
	(void)state;
	struct model m = {0};
	struct proxy_state *s = proxy_state_new();
	proxy_state_set_service(s, "a/one", make_service("a/one", "10.96.0.10", 80, 0));
	proxy_state_set_service(s, "b/two", make_service("b/two", "10.96.0.10", 80, 0));
	proxy_state_set_slice(s, "a/s", make_slice("a/s", "a/one", "10.1.0.1"));
	proxy_state_set_slice(s, "b/s", make_slice("b/s", "b/two", "10.1.0.2"));
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "10.1.0.1:8080");
	proxy_state_set_service(s, "a/one", NULL);
	sync_model(s, &m);
	assert_string_equal(route(&m, "10.96.0.10", 80, PROXY_TCP), "10.1.0.2:8080");
	proxy_state_free(s);
	model_clear(&m);
}

/* After any series of changes, the tables are those of a fresh start on the same objects, but for
 * the order of backends. */
static void test_random_walk(void **state)
{
	(void)state;
	enum { SERVICES = 12, SLICES = 20, STEPS = 4000 };
	struct rng rng;
	rng_init(&rng, 7);
	struct model m = {0};
	struct proxy_state *s = proxy_state_new();
	size_t ops = 0;
	for (int step = 0; step < STEPS; step++) {
		char key[32], svc[32], ips[512] = "", ip[32];
		unsigned n = (unsigned)rng_below(&rng, SERVICES);
		snprintf(svc, sizeof(svc), "ns/s%u", n);
		if (rng_below(&rng, 4) == 0) {
			snprintf(ip, sizeof(ip), "10.96.0.%u", n / 2); /* pairs contend */
			bool gone = rng_below(&rng, 3) == 0;
			proxy_state_set_service(
			    s, svc,
			    gone ? NULL
			         : make_service(svc, ip, 80,
			                        rng_below(&rng, 2) ? (uint16_t)(30000 + n) : 0));
		} else {
			unsigned slice = (unsigned)rng_below(&rng, SLICES);
			snprintf(key, sizeof(key), "ns/slice%u", slice);
			for (unsigned i = 0, k = (unsigned)rng_below(&rng, 6); i < k; i++)
				snprintf(ips + strlen(ips), sizeof(ips) - strlen(ips),
				         "%s10.1.0.%u%s", i ? " " : "",
				         (unsigned)rng_below(&rng, 9),
				         rng_below(&rng, 3) ? "" : "!");
			proxy_state_set_slice(
			    s, key, rng_below(&rng, 5) ? make_slice(key, svc, ips) : NULL);
		}
		if (rng_below(&rng, 3))
			continue;
		if (rng_below(&rng, 50) == 0)
			proxy_state_reset(s);
		ops += sync_model(s, &m);
		struct proxy_counts c = proxy_state_counts(s);
		assert_int_equal(c.frontends, m.frontends.n);
		assert_int_equal(c.backends, m.backends.n);
		MAP_FOREACH (&m.frontends, it) {
			struct proxy_op *f = it->value;
			struct in_addr a = {f->key.ip};
			assert_string_not_equal(route(&m, f->key.ip ? inet_ntoa(a) : NULL,
			                              f->key.port, f->key.protocol),
			                        "pass");
		}
	}
	assert_true(ops > STEPS / 2);
	proxy_state_free(s);
	model_clear(&m);
}

static void test_one_change_is_small(void **state)
{
	(void)state;
	struct model m = {0};
	struct proxy_state *s = proxy_state_new();
	for (unsigned i = 0; i < 2000; i++) {
		char svc[32], ip[32], ips[64];
		snprintf(svc, sizeof(svc), "ns/s%u", i);
		snprintf(ip, sizeof(ip), "10.96.%u.%u", i / 250, i % 250 + 1);
		snprintf(ips, sizeof(ips), "10.1.%u.1 10.1.%u.2 10.1.%u.3", i % 250, i % 250,
		         i % 250);
		proxy_state_set_service(s, svc, make_service(svc, ip, 80, 0));
		proxy_state_set_slice(s, svc, make_slice(svc, svc, ips));
	}
	sync_model(s, &m);
	proxy_state_set_slice(s, "ns/s77",
	                      make_slice("ns/s77", "ns/s77", "10.1.77.1 10.1.77.9 10.1.77.3"));
	size_t n = sync_model(s, &m);
	assert_true(n > 0 && n <= 4);
	assert_string_equal(route(&m, "10.96.0.78", 80, PROXY_TCP),
	                    "10.1.77.1:8080 10.1.77.9:8080 10.1.77.3:8080");
	proxy_state_free(s);
	model_clear(&m);
}

static void test_ipv4_parse(void **state)
{
	(void)state;
	uint32_t ip;
	assert_true(ipv4_parse("255.0.10.1", &ip));
	const char *bad[] = {"",        "1.2.3",    "1.2.3.4.", "1.2.3.256", "01.2.3.4",
	                     "a.b.c.d", "1.2.3.4 ", "::1",      "None"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ipv4_parse(bad[i], &ip));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_routes),
	    cmocka_unit_test(test_local_policy),
	    cmocka_unit_test(test_contended_frontend),
	    cmocka_unit_test(test_random_walk),
	    cmocka_unit_test(test_one_change_is_small),
	    cmocka_unit_test(test_ipv4_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
