/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives: after any series of changes, the kernel holds what a fresh start would put there,
 * but for the numbers of endpoints. A model of the kernel takes the plans and refuses what the
 * kernel would refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "common/base/map.h"
#include "common/base/rng.h"
#include "kube-proxy/core/text.h"
#include "kube-proxy/test_script.h"

/* --- the model --- */

struct model {
	struct map elements; /* set and key -> element */
};

static struct slice key_of(const struct element *e, uint8_t out[64])
{
	out[0] = e->set;
	memcpy(out + 1, e->key, sizeof(e->key));
	return slice_of(out, 1 + sizeof(e->key));
}

static void model_clear(struct model *m)
{
	MAP_FOREACH (&m->elements, it)
		free(it->value);
	map_deinit(&m->elements);
}

static struct element *model_get(const struct model *m, const struct element *key)
{
	uint8_t bytes[64];
	return map_get(&m->elements, key_of(key, bytes));
}

static bool has_chain(const struct model *m, const struct shape *s)
{
	struct element chain = {.set = SET_CHAINS};
	memcpy(chain.key, s, sizeof(*s));
	return model_get(m, &chain) != NULL;
}

static void model_add(struct model *m, const struct element *e)
{
	uint8_t bytes[64];
	struct element *copy = malloc(sizeof(*copy));
	*copy = *e;
	if (e->verdict == VERDICT_GOTO && e->set != SET_CHAINS)
		assert_true(has_chain(m, &e->shape));               /* ENOENT */
	assert_null(map_put(&m->elements, key_of(e, bytes), copy)); /* EEXIST */
}

static void model_del(struct model *m, const struct element *e)
{
	uint8_t bytes[64];
	struct element *old = map_del(&m->elements, key_of(e, bytes));
	assert_non_null(old); /* ENOENT */
	free(old);
}

static void assert_unused(const struct model *m, const struct element *chain)
{
	MAP_FOREACH (&m->elements, it) {
		const struct element *e = it->value;
		if (e->verdict != VERDICT_GOTO || e->set == SET_CHAINS)
			continue;
		assert_memory_not_equal(&e->shape, &chain->shape, sizeof(e->shape)); /* EBUSY */
	}
}

static size_t model_apply(struct model *m, const struct proxy_plan *p)
{
	if (p->replace)
		model_clear(m);
	VEC_FOREACH (&p->chains_add, e)
		model_add(m, e);
	VEC_FOREACH (&p->dels, e)
		model_del(m, e);
	VEC_FOREACH (&p->adds, e)
		model_add(m, e);
	VEC_FOREACH (&p->chains_del, e) {
		model_del(m, e);
		assert_unused(m, e);
	}
	return p->adds.n + p->dels.n;
}

/* Every way through the table ends at an endpoint or at a refusal. */
static void assert_complete(const struct model *m, enum family f)
{
	MAP_FOREACH (&m->elements, it) {
		const struct element *e = it->value;
		if (e->set != SET_SERVICE_IPS && e->set != SET_NODE_PORTS)
			continue;

		if (e->shape.policy) {
			struct shape far = shape_short_cut(&e->shape);
			assert_true(has_chain(m, &far));
		}
		for (uint32_t i = 0; i < e->shape.n; i++) {
			struct element b = {.set = e->set == SET_NODE_PORTS ? SET_NODE_PORT_BACKENDS
			                                                    : SET_BACKENDS};
			memcpy(b.key, e->key, sizeof(b.key));
			b.key[element_key_words(f, e->set)] =
			    i + (e->shape.local ? LOCAL_BACKENDS : 0);
			assert_non_null(model_get(m, &b));
		}
	}
}

/* The model's elements as sorted text, endpoints without their numbers. */
static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *portrait(const struct model *m, enum family f)
{
	VEC(char *) lines = {0};
	struct buf out = BUF_INIT;
	MAP_FOREACH (&m->elements, it) {
		struct element e = *(struct element *)it->value;
		struct buf line = BUF_INIT;
		if (e.set == SET_BACKENDS || e.set == SET_NODE_PORT_BACKENDS)
			e.key[element_key_words(f, e.set) - 1] &= LOCAL_BACKENDS;
		text_element(f, &e, &line);
		*vec_push(&lines) = buf_steal_str(&line);
	}
	if (lines.n)
		qsort(lines.at, lines.n, sizeof(*lines.at), line_cmp);
	VEC_FOREACH (&lines, it) {
		buf_printf(&out, "%s\n", *it);
		free(*it);
	}
	vec_deinit(&lines);
	return buf_steal_str(&out);
}

static size_t sync_model(struct script *s, enum family f, struct model *m)
{
	struct proxy_plan plan = {0};
	proxy_state_plan(s->state, f, &plan);
	size_t n = model_apply(m, &plan);
	assert_complete(m, f);
	proxy_plan_deinit(&plan);
	return n;
}

/* --- random changes --- */

enum { SERVICES = 10, SLICES = 16 };

struct life {
	struct rng rng;
	bool contended;
	char services[SERVICES][512], slices[SLICES][512]; /* "" when it is not there */
};

static unsigned roll(struct life *l, unsigned n)
{
	return (unsigned)rng_below(&l->rng, n);
}

static const char *pick(struct life *l, const char *const *list, unsigned n)
{
	return list[roll(l, n)];
}
#define PICK(l, ...) \
	pick(l, (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void random_service(struct life *l, unsigned i)
{
	if (!roll(l, 4)) {
		l->services[i][0] = 0;
		return;
	}
	/* Pairs of services contend for cluster IPs, all for the rest. */
	unsigned g = l->contended ? 0 : i, pair = l->contended ? i / 2 : i;
	char v6[32], ports[64], external[64], balancer[96];
	snprintf(v6, sizeof(v6), "%s%u", ",fd00:96::", g + 1);
	snprintf(ports, sizeof(ports), "http:80/TCP:%u,dns:53/UDP:%u", 30080 + g, 30053 + g);
	snprintf(external, sizeof(external), " external=1.2.%u.4,fd00::9:%u", g, g);
	snprintf(balancer, sizeof(balancer), " lb=5.6.%u.8 ranges=10.0.0.0/8,10.0.0.0/9,9.9.9.9/32",
	         g);
	snprintf(l->services[i], sizeof(l->services[i]),
	         "service ns/s%u ip=10.96.0.%u%s ports=%s%s%s%s%s%s%s", i, pair + 1,
	         PICK(l, "", v6), PICK(l, "http:80/TCP", ports), PICK(l, "", ",twin:80/TCP"),
	         PICK(l, "", external), PICK(l, "", balancer), PICK(l, "", " policy=Local"),
	         PICK(l, "", " internal=Local"), PICK(l, "", " affinity=60"));
}

static void random_slice(struct life *l, unsigned i)
{
	char *out = l->slices[i];
	bool v6 = !roll(l, 3);
	size_t n = (size_t)snprintf(
	    out, sizeof(l->slices[i]), "slice ns/e%u of=s%u ports=%s eps=", i, roll(l, SERVICES),
	    PICK(l, "http:8080/TCP", "http:8080/TCP,dns:5353/UDP", "http:8080/TCP,http:8081/TCP"));
	for (unsigned k = roll(l, 6); k; k--)
		n += (size_t)snprintf(out + n, sizeof(l->slices[i]) - n, "%s%u%s%s%s",
		                      v6 ? "fd00:1::" : "10.1.0.", 1 + roll(l, 9),
		                      PICK(l, "@n1", "@n2", ""), PICK(l, "", "", "!", "~"),
		                      k > 1 ? "," : PICK(l, "", "^a", "=n1"));
	if (!roll(l, 5))
		out[0] = 0;
}

static void tell(struct script *s, const char *line, const char *kind, char letter, unsigned i)
{
	char gone[64];
	struct err err = ERR_INIT;
	snprintf(gone, sizeof(gone), "delete-%s ns/%c%u", kind, letter, i);
	if (script_line(s, *line ? line : gone, &err))
		fail_msg("%s", err.text);
}

/* A kube-proxy that starts now. Who holds a contended address may differ: not for such lives. */
static void assert_as_fresh(struct life *l, const struct model *m, enum family f,
                            const struct layout_config *config)
{
	struct script s;
	struct model fresh = {0};
	script_init(&s);
	proxy_state_set_config(s.state, config);
	for (unsigned i = 0; i < SERVICES; i++)
		if (l->services[i][0])
			tell(&s, l->services[i], "service", 's', i);
	for (unsigned i = 0; i < SLICES; i++)
		if (l->slices[i][0])
			tell(&s, l->slices[i], "slice", 'e', i);
	sync_model(&s, f, &fresh);
	char *want = portrait(&fresh, f), *got = portrait(m, f);
	assert_string_equal(got, want);
	free(want);
	free(got);
	model_clear(&fresh);
	script_deinit(&s);
}

static void live(uint64_t seed, bool contended, int steps)
{
	struct life l = {.contended = contended};
	struct script s;
	struct model models[FAMILIES] = {0};
	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&l.rng, seed);
	script_init(&s);
	for (int step = 0; step < steps; step++) {
		if (!roll(&l, 3)) {
			unsigned i = roll(&l, SERVICES);
			random_service(&l, i);
			tell(&s, l.services[i], "service", 's', i);
		} else {
			unsigned i = roll(&l, SLICES);
			random_slice(&l, i);
			tell(&s, l.slices[i], "slice", 'e', i);
		}
		if (roll(&l, 3))
			continue;
		for (enum family f = 0; f < FAMILIES; f++) {
			if (!roll(&l, 50))
				proxy_state_reset(s.state, f);
			sync_model(&s, f, &models[f]);
			if (!contended)
				assert_as_fresh(&l, &models[f], f, &s.config);
		}
	}
	script_deinit(&s);
	for (enum family f = 0; f < FAMILIES; f++)
		model_clear(&models[f]);
}

static void test_differences_lead_to_the_same_table(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		live(seed, false, 500);
}

static void test_contention_never_breaks_the_table(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		live(seed, true, 3000);
}

/* --- size --- */

static void fill(struct script *s, unsigned services, unsigned endpoints)
{
	struct err err = ERR_INIT;
	for (unsigned i = 0; i < services; i++) {
		struct buf b = BUF_INIT;
		char line[128];
		snprintf(line, sizeof(line), "service ns/s%u ip=10.%u.%u.1 ports=http:80/TCP", i,
		         96 + i / 250, i % 250);
		assert_int_equal(script_line(s, line, &err), 0);
		buf_printf(&b, "slice ns/e%u of=s%u ports=http:8080/TCP eps=", i, i);
		for (unsigned k = 0; k < endpoints; k++)
			buf_printf(&b, "%s10.%u.%u.%u@n2", k ? "," : "", 128 + k, i / 250,
			           i % 250 + 1);
		char *text = buf_steal_str(&b);
		assert_int_equal(script_line(s, text, &err), 0);
		free(text);
	}
}

static void test_one_change_is_small(void **state)
{
	(void)state;
	struct script s;
	struct model m = {0};
	struct err err = ERR_INIT;
	script_init(&s);
	fill(&s, 1000, 3);
	sync_model(&s, FAMILY_IPV4, &m);
	assert_int_equal(script_line(&s,
	                             "slice ns/e77 of=s77 ports=http:8080/TCP "
	                             "eps=10.128.0.78@n2,10.9.9.9@n2,10.130.0.78@n2",
	                             &err),
	                 0);
	size_t n = sync_model(&s, FAMILY_IPV4, &m);
	assert_int_equal(n, 2);
	script_deinit(&s);
	model_clear(&m);
}

static void test_thousands_of_ports(void **state)
{
	(void)state;
	enum { PORTS = 3000 };
	struct script s;
	struct model m = {0};
	struct err err = ERR_INIT;
	struct buf b = BUF_INIT;
	script_init(&s);
	buf_str(&b, "service ns/s0 ip=10.96.0.1 external=1.2.3.4 ports=");
	for (unsigned i = 1; i <= PORTS; i++)
		buf_printf(&b, "%sp%u:%u/UDP", i > 1 ? "," : "", i, i);
	char *text = buf_steal_str(&b);
	assert_int_equal(script_line(&s, text, &err), 0);
	free(text);
	buf_str(&b, "slice ns/e0 of=s0 eps=10.1.0.1,10.1.0.2,10.1.0.3 ports=");
	for (unsigned i = 1; i <= PORTS; i++)
		buf_printf(&b, "%sp%u:%u/UDP", i > 1 ? "," : "", i, i);
	text = buf_steal_str(&b);
	assert_int_equal(script_line(&s, text, &err), 0);
	free(text);
	sync_model(&s, FAMILY_IPV4, &m);
	assert_int_equal(m.elements.n, PORTS * 8 + 3 + 3);
	assert_int_equal(script_line(&s, "delete-slice ns/e0", &err), 0);
	sync_model(&s, FAMILY_IPV4, &m);
	assert_int_equal(m.elements.n, PORTS * 2 + 1);
	script_deinit(&s);
	model_clear(&m);
}

static void test_addresses(void **state)
{
	(void)state;
	static const char *const bad4[] = {"",         "1.2.3",   "1.2.3.4.", "1.2.3.256",
	                                   "01.2.3.4", "a.b.c.d", "1.2.3.4 ", "::1"};
	static const char *const bad6[] = {
	    "",     ":",  "1:2:3:4:5:6:7",  "1::2::3", "::g",      "12345::", "1:2:3:4:5:6:7:8:9",
	    ":::1", "1:", "::ffff:1.2.3.4", "1.2.3.4", "fe80::1%1"};
	static const char *const good6[][2] = {{"::", "::"},
	                                       {"::1", "::1"},
	                                       {"FD00:0:0:1::A", "fd00:0:0:1::a"},
	                                       {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
	                                       {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
	                                       {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"}};
	struct addr a;
	struct cidr c;
	char text[ADDR_TEXT_BYTES];
	assert_true(addr_parse("255.0.10.1", FAMILY_IPV4, &a));
	for (size_t i = 0; i < ARRAY_LEN(bad4); i++)
		assert_false(addr_parse(bad4[i], FAMILY_IPV4, &a));
	for (size_t i = 0; i < ARRAY_LEN(bad6); i++)
		assert_false(addr_parse(bad6[i], FAMILY_IPV6, &a));
	for (size_t i = 0; i < ARRAY_LEN(good6); i++) {
		assert_true(addr_parse(good6[i][0], FAMILY_IPV6, &a));
		addr_format(FAMILY_IPV6, &a, text);
		assert_string_equal(text, good6[i][1]);
	}
	assert_false(cidr_parse("10.0.0.0/33", &c) || cidr_parse("10.0.0.0/", &c) ||
	             cidr_parse("10.0.0.0", &c) || cidr_parse("::/129", &c) ||
	             cidr_parse("10.0.0.0/08", &c));
	assert_true(cidr_parse("10.1.2.3/13", &c));
	addr_format(FAMILY_IPV4, &c.addr, text);
	assert_string_equal(text, "10.0.0.0");
	a = cidr_last(&c);
	addr_format(FAMILY_IPV4, &a, text);
	assert_string_equal(text, "10.7.255.255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_differences_lead_to_the_same_table),
	    cmocka_unit_test(test_contention_never_breaks_the_table),
	    cmocka_unit_test(test_one_change_is_small),
	    cmocka_unit_test(test_thousands_of_ports),
	    cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
