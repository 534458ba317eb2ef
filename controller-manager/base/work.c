/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/work.h"

#include <string.h>

#include "common/base/log.h"

struct work *work_begin(struct workqueue *q, const char *key)
{
	struct work *w = calloc(1, sizeof(*w));
	if (!w || !(w->key = strdup(key)))
		abort();
	w->queue = q;
	w->calls = 1;
	return w;
}

void work_hold(struct work *w)
{
	w->calls++;
}

void work_end(struct work *w)
{
	if (--w->calls)
		return;
	if (w->failed)
		workqueue_retry(w->queue, w->key);
	else
		workqueue_done(w->queue, w->key);
	free(w->key);
	free(w);
}

void work_answer(struct work *w, const struct client_result *r)
{
	if (r->code == ERR_OK || r->code == ERR_NOT_FOUND)
		return;
	w->failed = true;
	/* A conflict only says that the copy was old: the next turn reads again. */
	if (r->code == ERR_CONFLICT)
		return;
	struct err err = ERR_INIT;
	ERR_IGNORE(client_result_err(r, &err)); /* its text is for the log */
	log_error(&err, "A call failed; the object is tried again", LOG_STR("key", w->key));
}

void work_done(const struct client_result *r, void *arg)
{
	work_answer(arg, r);
	work_end(arg);
}

void work_created(const struct client_result *r, void *arg)
{
	bool refused = r->code == ERR_FORBIDDEN && strstr(r->message, "being terminated");
	if (r->code != ERR_ALREADY_EXISTS && !refused)
		work_answer(arg, r);
	work_end(arg);
}
