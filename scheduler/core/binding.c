/* SPDX-License-Identifier: Apache-2.0 */
/* The steps from a chosen node to a bound pod: reserve, permit, pre-bind, bind, post-bind. */
#include "scheduler/core/cycle.h"

static enum status_code run_reserve(struct cycle *c, const struct node_info *n,
                                    const struct plugin_use **ret_by)
{
	const struct plugin_uses *u = &c->framework->points[POINT_RESERVE];
	for (; c->n_reserved < u->n; c->n_reserved++) {
		const struct plugin_use *one = &u->at[c->n_reserved];
		const struct plugin_call *call = cycle_call(c, one);
		struct reasons why = {.arena = &c->arena};
		enum status_code code =
		    one->plugin->reserve ? one->plugin->reserve(call, n, &why) : STATUS_SUCCESS;
		if (code != STATUS_SUCCESS) {
			*ret_by = one;
			cycle_unreserve(c, n);
			return code;
		}
	}
	return STATUS_SUCCESS;
}

enum status_code cycle_reserve(struct cycle *c, const struct node_info *n,
                               const struct plugin_use **ret_by)
{
	cycle_trace(c, POINT_RESERVE, true);
	enum status_code code = run_reserve(c, n, ret_by);
	cycle_trace(c, POINT_RESERVE, false);
	return code;
}

void cycle_unreserve(struct cycle *c, const struct node_info *n)
{
	const struct plugin_uses *u = &c->framework->points[POINT_RESERVE];
	while (c->n_reserved > 0) {
		const struct plugin_use *one = &u->at[--c->n_reserved];
		const struct plugin_call *call = cycle_call(c, one);
		if (one->plugin->unreserve)
			one->plugin->unreserve(call, n);
	}
}

static enum status_code run_permit(struct cycle *c, const struct node_info *n, uint32_t *timeout_ms,
                                   const struct plugin_use **ret_by)
{
	const struct plugin_uses *u = &c->framework->points[POINT_PERMIT];
	enum status_code all = STATUS_SUCCESS;
	*timeout_ms = UINT32_MAX;
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		struct reasons why = {.arena = &c->arena};
		uint32_t timeout = UINT32_MAX;
		enum status_code code = u->at[i].plugin->permit(call, n, &timeout, &why);
		if (code == STATUS_SUCCESS)
			continue;
		*ret_by = &u->at[i];
		if (code != STATUS_WAIT)
			return code;
		all = STATUS_WAIT;
		*timeout_ms = MIN(*timeout_ms, timeout);
	}
	return all;
}

enum status_code cycle_permit(struct cycle *c, const struct node_info *n, uint32_t *timeout_ms,
                              const struct plugin_use **ret_by)
{
	cycle_trace(c, POINT_PERMIT, true);
	enum status_code code = run_permit(c, n, timeout_ms, ret_by);
	cycle_trace(c, POINT_PERMIT, false);
	return code;
}

static enum status_code run_pre_bind(struct cycle *c, const struct node_info *n,
                                     const struct plugin_use **ret_by)
{
	const struct plugin_uses *u = &c->framework->points[POINT_PRE_BIND];
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		struct reasons why = {.arena = &c->arena};
		enum status_code code = u->at[i].plugin->pre_bind(call, n, &why);
		if (code != STATUS_SUCCESS && code != STATUS_SKIP) {
			*ret_by = &u->at[i];
			return code;
		}
	}
	return STATUS_SUCCESS;
}

enum status_code cycle_pre_bind(struct cycle *c, const struct node_info *n,
                                const struct plugin_use **ret_by)
{
	cycle_trace(c, POINT_PRE_BIND, true);
	enum status_code code = run_pre_bind(c, n, ret_by);
	cycle_trace(c, POINT_PRE_BIND, false);
	return code;
}

enum status_code cycle_bind(struct cycle *c, const struct node_info *n, enum bind_action *ret)
{
	const struct plugin_uses *u = &c->framework->points[POINT_BIND];
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		enum status_code code = u->at[i].plugin->bind(call, n, ret);
		if (code != STATUS_SKIP)
			return code;
	}
	return STATUS_ERROR;
}

static void run_post_bind(struct cycle *c, const struct node_info *n)
{
	const struct plugin_uses *u = &c->framework->points[POINT_POST_BIND];
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		u->at[i].plugin->post_bind(call, n);
	}
}

void cycle_post_bind(struct cycle *c, const struct node_info *n)
{
	cycle_trace(c, POINT_POST_BIND, true);
	run_post_bind(c, n);
	cycle_trace(c, POINT_POST_BIND, false);
}
