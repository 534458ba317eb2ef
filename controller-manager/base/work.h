/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One key in the hands of a controller while its calls are under way: the key goes back to its
 * queue when the last one has answered, as done or, after a failure, to be retried. */
#include "common/client/client.h"
#include "common/client/workqueue.h"

struct work {
	struct workqueue *queue;
	char *key;
	unsigned calls;
	bool failed;
};

/* Takes one reference, which work_end gives back. */
struct work *work_begin(struct workqueue *q, const char *key);
void work_end(struct work *w);
void work_hold(struct work *w);
/* A call has answered: ERR_OK and, for what is gone anyway, ERR_NOT_FOUND are successes. */
void work_answer(struct work *w, const struct client_result *r);
/* A client_done_fn for calls whose only effect is the above; arg is the work, held for it. */
void work_done(const struct client_result *r, void *arg);
/* The same for what is made: somebody else made it, or its namespace goes away: both are fine. */
void work_created(const struct client_result *r, void *arg);
