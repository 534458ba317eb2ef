/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What becomes of an Event that was told (client-go tools/record, EventCorrelator). Pure.
 *
 * Guarantees:
 *   - An event that is equal to one of before raises that one's count.
 *   - From the tenth different message on, events about the same object of the same type and reason
 *     are combined into one, until ten minutes pass without any.
 *   - One source tells of one object at most 25 times in a burst, then once in five minutes; what
 * is beyond is skipped, though counted.
 *   - Of events, groups and objects the last 4096 each are remembered; the longest unused go first.
 */
#include <stdbool.h>
#include "common/base/list.h"
#include "common/base/map.h"

enum { EVENT_LRU_MAX = 4096 };

struct event_lru {
	struct map entries;
	struct list order; /* the longest unused first */
	size_t max;
};

struct event_correlator {
	struct event_lru known, groups, buckets;
};

/* What an event is equal by. */
struct event_identity {
	const char *object; /* who tells of what: source, kind, namespace, name, uid */
	const char *alike;  /* and with which type and reason */
	const char *exact;  /* and with which field path and action */
	const char *message;
};

/* An event that was told before, or is told for the first time. */
struct event_known {
	char *name; /* that of the object on the server; NULL at first, the caller's to set */
	char *ns;
	bool created; /* the caller's: it is on the server, or on its way there */
	int32_t count;
	int64_t first_ns;
};

struct event_verdict {
	bool skip;
	bool combined;             /* say "(combined from similar events): " before the message */
	struct event_known *known; /* good until the next call */
	const char *key;           /* of it, as long */
};

void event_correlator_init(struct event_correlator *c, size_t max); /* 0: EVENT_LRU_MAX */
void event_correlator_deinit(struct event_correlator *c);
void event_correlate(struct event_correlator *c, const struct event_identity *id, int64_t now_ns,
                     struct event_verdict *ret);
/* The event of this key, or NULL when it is not remembered. */
struct event_known *event_find(const struct event_correlator *c, const char *key);
