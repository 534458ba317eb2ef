/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shell of ControllerRevisions: those of an owner read, the current one written, old ones
 * deleted. */
#include "controller-manager/base/manager.h"
#include "controller-manager/base/plan/revisions.h"
#include "controller-manager/base/work.h"
#include "common/codec/labels.h"

struct history {
	struct client *client;
	struct informer *revisions;
	unsigned by_owner, orphans;
};

/* The handler hears of every revision that comes, changes or goes. */
void history_init(struct history *h, struct manager *m, struct client *client,
                  const struct informer_handler *handler);
/* Fills in->revisions, plans, and writes what is to be written; false: wait for its event. */
bool history_sync(struct history *h, struct work *w, struct revisions_input *in,
                  const struct label_selector *selector, struct arena *a,
                  struct revisions_plan *ret);
void history_remove(struct history *h, struct work *w,
                    const AppsV1__ControllerRevision *const *list, size_t n);
