/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/index.h"

void index_uid(const struct informer_object *o, void (*emit)(void *, struct slice), void *arg)
{
	emit(arg, slice_str(o->uid));
}

void index_orphan(const struct informer_object *o, void (*emit)(void *, struct slice), void *arg)
{
	if (!*o->owner_uid)
		emit(arg, slice_str(o->ns));
}
