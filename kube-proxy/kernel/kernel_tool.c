/* SPDX-License-Identifier: Apache-2.0 */
/* Programs the kernel as scripts say, for kernel_test.py and tests/bench/kube-proxy: lines of
 * kube-proxy/test_script.h on standard input, and
 *
 *     sync        plan and apply both families; answers milliseconds and deleted flows
 *     table       answers the tables as text
 *     reset       forget what the kernel has
 *     break       apply what the kernel must refuse; answers its error
 *     expressions answers each rule as the hexadecimal bytes of its expressions
 *     fill N M    N services of M endpoints
 *     cleanup     remove the tables
 *
 * Each answer ends with a line ".". */
#include <stdio.h>

#include "common/base/clock.h"
#include "kube-proxy/core/text.h"
#include "kube-proxy/kernel/affinity.h"
#include "kube-proxy/kernel/conntrack.h"
#include "kube-proxy/kernel/encode.h"
#include "kube-proxy/kernel/nft.h"
#include "kube-proxy/test_script.h"

static int sync_family(struct script *s, struct netlink *nl, enum family f, struct err *err)
{
	struct proxy_plan plan = {0};
	size_t deleted = 0, clients = 0;
	uint64_t begin = clock_mono_ns();
	proxy_state_plan(s->state, f, &plan);
	uint64_t planned = clock_mono_ns();
	int r = nft_apply(nl, proxy_state_config(s->state), &plan, err);
	uint64_t applied = clock_mono_ns();
	if (!r)
		r = affinity_forget(nl, &plan, &clients, err);
	if (!r)
		r = conntrack_forget(nl, &plan, &deleted, err);
	if (r)
		proxy_state_reset(s->state, f);
	else
		printf("%s plan=%.3f apply=%.3f changes=%zu flows=%zu deleted=%zu clients=%zu\n",
		       f == FAMILY_IPV4 ? "ip" : "ip6", (double)(planned - begin) / 1e6,
		       (double)(applied - planned) / 1e6, plan.adds.n + plan.dels.n, plan.flows.n,
		       deleted, clients);
	proxy_plan_deinit(&plan);
	return r;
}

static int sync_all(struct script *s, struct netlink *nl, struct err *err)
{
	int r = 0;
	for (enum family f = 0; f < FAMILIES && !r; f++)
		r = sync_family(s, nl, f, err);
	return r;
}

static void print_table(struct script *s)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		element_list elements = {0};
		proxy_state_elements(s->state, f, &elements);
		text_table(f, proxy_state_config(s->state), &elements, &b);
		fwrite(b.data, 1, b.len, stdout);
		vec_deinit(&elements);
	}
}

static void print_expressions(struct script *s)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		element_list elements = {0};
		rule_list rules = {0};
		proxy_state_elements(s->state, f, &elements);
		layout_rules(f, proxy_state_config(s->state), &rules);
		VEC_FOREACH (&elements, e)
			if (e->set == SET_CHAINS)
				shape_rules(f, proxy_state_config(s->state), &e->shape, &rules);
		VEC_FOREACH (&rules, r) {
			_cleanup_buf_ struct buf b = BUF_INIT;
			encode_expressions(&b, f, r);
			printf("%s %s ", f == FAMILY_IPV4 ? "ip" : "ip6", r->chain);
			for (size_t i = 4; i < b.len; i++)
				printf("%02x", b.data[i]);
			printf("\n");
		}
		vec_deinit(&elements);
		vec_deinit(&rules);
	}
}

/* Deletes an element that is not there. */
static int break_table(struct netlink *nl, const struct script *s, struct err *err)
{
	struct proxy_plan plan = {0};
	struct element e = {.set = SET_CLUSTER_IPS, .key = {1}};
	*vec_push(&plan.adds) = (struct element){.set = SET_CLUSTER_IPS, .key = {2}};
	*vec_push(&plan.dels) = e;
	int r = nft_apply(nl, proxy_state_config(s->state), &plan, err);
	proxy_plan_deinit(&plan);
	return r;
}

static void fill(struct script *s, unsigned services, unsigned endpoints)
{
	struct err err = ERR_INIT;
	for (unsigned i = 0; i < services; i++) {
		struct buf b = BUF_INIT;
		char line[128];
		snprintf(line, sizeof(line), "service ns/s%u ip=10.%u.%u.1 ports=http:80/TCP", i,
		         96 + i / 250, i % 250);
		ERR_IGNORE(script_line(s, line, &err)); /* well-formed by construction */
		buf_printf(&b, "slice ns/e%u of=s%u ports=http:8080/TCP eps=", i, i);
		for (unsigned k = 0; k < endpoints; k++)
			buf_printf(&b, "%s10.%u.%u.%u@n2", k ? "," : "", 128 + k % 100, i / 250,
			           i % 250 + 1);
		char *text = buf_steal_str(&b);
		ERR_IGNORE(script_line(s, text, &err));
		free(text);
	}
}

static int command(struct script *s, struct netlink *nl, const char *line, struct err *err)
{
	unsigned n, m;
	int r = 0;
	if (!strcmp(line, "sync"))
		return sync_all(s, nl, err);
	if (!strcmp(line, "break"))
		return break_table(nl, s, err);
	if (!strcmp(line, "table"))
		print_table(s);
	else if (!strcmp(line, "expressions"))
		print_expressions(s);
	else if (sscanf(line, "fill %u %u", &n, &m) == 2)
		fill(s, n, m);
	else if (!strcmp(line, "reset") || !strcmp(line, "cleanup"))
		for (enum family f = 0; f < FAMILIES && !r; f++) {
			proxy_state_reset(s->state, f);
			r = *line == 'c' ? nft_cleanup(nl, f, err) : 0;
		}
	else
		return script_line(s, line, err);
	return r;
}

int main(void)
{
	struct script s;
	struct netlink nl;
	struct err err = ERR_INIT;
	char *line = NULL;
	size_t cap = 0;
	if (netlink_open(&nl, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	script_init(&s);
	while (getline(&line, &cap, stdin) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (command(&s, &nl, line, &err))
			printf("error %s\n", err.text);
		printf(".\n");
		fflush(stdout);
	}
	free(line);
	script_deinit(&s);
	netlink_close(&nl);
	return 0;
}
