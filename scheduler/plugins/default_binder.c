/* SPDX-License-Identifier: Apache-2.0 */
/* DefaultBinder: binds by POST pods/binding. */
#include "scheduler/plugins/plugins.h"

static enum status_code bind(const struct plugin_call *c, const struct node_info *n,
                             enum bind_action *ret)
{
	(void)c;
	(void)n;
	*ret = BIND_BINDING;
	return STATUS_SUCCESS;
}

const struct plugin plugin_default_binder = {.name = "DefaultBinder", .bind = bind};
