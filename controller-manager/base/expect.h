/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes whose effect the informer has not shown yet (client-go ControllerExpectations): pods that
 * were made or deleted, counted by their owner's uid, so that nothing is made twice from an old
 * picture. What is not seen within five minutes is forgotten. */
#include <stdbool.h>
#include "common/base/map.h"

struct expectations {
	struct map owners; /* uid -> struct expected */
};

void expect_deinit(struct expectations *e);
void expect_create(struct expectations *e, const char *owner_uid, size_t n, uint64_t now_ms);
void expect_delete(struct expectations *e, const char *owner_uid, const char *pod_uid,
                   uint64_t now_ms);
/* A pod of the owner was seen to come, or will not come after all. */
void expect_created(struct expectations *e, const char *owner_uid);
void expect_deleted(struct expectations *e, const char *owner_uid, const char *pod_uid);
bool expect_pending(struct expectations *e, const char *owner_uid, uint64_t now_ms);
void expect_forget(struct expectations *e, const char *owner_uid);
